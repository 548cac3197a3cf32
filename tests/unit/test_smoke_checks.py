"""The list of checks: its shape, and which image gets which."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from imagekit.smoke import checks, clips, program, results
from imagekit.smoke.check import ALL, STAGES, Image
from imagekit.smoke.checks import bytecode, env, expects, read_only

VIDEO_FACTS: dict[str, Any] = {
    "cuda": "12.1",
    "gpu_architectures": ["sm_80"],
    "features": ["compile", "nvdec", "rdma"],
    "expects": {
        "read": {"h264": ["av", "opencv", "decord"], "hevc": ["av"]},
        "write": ["libx264"],
        "model": "llava-next-video",
        "formats": ["jpeg", "png"],
    },
}


def image(tmp_path: Path, facts: dict[str, Any], names: tuple[str, ...], **lock: Any) -> Image:
    root = tmp_path / "imagekit"
    (root / "record").mkdir(parents=True)
    (root / "start").touch()
    packages = [{"name": name, "version": "1.0", "group": "rest", "standin": False} for name in names]
    (root / "lock.json").write_text(json.dumps({"torch": "2.4.1", "packages": packages, **lock}))
    (root / "image.json").write_text(json.dumps(facts))
    return Image.load(root, tmp_path / "venv")


@pytest.fixture
def video(tmp_path: Path) -> Image:
    names = ("torch", "transformers", "pillow", "pillow-simd")
    made = image(tmp_path, VIDEO_FACTS, names, replace={"pillow": "pillow-simd"})
    (made.root / "record" / "system.txt").write_text("ffmpeg=7:5.1.6\ntini=0.19\n")
    return made


@pytest.fixture
def tiny(tmp_path: Path) -> Image:
    return image(tmp_path, {"cuda": "12.1", "standin_torch": True}, ("torch", "idna"))


def names(of: Image) -> set[str]:
    return {check.name for check in checks.of(of)}


def test_names_are_unique_and_plain() -> None:
    every = [check.name for check in checks.ALL]
    assert len(every) == len(set(every))
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) for name in every)


def test_stages_come_in_their_order() -> None:
    order = [STAGES.index(check.stage) for check in checks.ALL]
    assert order == sorted(order)


def test_every_file_is_in_the_list() -> None:
    folder = Path(checks.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == {check.run.__module__.rpartition(".")[2] for check in checks.ALL}


def test_every_check_says_what_a_user_would_suffer(video: Image) -> None:
    assert all(len(check.about) > 10 for check in checks.of(video))


def test_the_smoke_program_knows_nothing_of_imagekit() -> None:
    folder = Path(checks.__file__).parent
    for path in [*folder.glob("*.py"), *folder.parent.glob("*.py")]:
        assert not re.search(r"^\s*(from|import) imagekit", path.read_text(), re.MULTILINE), path


def test_a_video_image_gets_what_it_promises(video: Image) -> None:
    promised = {"read-h264-by-decord", "read-hevc-by-av", "video-llm", "compile-cpu", "nvdec", "rdma", "replaced"}
    assert promised <= names(video)
    assert not {"read-hevc-by-opencv", "read-vp9-by-av"} & names(video)


def test_a_tiny_image_is_not_asked_for_what_it_does_not_claim(tiny: Image) -> None:
    cpu = {check.name for check in checks.of(tiny) if check.stage != "static"}
    assert cpu == {"shared-memory"}
    not_claimed = {"cuda-libraries", "gpu-architectures", "replaced", "pillow-simd", "rdma", "nvdec", "expects"}
    assert not not_claimed & names(tiny)
    assert {"versions", "cuda-tag", "imports", "pip-check", "bytecode"} <= names(tiny)


def test_covers_name_locked_distributions_only(video: Image) -> None:
    covered = {check.name: results.covered(check, video) for check in checks.of(video)}
    assert covered["versions"] == ("torch", "transformers", "pillow", "pillow-simd")
    assert covered["video-llm"] == ("transformers", "torch", "pillow")
    assert covered["ffmpeg"] == ()
    assert all(ALL not in names for names in covered.values())


def test_a_promise_that_nobody_proves_is_named(tmp_path: Path) -> None:
    facts = {"expects": {"read": {"prores": ["av"], "h264": ["qt"]}, "model": "gpt", "formats": ["xyz"], "fly": True}}
    found = expects.unproven(image(tmp_path, facts, ()))
    assert found == ["expects.fly", "read prores by av", "read h264 by qt", "model gpt", "format xyz"]


def test_an_unknown_check_is_a_usage_error(video: Image, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--root", str(video.root), "--check", "no-such"])
    assert ended.value.code == 2
    assert "no-such" in capsys.readouterr().err


def test_the_list_is_json(video: Image, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--root", str(video.root), "--list", "--stage", "cpu"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["stage"] for row in rows} == {"cpu"}


class Picture:
    """A frame as a reader gives it, without numpy."""

    def __init__(self, data: bytes) -> None:
        self.data, self.shape = data, (clips.HEIGHT, clips.WIDTH, 3)

    def __getitem__(self, place: tuple[int, int]) -> bytes:
        start = (place[0] * clips.WIDTH + place[1]) * 3
        return self.data[start : start + 3]


def test_a_frame_says_its_number() -> None:
    assert [clips.number_of(Picture(clips.frame(n))) for n in range(clips.FRAMES)] == list(range(clips.FRAMES))


def test_exchanged_colours_show() -> None:
    data = clips.frame(3)
    exchanged = bytes(data[i + 2 - 2 * (i % 3)] if i % 3 != 1 else data[i] for i in range(0, len(data)))
    assert clips.number_of(Picture(exchanged)) == -1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, ""),
        ({"USER": ""}, "USER is not set"),
        ({"LANG": "C"}, "LANG=C is not UTF-8"),
        ({"https_proxy": "http://proxy:3128"}, "https_proxy is baked in"),
        ({"PIP_INDEX_URL": "https://me:secret@index/simple"}, "PIP_INDEX_URL holds a password"),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, "NVIDIA_VISIBLE_DEVICES=all is baked in"),
        ({"NVIDIA_DRIVER_CAPABILITIES": "compute"}, "NVIDIA_DRIVER_CAPABILITIES=compute has no video"),
    ],
)
def test_variables(video: Image, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], problem: str) -> None:
    monkeypatch.setenv("IMAGEKIT_IMAGE_ENV", "[]")
    good = {"HOME": "/home/imagekit", "USER": "u", "LOGNAME": "u", "LANG": "C.UTF-8"}
    good["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility,video"
    assert env.problems(video, good | change) == ([problem] if problem else [])


def test_bytecode_states(tmp_path: Path) -> None:
    import py_compile

    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    assert bytecode.state(source) == "missing"
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP)
    assert bytecode.state(source) == "not checked-hash"
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    assert bytecode.state(source) == ""
    source.write_text("x = 2\n")
    assert bytecode.state(source) == "stale"


def test_walk_sees_files_and_not_what_links_lead_to(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    (tmp_path / "link").symlink_to("a")
    assert {Path(path).name for path, _ in read_only.walk(tmp_path)} == {tmp_path.name, "a", "file"}
