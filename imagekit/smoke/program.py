"""The story of one run: which checks, in which order, and what is said about them.

stdout carries one JSON object per finished check and nothing else; whatever libraries print goes to stderr.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import checks, needs, own, results
from .check import STAGES, USUAL, Check, Image, warn
from .isolate import PR_SET_PDEATHSIG, Result, adopt, run_all

ROOT = Path("/opt/imagekit")
USAGE, NOT_PROVEN, CRASHED = 2, 5, 70
"""Exit codes: what was asked for is wrong, a check failed, the program itself did."""

PATIENCE = 180.0
"""Seconds for torch to be imported before any check runs."""
BAD = ("FAIL", "ERROR")


def main(argv: Sequence[str]) -> int:
    options = _parse(argv)
    image = Image.load(options.root, options.venv) if (options.root / "lock.json").is_file() else Image.here()
    image = replace(
        image,
        model=options.model and options.model.absolute(),
        clip=options.clip and options.clip.absolute(),
    )
    chosen = _choose(image, options)
    if not image.locked and not image.has("torch"):
        print(f"smoke: {sys.executable} has no torch, so there is nothing to prove", file=sys.stderr)
        return USAGE
    if options.list:
        for check in chosen:
            about: dict[str, object] = {"check": check.name, "stage": check.stage, "about": check.about}
            about |= {"covers": results.covered(check, image), "needs": check.needs, "limit": check.limit}
            print(json.dumps(about))
        return 0
    _set_limits()
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return _in_worker(image, lambda: _prove(image, chosen, options, report.fileno()))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="smoke", description="Prove the image that this runs in.")
    parser.add_argument("--stage", action="append", choices=STAGES, default=[], help="only this stage; repeatable")
    parser.add_argument("--check", action="append", default=[], metavar="NAME", help="only this check; repeatable")
    parser.add_argument("--require-gpu", action="store_true", help="without a GPU the gpu stage fails")
    parser.add_argument("--keep-going", action="store_true", help="later stages run after a failed static one")
    parser.add_argument("--fresh", action="store_true", help="take no earlier result over")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="weights of your own, for the check own-model")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="a video of your own, for the check own-model")
    parser.add_argument("--list", action="store_true", help="name the checks and run none")
    parser.add_argument(
        "--here", dest="root", action="store_const", const=Path("/nonexistent"), default=ROOT,
        help="judge this interpreter and what is installed for it, without a lock",
    )  # fmt: skip
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    parser.add_argument("--venv", type=Path, default=Path("/opt/venv"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _choose(image: Image, options: argparse.Namespace) -> list[Check]:
    claimed = [*checks.of(image), *own.of(image)]
    unknown = sorted(set(options.check) - {check.name for check in claimed})
    if unknown:
        names = ", ".join(check.name for check in claimed)
        print(f"smoke: this image has no check {', '.join(unknown)}; it has: {names}", file=sys.stderr)
        raise SystemExit(USAGE)
    if options.check:
        return [c for c in claimed if c.name in options.check and (not options.stage or c.stage in options.stage)]
    return [c for c in claimed if c.stage in (options.stage or USUAL)]


def _set_limits() -> None:
    """Two checks run at once: a pool of threads in each would make timings and sums differ from run to run."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"


def _in_worker(image: Image, body: Callable[[], int]) -> int:
    """Run `body` in a process that has imported torch, so that each check starts with it in no time.

    Should torch not import, or take the process down, the checks run without it and say what is wrong themselves.
    """
    if image.has("torch"):
        code, began = _worker(body, preload=True)
        if began:
            return code
        warn("torch could not be imported beforehand; every check is on its own")
    return _worker(body, preload=False)[0]


def _worker(body: Callable[[], int], *, preload: bool) -> tuple[int, bool]:
    """Exit status, and whether the body was reached."""
    read, write = os.pipe()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        code = CRASHED
        try:
            _die_with(parent)
            if preload:
                import torch  # noqa: F401
            os.write(write, b".")
            os.close(write)
            adopt()
            code = body()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb", buffering=0) as sign:
        ready, _, _ = select.select([sign], [], [], PATIENCE)
        began = bool(ready) and sign.read(1) == b"."
    if not began:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return (os.WEXITSTATUS(status) if os.WIFEXITED(status) else CRASHED), began


def _die_with(parent: int) -> None:
    """Whoever ends the program from outside ends the checks too."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(CRASHED)


def _prove(image: Image, chosen: Sequence[Check], options: argparse.Namespace, report: int) -> int:
    seen: list[Result] = []
    keys = results.keys(chosen, image)
    known = {} if options.fresh or options.check else results.known()
    _say(report, {"environment": results.environment(image), "planned": len(chosen)})
    for stage in STAGES:
        mine = [check for check in chosen if check.stage == stage]
        if not options.keep_going and any(result.stage == "static" and result.status in BAD for result in seen):
            made = _skipped(mine, "static failed; --keep-going runs them")
        else:
            made = _run(
                mine, stage, image, known if stage == "static" or _as_locked(seen) else {}, keys, options, report
            )
        for result in made:
            _say(report, replace(result, key=keys.get(result.check, "")).__dict__)
            seen.append(result)
    return NOT_PROVEN if any(result.status in BAD for result in seen) else 0


def _say(report: int, line: dict[str, object]) -> None:
    rest = (json.dumps(line, default=str) + "\n").encode()
    while rest:  # a full pipe and a signal together cut a write short
        rest = rest[os.write(report, rest) :]


def _as_locked(seen: Sequence[Result]) -> bool:
    """Whether this run has shown that the installed files are the locked ones."""
    passed = {result.check for result in seen if result.status == "PASS"}
    return passed.issuperset(results.WITNESSES)


def _skipped(mine: Sequence[Check], reason: str) -> Iterator[Result]:
    for check in mine:
        yield Result(check.name, check.stage, "SKIP", reason=reason)


def _run(
    mine: Sequence[Check], stage: str, image: Image, known: Mapping[str, results.Known], keys: Mapping[str, str],
    options: argparse.Namespace, report: int,
) -> Iterator[Result]:  # fmt: skip
    possible = []
    for check in mine:
        missing = needs.missing(check, image)
        earlier = known.get(keys.get(check.name, ""))
        if missing and options.require_gpu and needs.lacks_gpu(check, image):
            yield Result(check.name, check.stage, "FAIL", found=missing, expected="a GPU (--require-gpu)")
        elif missing:
            yield Result(check.name, check.stage, "SKIP", reason=missing)
        elif earlier:
            yield Result(check.name, check.stage, "PASS", figures=earlier.figures, proven=earlier.proven)
        else:
            possible.append(check)
    # GPU checks run one after another: together they would measure each other's memory and time
    at_once = 1 if stage in needs.OF_STAGE else min(2, os.cpu_count() or 1)
    yield from run_all(possible, image, at_once=at_once, private=[report])
