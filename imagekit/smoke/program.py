"""The story of one run: which checks, in which order, and what is said about them.

stdout carries one JSON object per finished check and nothing else; whatever libraries print goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from . import checks, needs, own
from .check import ALL, STAGES, USUAL, Check, Image, warn
from .isolate import Result, run_all

NOT_PROVEN = 5
BAD = ("FAIL", "ERROR")


def main(argv: Sequence[str]) -> int:
    options = _parse(argv)
    image = replace(
        Image.load(options.root, options.venv),
        model=options.model and options.model.absolute(),
        clip=options.clip and options.clip.absolute(),
    )
    chosen = _choose(image, options)
    if options.list:
        for check in chosen:
            row = {"check": check.name, "stage": check.stage, "about": check.about, "covers": covered(check, image)}
            print(json.dumps(row))
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
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="weights of your own, for the check own-model")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="a video of your own, for the check own-model")
    parser.add_argument("--list", action="store_true", help="name the checks and run none")
    parser.add_argument("--root", type=Path, default=Path("/opt/imagekit"), help=argparse.SUPPRESS)
    parser.add_argument("--venv", type=Path, default=Path("/opt/venv"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _choose(image: Image, options: argparse.Namespace) -> list[Check]:
    claimed = [*checks.of(image), *own.of(image)]
    unknown = sorted(set(options.check) - {check.name for check in claimed})
    if unknown:
        names = ", ".join(check.name for check in claimed)
        print(f"smoke: this image has no check {', '.join(unknown)}; it has: {names}", file=sys.stderr)
        raise SystemExit(2)
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
    pid = os.fork()
    if pid == 0:
        code = NOT_PROVEN
        try:
            if preload:
                import torch  # noqa: F401
            os.write(write, b".")
            os.close(write)
            code = body()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as sign:
        began = sign.read(1) == b"."
    _, status = os.waitpid(pid, 0)
    return (os.WEXITSTATUS(status) if os.WIFEXITED(status) else NOT_PROVEN), began


def _prove(image: Image, chosen: Sequence[Check], options: argparse.Namespace, report: int) -> int:
    bad = static_failed = False
    covers = {check.name: covered(check, image) for check in chosen}
    for stage in STAGES:
        mine = [check for check in chosen if check.stage == stage]
        if static_failed and not options.keep_going:
            results = _skipped(mine, "static failed; --keep-going runs them")
        else:
            results = _run(mine, stage, image, require_gpu=options.require_gpu)
        for result in results:
            os.write(report, (replace(result, covers=covers[result.check]).line() + "\n").encode())
            bad = bad or result.status in BAD
            static_failed = static_failed or (stage == "static" and result.status in BAD)
    return NOT_PROVEN if bad else 0


def _skipped(mine: Sequence[Check], reason: str) -> Iterator[Result]:
    for check in mine:
        yield Result(check.name, check.stage, "SKIP", reason=reason)


def _run(mine: Sequence[Check], stage: str, image: Image, *, require_gpu: bool) -> Iterator[Result]:
    possible = []
    for check in mine:
        missing = needs.missing(check, image)
        if not missing:
            possible.append(check)
        elif require_gpu and needs.lacks_gpu(check, image):
            yield Result(check.name, check.stage, "FAIL", found=missing, expected="a GPU (--require-gpu)")
        else:
            yield Result(check.name, check.stage, "SKIP", reason=missing)
    # GPU checks run one after another: together they would measure each other's memory and time
    at_once = 1 if stage in needs.OF_STAGE else min(2, os.cpu_count() or 1)
    yield from run_all(possible, image, at_once=at_once)


def covered(check: Check, image: Image) -> tuple[str, ...]:
    """The locked distributions that a check covers."""
    if ALL in check.covers:
        return tuple(package.name for package in image.packages)
    return tuple(name for name in check.covers if image.has(name))
