"""The facts about torch, compared with the metadata of every wheel of it on the index of pip: two witnesses."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance


def test_no_wheel_says_otherwise(tmp_path: Path) -> None:
    call = ["imagekit", "compat", "refresh", "--all", "--index", "pypi", "--dry-run", "--json"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["builds"] >= 52
    assert [change for change in found["changes"] if change["kind"] in ("differs", "gone")] == []
    # the wheels of torch 2.4 for Python 3.12 ask for setuptools, those for older ones do not
    left = {change["where"] for change in found["changes"] if change["kind"] == "left"}
    assert left <= {"torch/2.4.0", "torch/2.4.1"}
