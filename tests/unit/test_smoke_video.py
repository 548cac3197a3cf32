"""What the video checks make of a reader, a clip, a folder of weights: the judging, without torch and without ffmpeg."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from imagekit.smoke import checks, clips, families, odd_clips, program
from imagekit.smoke.check import Failure, Image
from imagekit.smoke.checks import expects, own_model, video, video_llm
from imagekit.smoke.clips import Recipe
from imagekit.smoke.readers import READERS, Reader

CLIP = Path("clip.mp4")


class Picture:
    """Enough of an array of height, width, RGB."""

    def __init__(self, number: int) -> None:
        self.data, self.shape = clips.frame(number), (clips.HEIGHT, clips.WIDTH, 3)

    def __getitem__(self, place: tuple[int, int]) -> bytes:
        start = (place[0] * clips.WIDTH + place[1]) * 3
        return self.data[start : start + 3]


class Turned(Picture):
    """The same, a quarter to the right or to the left."""

    def __init__(self, number: int, *, right: bool) -> None:
        super().__init__(number)
        self.right, self.shape = right, (clips.WIDTH, clips.HEIGHT, 3)

    def __getitem__(self, place: tuple[int, int]) -> bytes:
        row, column = place
        stored = (clips.HEIGHT - 1 - column, row) if self.right else (column, clips.WIDTH - 1 - row)
        return super().__getitem__(stored)


def pictures(numbers: Sequence[int]) -> list[Any]:
    return [Picture(number) for number in numbers]


def reader(numbers: Sequence[int] = (), ending: Exception | None = None, **others: Any) -> Reader:
    def all_of_them(clip: Path) -> Iterator[Any]:
        yield from pictures(numbers)
        if ending:
            raise ending

    return Reader(**{"name": "fake", "all": all_of_them, "some": None, "times": None, "covers": ("fake",), **others})


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Recipes that were asked for; nothing is encoded."""
    asked: list[Recipe] = []
    monkeypatch.setattr(clips, "write", lambda recipe: asked.append(recipe) or CLIP)
    return asked


def test_the_right_frames_after_a_seek_pass(no_encoder: list[Recipe]) -> None:
    assert video.seek(reader(some=lambda clip, numbers, rate: pictures(numbers))) == "20 frames"
    assert no_encoder[0].options == odd_clips.EVERY_FIFTH


@pytest.mark.parametrize(
    "lands_on",
    [lambda number: number // 5 * 5, lambda number: min(number + 1, 19), lambda number: 19 - number],
    ids=["key frame", "one too far", "backwards"],
)
def test_a_seek_that_lands_elsewhere_fails(no_encoder: list[Recipe], lands_on: Callable[[int], int]) -> None:
    wrong = reader(some=lambda clip, numbers, rate: pictures([lands_on(number) for number in numbers]))
    with pytest.raises(Failure, match=r"frames \["):
        video.seek(wrong)


def test_the_scrambled_order_asks_for_every_frame_once_and_not_in_order() -> None:
    assert sorted(video.SCRAMBLED) == video.EVERY != video.SCRAMBLED
    assert any(b < a for a, b in zip(video.SCRAMBLED, video.SCRAMBLED[1:], strict=False))


def test_uneven_times_are_uneven_and_rise() -> None:
    times = odd_clips.uneven_times()
    steps = [round(b - a, 6) for a, b in zip(times, times[1:], strict=False)]
    assert len(set(steps)) == len(steps)
    assert min(steps) > 10 * video.CLOCK


def test_times_at_a_constant_rate_fail_on_an_uneven_clip(no_encoder: list[Recipe]) -> None:
    right = reader(video.EVERY, times=lambda clip: odd_clips.uneven_times())
    assert video.uneven(right) == "20 frames and times"
    with pytest.raises(Failure, match=r"times 0\.000, 0\.100"):
        video.uneven(reader(video.EVERY, times=lambda clip: [number / 10 for number in video.EVERY]))
    with pytest.raises(Failure, match="times"):
        video.uneven(reader(video.EVERY, times=lambda clip: odd_clips.uneven_times()[:-1]))


def test_frames_that_are_doubled_or_missing_fail() -> None:
    for numbers in ([0, *range(19)], list(range(19)), [1, 0, *range(2, 20)]):
        with pytest.raises(Failure):
            video.in_order(pictures(numbers))


def test_rotation_is_applied_or_ignored_and_never_something_else() -> None:
    assert video.orientation(pictures(video.EVERY)) == "ignored"
    assert video.orientation([Turned(number, right=True) for number in video.EVERY]) == "applied"
    with pytest.raises(Failure, match="-1"):
        video.orientation([Turned(number, right=False) for number in video.EVERY])
    with pytest.raises(Failure, match="no frames"):
        video.orientation([])
    with pytest.raises(Failure, match="frames of"):
        video.orientation([*pictures([0]), Turned(1, right=True)])


@pytest.mark.parametrize(
    ("numbers", "ending", "said"),
    [
        (range(5), None, "5 frames"),
        ((), ValueError("no index"), "0 frames, then ValueError"),
        (range(7), EOFError("end"), "7 frames, then EOFError"),
        ((), Failure(found="does not open", expected="opens"), "0 frames, refused"),
    ],
)
def test_a_broken_file_may_give_what_is_there_and_may_be_refused(
    numbers: Sequence[int], ending: Exception | None, said: str
) -> None:
    assert video.prefix(reader(numbers, ending), CLIP) == said


@pytest.mark.parametrize("ending", [None, EOFError("end")])
def test_a_broken_file_that_gives_wrong_frames_fails(ending: Exception | None) -> None:
    for numbers in ([0, 1, 2, 2, 2], [0, 1, 4], [3]):
        with pytest.raises(Failure, match="frames"):
            video.prefix(reader(numbers, ending), CLIP)


def test_every_kind_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(reader: Reader) -> str:
        raise Failure(found="nothing", expected="something")

    def bang(reader: Reader) -> str:
        raise OSError("bang")

    monkeypatch.setattr(video, "KINDS", {"good": lambda reader: "fine", "one": no, "two": bang})
    with pytest.raises(Failure) as told:
        video.Case(reader()).run(Image({}, {}))
    assert told.value.found == "one: nothing; expected something | two: OSError: bang"


def _mp4(*boxes: bytes) -> bytes:
    return b"".join((len(box) + 4).to_bytes(4, "big") + box for box in boxes)


def test_a_track_header_is_turned_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = tmp_path / "x.mp4"
    clip.write_bytes(_mp4(b"mvhd" + odd_clips.UPRIGHT, b"tkhd" + odd_clips.UPRIGHT, b"mdat"))
    monkeypatch.setattr(clips, "write", lambda recipe: clip)
    odd_clips.turned()
    assert clip.read_bytes() == _mp4(b"mvhd" + odd_clips.UPRIGHT, b"tkhd" + odd_clips.CLOCKWISE, b"mdat")
    with pytest.raises(Failure, match="track header"):
        odd_clips.turned()


def test_a_clip_is_cut_in_its_frames_and_not_in_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, frames = tmp_path / "x.mp4", b"mdat" + bytes(100)
    clip.write_bytes(_mp4(b"moov" + bytes(50), frames))
    monkeypatch.setattr(clips, "write", lambda recipe: clip)
    odd_clips.cut_off()
    left = clip.read_bytes()
    assert left.startswith(_mp4(b"moov" + bytes(50)))
    assert 20 < len(left) - left.find(b"mdat") < 80
    clip.write_bytes(_mp4(frames, b"moov"))
    with pytest.raises(Failure, match="index is at its end"):
        odd_clips.cut_off()
    odd_clips.without_index()
    assert b"moov" not in clip.read_bytes()


def test_vp9_is_in_webm_and_h264_in_mp4() -> None:
    assert Recipe("x", "libvpx-vp9").file.name == "x.webm"
    assert Recipe("x", "libx264").file.name == "x.mp4"


def test_options_are_pairs() -> None:
    for _, options in clips.ENCODERS.values():
        assert len(options) % 2 == 0
        assert all(name.startswith("-") for name in options[::2])


def test_the_tone_is_16_bits_and_loud(tmp_path: Path, no_encoder: list[Recipe]) -> None:
    odd_clips.with_sound()
    assert len(no_encoder[0].sound) == 2 * clips.SOUND_RATE * odd_clips.SECONDS


def test_a_reader_is_proven_where_the_profile_expects_it_for_h264() -> None:
    image = Image({}, {"expects": {"read": {"h264": ["decord"], "vp9": ["av"]}}})
    assert [check.name for check in video.CHECKS if check.applies(image)] == ["video-decord"]
    assert {check.name for check in video.CHECKS} == {f"video-{name}" for name in READERS}


# -- models --


@pytest.mark.parametrize("name", families.FAMILIES)
def test_every_family_may_be_expected(name: str) -> None:
    image = Image({}, {"cuda": "12.1", "expects": {"model": name}})
    assert expects.unproven(image) == []
    assert video_llm.CHECK.applies(image)
    family = families.FAMILIES[name]
    assert sum(family.prompt("why").count(token) for token in family.tokens if "video" in token) == 1


def test_every_word_of_the_questions_is_in_the_vocabulary() -> None:
    for question in (families.SHORT, families.LONG):
        assert set(question.split()) <= set(families.WORDS)
    assert len(families.SHORT.split()) < len(families.LONG.split())


class Numbers(list[float]):
    """Enough of a tensor."""

    def __sub__(self, other: Numbers) -> Numbers:
        return Numbers(a - b for a, b in zip(self, other, strict=True))

    def abs(self) -> Numbers:
        return Numbers(abs(number) for number in self)

    def max(self) -> Numbers:
        return Numbers([math.nan if any(map(math.isnan, self)) else max(self)])

    def item(self) -> float:
        return self[0]


def test_logits_that_are_near_and_logits_that_are_not() -> None:
    assert video_llm.near(Numbers([1, 2]), Numbers([1, 2.00001]), 1e-4, "x") < 1e-4
    for far in (2.1, math.nan):
        with pytest.raises(Failure, match="x: logits differ by"):
            video_llm.near(Numbers([1, 2]), Numbers([1, far]), 1e-4, "x")


def test_a_model_that_does_not_see_the_frames_fails() -> None:
    video_llm.sees(Numbers([1, 2]), Numbers([1, 2.1]))
    for other in (2.0, math.nan):
        with pytest.raises(Failure, match="backwards"):
            video_llm.sees(Numbers([1, 2]), Numbers([1, other]))


def test_too_few_tokens_fail() -> None:
    video_llm.counted((1, 4), (1, 4))
    with pytest.raises(Failure):
        video_llm.counted((1, 3), (1, 4))


def folder(tmp_path: Path, config: Any, weights: str = "model.safetensors") -> Path:
    (tmp_path / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if weights:
        (tmp_path / weights).touch()
    return tmp_path


def test_the_class_of_a_model_is_the_one_that_it_names(tmp_path: Path) -> None:
    named = {"model_type": "qwen2_vl", "architectures": ["Qwen2VLForConditionalGeneration"]}
    assert own_model.architecture(folder(tmp_path, named)) == "Qwen2VLForConditionalGeneration"
    inside = {"model_type": "qwen2_vl", "text_config": {"architectures": ["Q"]}}
    assert own_model.architecture(folder(tmp_path, inside)) == "Q"
    assert own_model.architecture(folder(tmp_path, {"model_type": "qwen2_vl"})) == ""


@pytest.mark.parametrize(
    ("config", "weights", "said"),
    [
        ({"model_type": "x"}, "", "holds no weights"),
        ({"some": "json"}, "model.bin", "names no model_type"),
        ("[1]", "model.bin", "names no model_type"),
        ("not json", "model.bin", "config.json: Expecting value"),
    ],
)
def test_a_folder_that_is_no_model_says_so(tmp_path: Path, config: Any, weights: str, said: str) -> None:
    with pytest.raises(Failure, match=said) as told:
        own_model.architecture(folder(tmp_path, config, weights))
    assert "--model" in told.value.fix


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        own_model.architecture(tmp_path / "nowhere")


def test_weights_that_this_user_cannot_read_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_model.os, "access", lambda path, mode: False)
    with pytest.raises(Failure, match="cannot be read by user"):
        own_model.architecture(folder(tmp_path, {"model_type": "x"}))


@pytest.mark.parametrize(("count", "numbers"), [(8, list(range(8))), (80, list(range(0, 80, 10)))])
def test_frames_are_taken_evenly(count: int, numbers: list[int]) -> None:
    assert list(own_model.picked(range(count), count)) == numbers


def test_a_clip_of_three_frames_gives_all_eight() -> None:
    assert list(own_model.picked(range(3), 3)) == [0, 0, 0, 1, 1, 1, 2, 2]


def test_own_model_is_there_when_a_model_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lock.json").write_text(json.dumps({"packages": []}))
    (tmp_path / "image.json").write_text("{}")
    rows = []
    for options in ([], ["--model", "weights", "--clip", "x.mp4"]):
        assert program.main(["--root", str(tmp_path), "--list", *options]) == 0
        rows.append({json.loads(line)["check"] for line in capsys.readouterr().out.splitlines()})
    assert rows[1] - rows[0] == {"own-model"}
    assert own_model.CHECK in checks.ALL
