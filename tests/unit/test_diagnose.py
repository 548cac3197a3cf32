"""Diagnosing a text: what is found where, in which order, out of any bytes, without passwords."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit import report
from imagekit.diagnose import answer, find, load, text
from imagekit.report import Check, Report

KERNEL = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
SHARED = "ERROR: Unexpected bus error encountered in worker. This might be caused by insufficient shared memory (shm)."
GPU = "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory"


def ids(lines: list[str]) -> list[str]:
    return [finding.fault.id for finding in find.find(lines)]


def of_bytes(content: bytes) -> list[str]:
    return list(text.lines(io.BytesIO(content)))


# Lines


@pytest.mark.parametrize("prefix", [
    "", "#12 3.456 ", "#12 ", "2024-09-01T10:11:12.123456789Z ", "[2024-09-01 10:11:12,123] ", "3.456 ", "E   ",
    "[rank0]: ", "[default_rank3]: ", "trainer-1  | ", "  │   ", "      ╰─▶ ", "#12 3.456 2024-09-01 10:11:12 ",
    "\x1b[31m", "\x1b]0;title\x07\x1b[1;38;5;196m",
])  # fmt: skip
def test_a_prefix_is_taken_off(prefix: str) -> None:
    (finding,) = find.find([prefix + KERNEL + "\x1b[0m"])
    assert (finding.fault.id, finding.line, finding.text) == ("no-kernel-image", 1, KERNEL)


def test_whatever_its_case() -> None:
    assert ids([KERNEL.upper()]) == ["no-kernel-image"]


@pytest.mark.parametrize("at", range(4, 10))
def test_a_message_that_was_broken_in_two(at: int) -> None:
    words = KERNEL.split()
    first, second = " ".join(words[:at]), " ".join(words[at:])
    (finding,) = find.find(["started", "#12 3.4 " + first, "#12 3.4   " + second, "ended"])
    assert (finding.fault.id, finding.line, finding.count, finding.text) == ("no-kernel-image", 2, 1, KERNEL)


def test_lines_that_only_together_say_something_else_are_not_joined_over_more_than_one_break() -> None:
    assert ids(["CUDA error: no kernel", "", "image is available"]) == []


def test_the_first_line_and_how_many_have_it() -> None:
    (finding,) = find.find(["a", KERNEL, "b", KERNEL, KERNEL])
    assert (finding.line, finding.count) == (2, 3)


@pytest.mark.parametrize("number", [1, 2, 511, 512, 513, 1024, 1025, 5000])
def test_a_line_is_counted_from_one_wherever_it_is(number: int) -> None:
    seen = find.search([*["epoch"] * (number - 1), KERNEL, "epoch"])
    (finding,) = seen.findings
    assert (finding.line, finding.count, seen.lines, seen.last_line) == (number, 1, number + 1, number)


def test_a_message_broken_between_two_batches() -> None:
    lines = [*["epoch"] * 511, "CUDA error: no kernel image is", "available for execution on the device"]
    (finding,) = find.find(lines)
    assert (finding.line, finding.count) == (512, 1)


# Order


def test_what_came_first_is_the_most_likely() -> None:
    assert ids([SHARED, KERNEL]) == ["shared-memory", "no-kernel-image"]
    assert ids([KERNEL, SHARED]) == ["no-kernel-image", "shared-memory"]


def test_a_notice_comes_last() -> None:
    notice = next(fault for fault in load.faults() if fault.notice)
    assert ids([*notice.example.splitlines(), KERNEL]) == ["no-kernel-image", notice.id]
    assert answer.known([notice.example]) == ""


def test_a_more_general_error_is_told_with_the_one_that_explains_it() -> None:
    general = "RuntimeError: DataLoader worker (pid(s) 9740, 9741) exited unexpectedly"
    findings = find.find([general, "", SHARED])
    assert [finding.fault.id for finding in findings] == ["shared-memory"]
    assert [finding.fault.id for finding in findings[0].explains] == ["worker-died"]
    told = answer.lines(findings)
    assert any(line.startswith("  with     ") and line.endswith("line 1") for line in told)


def test_of_one_line_only_the_explanation() -> None:
    (finding,) = find.find([GPU])
    assert (finding.fault.id, finding.explains) == ("libcuda", ())
    (finding,) = find.find([GPU, GPU.replace("libcuda.so.1", "libfoo.so")])
    assert [one.line for one in finding.explains] == [2]


# What is near


@pytest.mark.parametrize(("between", "found"), [(0, True), (find.BEFORE - 1, True), (find.BEFORE, False)])
def test_what_must_be_near_is_near(between: int, found: bool) -> None:
    near, line = (
        'File "/opt/python3.8/multiprocessing/connection.py", line 368',
        "BrokenPipeError: [Errno 32] Broken pipe",
    )
    for start in (0, 505, 511):
        assert ids([*["x"] * start, near, *["x"] * between, line]) == (["worker-died"] if found else [])


# Bytes


class Endless(io.RawIOBase):
    """A line that never ends, until `size` bytes of it were read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return b"x" * size


def test_a_line_without_an_end_is_not_kept() -> None:
    stream: Any = Endless(50_000_000)
    (line,) = text.lines(stream)
    assert len(line) == text.LIMIT


def test_an_error_far_into_a_line_is_found_until_the_limit() -> None:
    assert ids(of_bytes(b"x" * 9000 + b" " + KERNEL.encode())) == ["no-kernel-image"]
    assert ids(of_bytes(b"x" * text.LIMIT + b" " + KERNEL.encode() + b"\n" + SHARED.encode())) == ["shared-memory"]


def test_of_a_progress_bar_the_last_state() -> None:
    assert of_bytes(b" 10%\r 20%\r\n 30%\r" + KERNEL.encode() + b"\r\nend") == [" 20%", KERNEL, "end"]
    bar = b"".join(b"%d%%|####|\r" % number for number in range(50_000))
    assert of_bytes(bar + KERNEL.encode() + b"\n") == [KERNEL]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_the_size_of_the_blocks_does_not_matter(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    content = "a\r\nb\rc\r\n\n d é\r\re\nno end".encode()
    whole = of_bytes(content)
    monkeypatch.setattr(text, "_BLOCK", size)
    assert of_bytes(content) == whole == ["a", "c", "", "e", "no end"]


def test_no_utf_8_and_no_text() -> None:
    assert ids(of_bytes(b"\xff\xfe\x00\x80\n" + KERNEL.encode() + b" \xe9\n")) == ["no-kernel-image"]
    (finding,) = find.find(["\x00\x07" + KERNEL])
    assert finding.text == "??" + KERNEL


@given(st.binary())
def test_any_bytes_are_read(content: bytes) -> None:
    content = content.removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")  # the marks of another encoding
    seen = find.search(text.lines(io.BytesIO(content)))
    assert seen.lines == len(content.split(b"\n")) - (content == b"" or content.endswith(b"\n"))
    assert seen.last.isprintable() or "\t" in seen.last


@given(st.lists(st.text(max_size=40)))
def test_any_text_around_it_changes_nothing(around: list[str]) -> None:
    assert "no-kernel-image" in ids([*around, KERNEL, *around])


# What is shown


@pytest.mark.parametrize("line", [
    "GET https://user:hunter2@index.example/simple failed",
    "GET https://user:hun@ter2@index.example/simple failed",
    "GET https://hunter2@index.example/simple failed",
    "Authorization: Bearer hunter2",
    "authorization: Basic hunter2==",
    "HF_TOKEN=hunter2 failed",
    "password: 'hunter2'",
    '{"api_key": "hunter2"}',
    "--registry-password=hunter2",
])  # fmt: skip
def test_a_password_is_not_shown(line: str) -> None:
    assert "ter2" not in text.quoted(line) and "***" in text.quoted(line)
    seen = find.search([f"{line} {KERNEL}", f"error: {line}"])
    assert "ter2" not in seen.findings[0].text + seen.last


def test_what_only_looks_like_a_password_is_shown() -> None:
    for line in ("the token is not valid", "RuntimeError: tokens per second 3", "a@b.example wrote", "x://y z@w"):
        assert text.quoted(line) == line


def test_of_a_long_line_the_part_that_says_it() -> None:
    for before, after in ((0, 400), (400, 0), (400, 400)):
        (finding,) = find.find([f"{'b' * before} {KERNEL} {'a' * after}"])
        assert "no kernel image is available" in finding.text and len(finding.text) <= text.QUOTED
        assert finding.text.startswith("... ") is bool(before) and finding.text.endswith(" ...") is bool(after)


def test_three_are_told_in_full_and_of_more_the_title() -> None:
    lines = [KERNEL, SHARED, GPU, "OSError: [Errno 24] Too many open files", "exec format error"]
    told = answer.lines(find.find(lines))
    assert sum(line.startswith("  because ") for line in told) == 3
    also = [line for line in told if line.startswith("also ")]
    assert [line.rpartition(" ")[2] for line in also] == ["too-many-files", "exec-format"]
    assert also[0].endswith("line 4: imagekit diagnose too-many-files")


def test_lines_are_filled() -> None:
    for fault in load.faults():
        for line in answer.lines(find.find(fault.example.splitlines())):
            assert len(line) <= answer.WIDTH or " " not in line[11:].strip(), line


def test_last_error_of_the_nearest_kind() -> None:
    seen = find.search(["Error: first", "loss 3", "step failed: second", "loss 4"])
    assert (seen.last, seen.last_line) == ("step failed: second", 3)
    assert find.search(["all is well"]).last == ""


# Where else


def test_the_known_error_of_a_failed_check() -> None:
    checks = (
        Check("imports", "cpu", "FAIL", 1.0, found=f"ImportError\n{GPU}"),
        Check("timing", "cpu", "ERROR", 1.0, reason="not finished after 60 s"),
    )
    told = report.failures(Report("sha256:1", checks, 2))
    (known,) = [line for line in told if line.strip().startswith("known")]
    assert known.endswith(": imagekit diagnose libcuda") and told.index(known) < told.index(
        "ERROR  timing: not finished after 60 s"
    )


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_log_of_powershell(encoding: str) -> None:
    """UTF-16 with its mark; also where a block ends in the middle of a character."""
    log = "".join(f"line {n} \N{GRINNING FACE}\r\n" for n in range(9000)) + "RuntimeError: CUDA out of memory.\r\n"
    seen = of_bytes("\ufeff".encode(encoding) + log.encode(encoding))
    assert seen[0] == "line 0 \N{GRINNING FACE}" and len(seen) == 9001
    assert seen[-1] == "RuntimeError: CUDA out of memory."
    assert of_bytes("\ufeff".encode(encoding)) == []
    assert "CUDA out of memory" in of_bytes("\ufeffCUDA out of memory".encode(encoding) + b"\x00")[0]
