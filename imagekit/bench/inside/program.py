"""The story of one run: the machine, then each benchmark, one JSON object a line on stdout and nothing else there."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from . import benches, isolate, node
from .bench import Bench, Setting, Skip

FAILED = 5


def main(argv: Sequence[str]) -> int:
    options = parse(argv)
    chosen = choose(options.only)
    if options.list:
        for bench in chosen:
            print(json.dumps({"bench": bench.name, "about": bench.about, "needs": bench.needs}))
        return 0
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    here = isolate.call(node.environment, 120)
    tell(report, {"environment": here})
    setting = Setting(options.quick, options.device, tuple(here["gpus"]), here["cores"])
    preload()
    bad = False
    for bench in chosen:
        result = one(bench, setting)
        tell(report, result)
        bad = bad or result["status"] == "ERROR"
    return FAILED if bad else 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="inside", description="Measure the image that this runs in.")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="only this one; repeatable")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and smaller amounts")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and run none")
    parser.add_argument("--device", choices=("cpu", "cuda", "all"), default="all", help="where to measure")
    return parser.parse_args(argv)


def choose(only: Sequence[str]) -> list[Bench]:
    unknown = sorted(set(only) - {bench.name for bench in benches.ALL})
    if unknown:
        names = ", ".join(bench.name for bench in benches.ALL)
        print(f"bench: there is no {', '.join(unknown)}; there are: {names}", file=sys.stderr)
        raise SystemExit(2)
    return [bench for bench in benches.ALL if not only or bench.name in only]


def preload() -> None:
    """Each benchmark is a fork of this process and finds torch imported; `start` measures that in fresh ones."""
    try:
        importlib.import_module("torch")
    except Exception as error:  # a benchmark that needs it says so itself
        print(f"bench: import torch: {type(error).__name__}: {error}", file=sys.stderr)


def one(bench: Bench, setting: Setting) -> dict[str, Any]:
    result: dict[str, Any] = {"bench": bench.name, "status": "OK", "reason": "", "metrics": [], "notes": {}}
    started = time.monotonic()
    try:
        result |= (
            {"status": "SKIP", "reason": missing} if (missing := bench.missing(setting)) else _measure(bench, setting)
        )
    except TimeoutError:
        result |= {"status": "ERROR", "reason": f"no end after {bench.limit:g} s"}
    except RuntimeError as error:
        result |= {"status": "ERROR", "reason": str(error)}
    return {**result, "seconds": round(time.monotonic() - started, 2)}


def _measure(bench: Bench, setting: Setting) -> dict[str, Any]:
    def body() -> dict[str, Any]:
        try:
            outcome = bench.run(setting)
        except Skip as reason:
            return {"status": "SKIP", "reason": str(reason)}
        return {"metrics": [metric.row() for metric in outcome.metrics], "notes": outcome.notes}

    return dict(isolate.call(body, bench.limit))


def tell(report: Any, row: dict[str, Any]) -> None:
    report.write(json.dumps(row, default=str) + "\n")
    report.flush()
