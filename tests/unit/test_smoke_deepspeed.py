"""What the ZeRO-2 checks make of an engine: the judging, without deepspeed."""

from __future__ import annotations

import math
import os
from typing import Any

import pytest

from imagekit.smoke.check import Failure, Image, Package, Skip
from imagekit.smoke.checks import deepspeed_zero2


@pytest.mark.parametrize(
    ("stage", "losses"), [(0, [1.0, 0.5]), (2, [0.5, 0.5]), (2, [0.5, 1.0]), (2, [0.5, math.nan]), (2, [math.inf, 0.5])]
)
def test_another_stage_and_losses_that_stay_or_explode_fail(stage: int, losses: list[float]) -> None:
    deepspeed_zero2.judge(2, [1.0, 0.9])
    with pytest.raises(Failure):
        deepspeed_zero2.judge(stage, losses)


def _importing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(name: str) -> Any:
        raise error

    monkeypatch.setitem(__import__("sys").modules, "torch", object())
    monkeypatch.setattr(deepspeed_zero2.importlib, "import_module", fails)
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_a_deepspeed_that_cannot_start_without_a_gpu_is_skipped_and_says_what_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _importing(monkeypatch, ValueError("CPU_Accelerator requires intel_extension_for_pytorch, which is not installed"))
    image = Image({}, {}, packages=(Package("deepspeed", "0.9.5", "rest", False),))
    with pytest.raises(Skip, match=r"deepspeed 0\.9\.5 starts an engine on a GPU only.*no training"):
        deepspeed_zero2.on_cpu(image)


def test_another_error_of_its_import_is_no_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    _importing(monkeypatch, ValueError("something else"))
    with pytest.raises(ValueError, match="something else"):
        deepspeed_zero2.on_cpu(Image({}, {}))
