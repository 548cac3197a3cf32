"""Nights whose images are measured for real."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import registries

pytestmark = [pytest.mark.image, pytest.mark.acceptance]

PIPELINE = """
matrix: {profile: [./ours.yaml]}
nightly:
  promote: [prod]
  updates: false
  engine: true
  bench: {only: [start], quick: true, max_regression: 90%}
"""
NAME = "start/import torch"


def night(here: Path) -> dict[str, Any]:
    """What became of the one image."""
    call = ["imagekit", "nightly", "--state", "nights", "--json"]
    done = subprocess.run(call, cwd=here, env=dict(os.environ), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    return dict(cell)


def test_an_image_that_got_slower_stays_where_it_is(engine: object, tmp_path: Path) -> None:
    """The first figures are what later ones are compared with, until somebody removes them."""
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "ours.yaml").write_text("extends: base\n")
    with registries.served(tmp_path / "registry") as host:
        (tmp_path / "imagekit.toml").write_text(f'[registry]\npush = "{host}/staging"\nprod = "{host}/prod"\n')
        first = night(tmp_path)
        assert first["promoted"] == {"prod": "moved"} and first["figures"][NAME] > 0 and not first["slower"], first
        (baseline,) = (tmp_path / "nights/baselines").glob("*.json")
        kept = json.loads(baseline.read_text())
        (metric,) = (one for bench in kept["benches"] for one in bench["metrics"] if one["name"] == "import torch")
        metric |= {key: metric[key] / 100 for key in ("median", "low", "high")}
        metric["samples"] = [sample / 100 for sample in metric["samples"]]
        baseline.write_text(json.dumps(kept))
        (tmp_path / "ours.yaml").write_text("extends: base\nenv: {A: other}\n")
        slow = night(tmp_path)
        assert slow["did"] == "built" and NAME in slow["slower"][0], slow
        assert NAME in slow["promoted"]["prod"], slow
        still = night(tmp_path)
        assert still["did"] == "nothing" and NAME in still["promoted"]["prod"], "it was said of this very image"
        baseline.unlink()
        again = night(tmp_path)
        assert again["promoted"] == {"prod": "moved"} and not again["slower"], again
        text = (tmp_path / "nights/index.html").read_text()
        assert NAME in text and "checks that passed" in text
