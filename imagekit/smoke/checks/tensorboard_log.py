"""TensorBoard that shows nothing: protobuf or numpy of another version, and logs that cannot be read back."""

from __future__ import annotations

import importlib
from pathlib import Path

from ..check import Check, Failure, Figures, Image, progress


def run(image: Image) -> Figures:
    progress("import tensorboard")
    version = importlib.import_module("tensorboard").__version__
    event = importlib.import_module("tensorboard.compat.proto.event_pb2").Event
    summary = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary
    writer = importlib.import_module("tensorboard.summary.writer.event_file_writer").EventFileWriter("log")
    for step in range(3):
        value = summary.Value(tag="loss", simple_value=1.0 / (step + 1))
        writer.add_event(event(step=step, wall_time=float(step), summary=summary(value=[value])))
    writer.close()
    progress("reading the log back")
    reader = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    log = reader.EventAccumulator(str(Path("log").resolve()))
    log.Reload()
    steps = [row.step for row in log.Scalars("loss")] if "loss" in log.Tags()["scalars"] else []
    if steps != [0, 1, 2]:
        raise Failure(found=f"steps {steps}", expected="the three steps that were written")
    return {"tensorboard": version, "steps": len(steps)}


CHECK = Check(
    "tensorboard",
    "cpu",
    run,
    covers=("tensorboard", "protobuf", "numpy"),
    applies=lambda image: "dev" in image.features,
    limit=90,
)
