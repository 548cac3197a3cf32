"""For which GPUs a library has code, as its bytes say it, and what that means for an image and a GPU."""

from __future__ import annotations

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import fat_binary

from imagekit import gpu_code, inspection
from imagekit.compat import asking, documents, facts
from imagekit.compat.compiled import Compiled
from imagekit.compat.question import Answer, answer
from imagekit.engines.result import Result
from imagekit.errors import Surroundings
from imagekit.smoke import fatbin
from imagekit.smoke.check import Failure, Image
from imagekit.smoke.checks import gpu_architectures

FACTS = facts.load()
LABELS = {"torch": "2.4.1", "variant": "cu121", "cuda": "12.1", "python": "3.11", "os": "Debian 12"}


def elf(sections: dict[str, bytes], before: bytes = b"") -> bytes:
    """A 64-bit ELF file with these sections; `before` stands between its head and them, in no section."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    body, heads = (
        b"\x7fELF\x02\x01".ljust(64, b"\0") + before,
        [struct.pack("<IIQQQQ", 0, 0, 0, 0, 0, 0).ljust(64, b"\0")],
    )
    for name, content in [*sections.items(), (".shstrtab", names)]:
        at = names.index(b"\0" + name.encode() + b"\0") + 1
        heads.append(struct.pack("<IIQQQQ", at, 1, 0, 0, len(body), len(content)).ljust(64, b"\0"))
        body += content
    head = bytearray(body)
    struct.pack_into("<Q", head, 40, len(body))
    struct.pack_into("<3H", head, 58, 64, len(heads), len(heads) - 1)
    return bytes(head) + b"".join(heads)


def test_the_code_in_a_library_is_read() -> None:
    content = b"\x7fELF" + fat_binary(80, 90) + bytes(5) + fat_binary(120) + fat_binary(ptx=(75,)) + b"end"
    found = fatbin.of(content)
    assert found.modules == 3
    assert found.machine == {"sm_80": 1, "sm_90": 1, "sm_120": 1}
    assert found.ptx == {"compute_75": 1}
    assert fatbin.of(b"nothing").modules == 0


def test_only_the_sections_of_nvcc_are_looked_at() -> None:
    content = elf(
        {".text": fat_binary(50), ".nv_fatbin": fat_binary(80, 90) * 3 + bytes(8) + fat_binary(80), "x": b"y"}
    )
    found = fatbin.of(content)
    assert (found.modules, found.machine) == (4, {"sm_80": 4, "sm_90": 3})
    assert fatbin.of(elf({".text": fat_binary(50)})).modules == 0
    assert fatbin.of(elf({"__nv_relfatbin": fat_binary(50)})).modules == 1


def test_a_few_kernels_more_for_a_gpu_do_not_make_a_library_for_it() -> None:
    """As libtorch_cuda.so of 2.4.1 has it: 378 modules for all, three for sm_90 alone, two for sm_89."""
    found = fatbin.of(fat_binary(50, 80, 90, ptx=(90,)) * 20 + fat_binary(90) * 3 + fat_binary(89) * 2)
    assert found.general() == (["sm_50", "sm_80", "sm_90"], ["compute_90"])
    assert found.machine["sm_89"] == 2


@given(st.integers(0, 1000), st.binary(max_size=3), st.integers(0, 1000))
def test_damage_is_read_to_its_end(cut: int, other: bytes, place: int) -> None:
    content = elf({".nv_fatbin": fat_binary(80, 90), ".text": b"code"})[: cut + 64]
    damaged = content[: place % len(content)] + other + content[place % len(content) :]
    assert fatbin.of(damaged).modules <= len(damaged)
    assert fatbin.of(fatbin.MAGIC * 10).modules == 0


def test_libraries_of_a_folder(tmp_path: Path) -> None:
    for name in ("torch/lib/libtorch_cuda.so", "nvidia/cublas/libcublas.so.12", "a/b.so.1"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(elf({".nv_fatbin": fat_binary(80)}))
    (tmp_path / "plain.so").write_bytes(elf({".text": b""}))
    (tmp_path / "empty.so").touch()
    (tmp_path / "link.so").symlink_to("a/b.so.1")
    (tmp_path / "folder.so").mkdir()
    assert [name for name, _ in fatbin.libraries(tmp_path)] == ["a/b.so.1", "torch/lib/libtorch_cuda.so"]


# --- the proof


class Flags:
    class _C:
        @staticmethod
        def _cuda_getArchFlags() -> str:
            return "sm_80 sm_90"


def test_the_proof_reads_what_torch_only_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_architectures, "import_torch", Flags)
    image = Image({}, {"gpu_architectures": ["sm_80", "sm_90"], "cuda": "12.1"}, venv=tmp_path)
    place = image.site / "torch/lib/libtorch_cuda.so"
    place.parent.mkdir(parents=True)
    place.write_bytes(elf({".nv_fatbin": fat_binary(80, 90, ptx=(90,))}))
    found = gpu_architectures.run(image)
    assert found["libraries"] == {"torch/lib/libtorch_cuda.so": ["sm_80", "sm_90", "compute_90"]}
    place.write_bytes(elf({".nv_fatbin": fat_binary(80)}))
    with pytest.raises(Failure, match=r"libtorch_cuda\.so has code for sm_80") as failed:
        gpu_architectures.run(image)
    assert failed.value.because.startswith("missing sm_90")
    place.unlink()
    assert gpu_architectures.run(image)["libraries"] == {}, "a torch of another layout is believed"


# --- an image and a GPU


def asked(code: dict[str, Any] | None, *gpus: str, labels: dict[str, str] = LABELS) -> Answer:
    document = documents.of_image("pytorch:x", labels, [], code)
    return answer(asking.question(FACTS, gpus=gpus, documents=[document]), FACTS)


def lines(found: Answer, rule: str = "gpu") -> list[tuple[str, str]]:
    return [(finding.verdict, finding.text) for finding in found.findings if finding.rule == rule]


TORCH = "torch/lib/libtorch_cuda.so"


def test_the_libraries_decide_and_not_the_facts() -> None:
    assert asked(None, "V100").possible
    code = {TORCH: (["sm_80", "sm_90"], [])}
    found = asked(code, "V100")
    assert not found.possible
    text = "Tesla V100 (sm_70) has no code in torch 2.4.1+cu121 of this image, which is compiled for sm_80 sm_90"
    assert ("no", text) in lines(found)
    assert {finding.fact for finding in found.findings if finding.rule == "gpu"} == {"its libraries"}
    more = asked({TORCH: (["sm_80"], ["compute_80"])}, "B200")
    assert [verdict for verdict, _ in lines(more)] == ["note"]
    assert asked({"torch/lib/libtorch_cuda_cu.so": (["sm_70"], [])}, "V100").possible


def test_another_library_without_code_for_the_gpu_is_told() -> None:
    code = {TORCH: (["sm_70", "sm_80"], []), "flash_attn_2_cuda.so": (["sm_80", "sm_90"], [])}
    found = asked(code, "V100", "A100")
    assert found.possible
    assert [text for verdict, text in lines(found) if verdict == "note"] == [
        "flash_attn_2_cuda.so has code for sm_80 sm_90, and none for Tesla V100"
    ]


def test_an_image_without_such_a_library_is_judged_by_its_labels() -> None:
    found = asked({}, "V100")
    assert found.possible
    assert ("unknown", "no library in it has code for GPUs: it was judged by its labels") in lines(found)
    only = asked({"flash_attn_2_cuda.so": (["sm_70"], [])}, "V100")
    assert ("yes", "Tesla V100 (sm_70) runs the code for sm_70 in torch 2.4.1+cu121") in lines(only)


def test_without_a_gpu_nothing_is_said_of_code() -> None:
    assert lines(asked({TORCH: (["sm_80"], [])})) == []


class Engine:
    def __init__(self, stdout: str) -> None:
        self.stdout, self.asked = stdout, ((), {})  # type: ignore[var-annotated]

    def run(self, *positional: Any, **named: Any) -> Result:
        self.asked = (positional, named)
        return Result(0, self.stdout, "Traceback\nOSError: no room")


def inspected() -> inspection.Inspection:
    names = {field.name: "" for field in dataclasses.fields(inspection.Inspection)}
    return inspection.Inspection(**{**names, "reference": "pytorch:x", "image": "sha256:1"})  # type: ignore[arg-type]


def test_the_program_runs_in_a_container_by_itself() -> None:
    engine = Engine(json.dumps({TORCH: [["sm_80"], []]}))
    assert gpu_code.of_image(engine, inspected()) == {TORCH: [["sm_80"], []]}
    (image, command), named = engine.asked
    assert image == "sha256:1"
    assert command[:2] == ["-I", "-c"]
    assert named["entrypoint"] == ["/opt/venv/bin/python"]
    compile(command[2], "fatbin", "exec")
    assert "from ." not in command[2], "it is a file of its own in there"
    with pytest.raises(Surroundings, match="libraries of pytorch:x could not be read"):
        gpu_code.of_image(Engine("Killed"), inspected())


def test_what_is_compiled_is_told_apart_from_the_facts() -> None:
    (choice,) = [answer(asking.question(FACTS, torch="2.4.1", cuda="12.1", os="bookworm"), FACTS).choice]
    assert choice
    found = Compiled({TORCH: (("sm_90",), ())}).into(choice)
    assert found.variant.gpu_architectures == ("sm_90",)
    assert Compiled({"x.so": (("sm_90",), ())}).into(choice) is choice


def _huge(content: bytes, at: int, number: int = 2**64 - 1) -> bytes:
    damaged = bytearray(content)
    struct.pack_into("<Q", damaged, at, number)
    return bytes(damaged)


def test_hostile_files_are_read_to_their_end() -> None:
    plain = elf({".nv_fatbin": fat_binary(80)})
    table = struct.unpack_from("<Q", plain, 40)[0]
    for damaged in (
        _huge(plain, 40), _huge(plain, 40, 2**63), _huge(plain, table + 64 + 24), _huge(plain, table + 64 + 32),
        _huge(plain, table + 2 * 64 + 24, 2**64 - 10), _huge(fat_binary(80), 8), _huge(fat_binary(80), 16 + 8),
    ):  # fmt: skip
        assert fatbin.of(damaged).modules <= 1
    assert fatbin.of(fat_binary(4_294_967_295)).modules == 0
    # one section said sixty thousand times
    many = bytearray(plain)
    struct.pack_into("<3H", many, 58, 0, 65_535, 0)
    assert fatbin.of(bytes(many)).modules <= 1
    same = elf({".nv_fatbin": fat_binary(80) * 2, **{f".n{n}": b"" for n in range(3)}})
    assert fatbin._apart({(0, 10), (5, 20), (0, 10), (20, 30), (25, 26)}) == [(0, 10), (10, 20), (20, 30)]
    assert fatbin.of(same).modules == 2
