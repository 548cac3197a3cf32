"""What the checks of training, of loading and of checkpoints judge by, without torch."""

from __future__ import annotations

import random

import pytest

from imagekit.smoke.check import Failure
from imagekit.smoke.checks import any_user, checkpoint, data_loader, training


def test_ten_digits_that_differ() -> None:
    glyphs = {digit: text.split() for digit, text in training.FONT.items()}
    assert sorted(glyphs) == list(range(10))
    assert all(len(rows) == 7 and {len(row) for row in rows} == {5} for rows in glyphs.values())
    assert len({tuple(rows) for rows in glyphs.values()}) == 10


def test_a_drawing_is_the_same_every_time_and_fits() -> None:
    first, again = (training.draw(3, random.Random(7)) for _ in range(2))
    assert first == again != training.draw(3, random.Random(8))
    assert [len(row) for row in first] == [training.SIDE] * training.SIDE


def test_a_network_that_learns_nothing_fails() -> None:
    training.judge(0.95, [2.3, 0.1])
    for accuracy in (0.94, 0.1, float("nan")):
        with pytest.raises(Failure):
            training.judge(accuracy, [2.3, 2.3])


def test_differences_name_the_path() -> None:
    meant = {"/model/0.weight": 1, "/lr": 0.1}
    assert checkpoint.differences(meant, dict(meant)) == []
    assert checkpoint.differences(meant, {**meant, "/lr": 0.2}) == ["/lr"]
    assert checkpoint.differences(meant, {"/lr": 0.1}) == ["/model/0.weight"]
    assert checkpoint.differences(meant, {**meant, "/more": None}) == ["/more"]


def test_numbers_that_two_workers_share_fail() -> None:
    data_loader.augmentations([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    with pytest.raises(Failure, match="1 different numbers of numpy in 2 samples"):
        data_loader.augmentations([[0.1, 0.2, 0.3], [0.4, 0.5, 0.3]])


@pytest.mark.parametrize(
    "message",
    [
        "DataLoader worker (pid 41) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory.",
        "unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)",
    ],
)
def test_a_worker_without_shared_memory_is_told_from_others(message: str) -> None:
    died = data_loader.death(message, free=64)
    assert died is not None
    assert died.found == "the DataLoader worker died of too little /dev/shm: 64 MB here"
    assert "--shm-size" in died.fix and "medium: Memory" in died.fix
    assert data_loader.death("DataLoader worker (pid 41) is killed by signal: Killed.", free=64) is None


def test_the_reason_behind_an_error_is_read() -> None:
    try:
        try:
            raise RuntimeError("killed by signal: Bus error")
        except RuntimeError as first:
            raise RuntimeError("worker exited unexpectedly") from first
    except RuntimeError as error:
        said = data_loader.messages(error)
    assert said == "killed by signal: Bus error / worker exited unexpectedly"


def test_who_am_i_without_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    with pytest.raises(Failure, match="getpass.getuser.*uid not found") as failed:
        any_user.ask("getpass.getuser()", nobody)
    assert "HOME, USER or LOGNAME" in failed.value.because
    monkeypatch.setattr(any_user.pwd, "getpwuid", lambda uid: nobody())
    assert not any_user.has_entry(12345)
