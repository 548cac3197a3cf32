"""pipeline.yaml: which images a team builds, and what becomes of them. docs/pipeline.md says what each key is for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from imagekit import strict_yaml
from imagekit.errors import UsageError
from imagekit.forms import BASE, in_quotes, matching

NAME = "pipeline.yaml"

AXES = ("profile", "torch", "cuda", "python", "base")
"""What a matrix multiplies, in the order of its cells."""

Word = Annotated[str, matching(r"\S+", "one word")]
Version = Annotated[str, BeforeValidator(in_quotes), matching(r"v?[0-9][0-9.]*|cu[0-9]+", "a version")]
Base = Annotated[str, matching(BASE, "a base: distro:SUITE, image:REFERENCE")]
Age = Annotated[str, matching(r"[1-9]\d{0,3}[hdw]", "an age: a number below 10000 and h, d or w, as 7d")]
Share = Annotated[str, matching(r"\d{1,2}(\.\d+)?%", "a part, as 10%")]
Secret = Annotated[str, matching(r"env:[A-Za-z_][A-Za-z0-9_]*", "env:NAME; the address itself is never written")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Model):
    """One cell, or those that `exclude` takes out: all that have the values which it names."""

    profile: Word | None = None
    torch: Version | None = None
    cuda: Version | None = None
    python: Version | None = None
    base: Base | None = None


class Cell(Row):
    """A cell of its own, with wishes that no axis has."""

    profile: Word
    overlay: tuple[Word, ...] = ()
    feature: tuple[Word, ...] = ()
    packages: tuple[str, ...] = ()


class Matrix(_Model):
    """Every profile with every torch, every CUDA, every Python, every base that is named."""

    profile: tuple[Word, ...] = ()
    torch: tuple[Version, ...] = ()
    cuda: tuple[Version, ...] = ()
    python: tuple[Version, ...] = ()
    base: tuple[Base, ...] = ()
    overlay: tuple[Word, ...] = ()
    """On every cell."""
    exclude: tuple[Row, ...] = ()
    include: tuple[Cell, ...] = ()


class Bench(_Model):
    """Figures of each new image, compared with the first that were measured."""

    max_regression: Share = "10%"
    """By how much a figure may be worse."""
    only: tuple[Word, ...] = ()
    """These benchmarks; all where none is named."""
    quick: bool = True


class Night(_Model):
    """What `imagekit nightly` does with the cells."""

    updates: bool = True
    """Whether newer releases that a profile allows are a reason to build; else its lock stays as it is."""
    proven_within: Age | None = None
    """How old the proof of an image may become before it is proven again."""
    promote: tuple[Word, ...] = ()
    """Where each image goes when its proof is what that asks for: prod, or another [promote.NAME] of the site."""
    engine: bool = False
    """Whether images are also loaded into the engine of this machine and proven there, on its GPUs."""
    bench: Bench | None = None
    """Needs the engine."""
    runners: tuple[Word, ...] = ()
    """[runners] of the site on which each image is proven, too: `imagekit test --on`."""
    scan: bool = False
    """Whether known vulnerabilities that count ([scan] of the site) keep an image from being promoted; by trivy."""
    keep: Annotated[int, Field(ge=1)] | None = None
    """Images of each profile tag that stay in the repository where images are pushed; older ones are removed."""
    jobs: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Images that are built at once; the site's build.jobs where it is not said."""
    notify: Secret | None = None
    """Where the address is that is told when an image becomes good or bad, or is another one."""


class Pipeline(_Model):
    matrix: Matrix = Field(default_factory=Matrix)
    nightly: Night = Field(default_factory=Night)


def read(path: Path) -> Pipeline:
    """Raises UsageError with every problem of the file, each with its line."""
    document = strict_yaml.read(path, "a pipeline", "a pipeline needs `matrix:` with `profile:`")
    try:
        found, problems = Pipeline.model_validate(document.raw), []
    except ValidationError as error:
        found, problems = Pipeline(), [strict_yaml.told(document, item, _keys) for item in error.errors()]
    matrix = found.matrix
    if not problems and not (matrix.profile or matrix.include):
        problems = [f"{document.where('matrix')}: matrix: names no profile"]
    for axis in AXES:
        values = getattr(matrix, axis)
        twice = sorted({value for value in values if values.count(value) > 1})
        problems += [f"{document.where('matrix', axis)}: matrix.{axis}: {value} is there twice" for value in twice]
    if found.nightly.bench and not found.nightly.engine:
        problems.append(f"{document.where('nightly', 'bench')}: nightly.bench: a container measures: `engine: true`")
    if problems:
        raise UsageError(f"{path.name} cannot be used", details=problems)
    return found.model_copy(update={"matrix": _beside(path.parent, matrix)})


def _beside(folder: Path, matrix: Matrix) -> Matrix:
    """With profiles and overlays of the file's folder by paths that hold here. A bare name is a built-in profile."""

    def profile(name: str) -> str:
        return str(folder / name) if "/" in name or name.endswith((".yaml", ".yml")) or name == "." else name

    def overlays(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(folder / name) for name in names)

    include = tuple(
        cell.model_copy(update={"profile": profile(cell.profile), "overlay": overlays(cell.overlay)})
        for cell in matrix.include
    )
    exclude = tuple(row.model_copy(update={"profile": row.profile and profile(row.profile)}) for row in matrix.exclude)
    return matrix.model_copy(update={
        "profile": tuple(map(profile, matrix.profile)), "overlay": overlays(matrix.overlay), "include": include,
        "exclude": exclude,
    })  # fmt: skip


def _keys(place: strict_yaml.Place) -> list[str]:
    """What may stand in a mapping of the file."""
    models: dict[strict_yaml.Place, type[BaseModel]] = {
        (): Pipeline, ("matrix",): Matrix, ("matrix", "exclude"): Row, ("matrix", "include"): Cell,
        ("nightly",): Night, ("nightly", "bench"): Bench,
    }  # fmt: skip
    return list(models.get(place, Pipeline).model_fields)
