"""What becomes of a node, and of a program, that goes from one image to another.

Packages by version, what an image runs on, how its parts behave as far as both were proven, and what has to be pulled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagekit import amounts, inspection
from imagekit.errors import UsageError
from imagekit.inspection import Inspection
from imagekit.report import Report

EMPTY = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""Digest of a tar without a file: WORKDIR and the like. No node pulls it, no history tells its size."""

TOLD = ("torch", "cuda", "python", "os", "glibc", "gpu-architectures", "min-driver", "cpu-level", "features", "trust")
"""Labels that say what an image is and what it runs on, in the order in which they are shown."""

BEHAVIOUR = (
    "cuda-libraries", "cuda-tag", "ffmpeg", "gpu-architectures", "gpu-attention", "image-formats", "libraries", "numpy",
    "nvdec", "pillow-simd", "pip-check", "rdma", "read-", "replaced", "video-",
)  # fmt: skip
"""Checks whose figures say how an image behaves; those of the others say how fast it was, or where."""


@dataclass(frozen=True)
class Side:
    """One of the two."""

    of: Inspection
    layers: tuple[tuple[str, int], ...]
    """(digest of the tar, bytes) of each, the lowest first."""
    compressed: bool
    """Whether those are the bytes that are sent; an engine tells the unpacked ones."""
    proof: Report | None = None
    """The newest on record, of all stages if there is such a one."""


@dataclass(frozen=True)
class Package:
    name: str
    before: str
    """Version; empty for one that is new."""
    after: str
    size: int
    """Bytes that the files of the package have more."""


@dataclass(frozen=True)
class Difference:
    packages: tuple[Package, ...]
    system: tuple[Package, ...]
    labels: tuple[tuple[str, str, str], ...]
    """(label, before, after)."""
    behaviour: tuple[tuple[str, str, str], ...]
    """(check and figure, before, after), of proofs that both have."""
    unproven: tuple[str, ...]
    """Images without a proof on record, of which no behaviour is known."""
    identical: bool
    """Whether it is one image, to the byte."""
    gone: int
    """Layers of the first that the second has not."""
    shared: int
    """Layers of the second that the first has."""
    layers: int
    pull: int
    """Bytes of the others."""
    compressed: bool


def side(machine: Any, name: str, proofs: Sequence[Report] = ()) -> Side:
    """`machine`: an engine, or what is asked of another place (`remote`). Raises UsageError for a foreign image."""
    of = inspection.inspect(machine, name)
    if not of.ours:
        raise UsageError(f"{name} was not built by imagekit: nobody can tell its packages", hint="imagekit inspect")
    digests = [str(one) for one in machine.image(name)["RootFS"]["Layers"]]
    compressed = hasattr(machine, "there")
    if compressed:
        rows = zip(digests, machine.manifest["layers"], strict=False)
        digests, sizes = map(list, zip(*((one, int(row["size"])) for one, row in rows if one != EMPTY), strict=True))
    else:
        digests = [digest for digest in digests if digest != EMPTY]
        sizes = [size for row in machine.history(of.image) if (size := int(row.get("Size") or 0))]
        if len(sizes) != len(digests):  # some engines drop what they call empty
            sizes = [0] * len(digests)
    whole = [proof for proof in proofs if not proof.partial]
    return Side(of, tuple(zip(digests, sizes, strict=True)), compressed, next(iter([*whole, *proofs]), None))


def between(a: Side, b: Side) -> Difference:
    have = {digest for digest, _ in a.layers}
    missing = [size for digest, size in b.layers if digest not in have]
    proofs = [side.proof for side in (a, b) if side.proof]
    return Difference(
        packages=tuple(_packages(_sizes(a.of), _sizes(b.of))),
        system=tuple(_packages(*(_unsized(of.system) for of in (a.of, b.of)))) if a.of.system and b.of.system else (),
        labels=tuple((name, *pair) for name, pair in _told(a.of, b.of).items() if pair[0] != pair[1]),
        behaviour=tuple(_behaviour(*proofs)) if len(proofs) == 2 else (),
        identical=a.of.image == b.of.image, gone=len(have - {digest for digest, _ in b.layers}),
        unproven=tuple(dict.fromkeys(side.of.reference for side in (a, b) if not side.proof)),
        shared=len(b.layers) - len(missing), layers=len(b.layers), pull=sum(missing), compressed=b.compressed,
    )  # fmt: skip


def _sizes(of: Inspection) -> dict[str, tuple[str, int]]:
    return {row["name"]: (str(row["version"]), int(row.get("size") or 0)) for row in of.packages}


def _told(a: Inspection, b: Inspection) -> dict[str, tuple[str, str]]:
    found = {name: (a.labels.get(name, ""), b.labels.get(name, "")) for name in TOLD}
    return found | {"user": (a.user, b.user), "command": (a.command, b.command)}


def _unsized(system: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    return {name: (version, 0) for name, version in system.items()}


def _packages(before: Mapping[str, tuple[str, int]], after: Mapping[str, tuple[str, int]]) -> Iterator[Package]:
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ("", 0)), after.get(name, ("", 0))
        if old[0] != new[0]:
            yield Package(name, old[0], new[0], new[1] - old[1])


def _behaviour(a: Report, b: Report) -> Iterator[tuple[str, str, str]]:
    """Of checks that ran for both: another outcome, or another figure that is a word."""
    theirs = {check.name: check for check in b.checks}
    for mine in a.checks:
        other = theirs.get(mine.name)
        if other is None or "SKIP" in (mine.status, other.status):
            continue
        if mine.status != other.status:
            yield mine.name, mine.status, other.status
        elif mine.name.startswith(BEHAVIOUR):
            before, after = dict(_words(dict(mine.figures))), dict(_words(dict(other.figures)))
            for name in sorted(before.keys() | after.keys()):
                if before.get(name, "") != after.get(name, ""):
                    yield f"{mine.name} {name}", before.get(name, ""), after.get(name, "")


def _words(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in figures.items():
        told = f"{above} {name}".strip()
        if isinstance(value, Mapping):
            yield from _words(value, told)
        elif isinstance(value, list):
            yield told, " ".join(map(str, value))
        elif isinstance(value, str | bool):
            yield told, str(value)


def lines(d: Difference) -> list[str]:
    """For people: what is the same is not shown."""
    rows = [("is", f"{name}: {_step(before, after)}") for name, before, after in d.labels]
    for title, found in (("packages", d.packages), ("system", d.system)):
        for package in found:
            size = f"{'-' if package.size < 0 else '+'}{amounts.size(abs(package.size))}" if package.size else ""
            rows.append((title, f"{package.name:<32} {_step(package.before, package.after):<40} {size}".rstrip()))
    rows += [("behaves", f"{name}: {_step(before, after)}") for name, before, after in d.behaviour]
    rows += [("behaves", f"not known: no proof of {name} is on record        imagekit test {name}")
             for name in d.unproven]  # fmt: skip
    how = "" if d.compressed else ", unpacked"
    pulled = (
        f"a node that has the first pulls {amounts.size(d.pull)}{how}" if d.shared < d.layers else "nothing to pull"
    )
    gone = f", {d.gone} of the first gone" if d.gone else ""
    rows.append(("layers", f"{d.shared} of {d.layers} shared{gone}; {pulled}"))
    if not d.identical and not (d.packages or d.system or d.labels or d.gone or d.shared < d.layers):
        rows.append(("config", "differs: the environment, other labels, or the order of layers"))
    shown, last = [], ""
    for title, text in rows:
        shown.append(f"{'' if title == last else title:<9} {text}")
        last = title
    return ["the same image"] if d.identical else shown


def _step(before: str, after: str) -> str:
    return f"{before or 'none'} -> {after or 'none'}"


def as_json(d: Difference) -> dict[str, Any]:
    def rows(found: Sequence[Package]) -> list[dict[str, Any]]:
        return [{"name": p.name, "before": p.before or None, "after": p.after or None, "size": p.size} for p in found]

    return {
        "packages": rows(d.packages), "system": rows(d.system),
        "labels": [{"name": name, "before": before, "after": after} for name, before, after in d.labels],
        "behaviour": [{"name": name, "before": before, "after": after} for name, before, after in d.behaviour],
        "unproven": d.unproven,
        "identical": d.identical, "gone": d.gone, "layers": d.layers, "shared": d.shared, "pull": d.pull,
        "compressed": d.compressed,
    }  # fmt: skip
