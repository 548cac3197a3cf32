"""Which cells a matrix means."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from imagekit.cells.document import AXES, Cell, Pipeline, Row
from imagekit.errors import UsageError


def cells(pipeline: Pipeline) -> list[Cell]:
    """The product without what is excluded, and what is included; each cell once.

    Raises UsageError for an `exclude` that takes out nothing, which is a slip of the pen.
    """
    matrix = pipeline.matrix
    product = list(_product(pipeline))
    idle = [row for row in matrix.exclude if not any(_is(row, cell) for cell in product)]
    if idle:
        raise UsageError(
            "matrix.exclude names cells that the matrix does not have",
            details=[", ".join(f"{key}: {value}" for key, value in _said(row)) or "an empty row" for row in idle],
        )
    left = [cell for cell in product if not any(_is(row, cell) for row in matrix.exclude)]
    return list(dict.fromkeys([*left, *matrix.include]))


def _product(pipeline: Pipeline) -> Iterator[Cell]:
    matrix = pipeline.matrix
    axes = [getattr(matrix, axis) or ((None,) if axis != "profile" else ()) for axis in AXES]
    for values in itertools.product(*axes):
        yield Cell(**dict(zip(AXES, values, strict=True)), overlay=matrix.overlay)


def _said(row: Row) -> list[tuple[str, str]]:
    return [(axis, value) for axis in AXES if (value := getattr(row, axis)) is not None]


def _is(row: Row, cell: Cell) -> bool:
    """Whether a cell has all values that a row names; a row that names none is no cell's."""
    said = _said(row)
    return bool(said) and all(getattr(cell, axis) == value for axis, value in said)


def arguments(cell: Cell) -> tuple[str, ...]:
    """Of `imagekit build` and its like, the profile first."""
    wishes = [(f"--{axis}", getattr(cell, axis)) for axis in AXES[1:]]
    many = [("--overlay", cell.overlay), ("--feature", cell.feature), ("--with", cell.packages)]
    found = [part for option, value in wishes if value for part in (option, value)]
    return (cell.profile, *found, *(part for option, values in many for value in values for part in (option, value)))
