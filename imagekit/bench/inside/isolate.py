"""Each benchmark in a process of its own: memory, threads and a started CUDA of one must not slow down the next."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


def call(body: Callable[[], Any], limit: float) -> Any:
    """What `body` returns (something that JSON holds), or TimeoutError, or RuntimeError with how it ended.

    SIGCHLD is blocked and waited for: no time is lost in polling, and none is taken from what is measured.
    """
    folder = Path(tempfile.mkdtemp(prefix="imagekit-bench-"))
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    sys.stdout.flush()
    sys.stderr.flush()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        code = 1
        try:
            _become_child(folder, parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
            (folder / "answer.json").write_text(json.dumps(_answer(body)), encoding="utf-8")
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    with contextlib.suppress(PermissionError, ProcessLookupError):  # the child has done it itself, or is gone
        os.setpgid(pid, pid)
    try:
        status = _wait(pid, time.monotonic() + limit)
        said = folder / "answer.json"
        if not said.is_file():
            raise RuntimeError(f"the benchmark died: {_ending(status)}")
        answer = json.loads(said.read_text(encoding="utf-8"))
    finally:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # workers that it started must not outlive it
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
        shutil.rmtree(folder, ignore_errors=True)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["value"]


def _wait(pid: int, deadline: float) -> int:
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        left = deadline - time.monotonic()
        if left <= 0:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise TimeoutError
        signal.sigtimedwait({signal.SIGCHLD}, left)


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _answer(body: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"value": body()}
    except BaseException as error:  # whatever it raised, SystemExit too, is what is told
        traceback.print_exc()
        return {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}


def _become_child(folder: Path, parent: int) -> None:
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    work = folder / "work"
    work.mkdir()
    os.chdir(work)
    os.environ["TMPDIR"] = tempfile.tempdir = str(work)
    # what was compiled in an earlier run must not be found: compiling is measured
    os.environ |= {"TORCHINDUCTOR_CACHE_DIR": str(work / "inductor"), "TRITON_CACHE_DIR": str(work / "triton")}
