"""What an image is, told by itself: its labels, the files in /opt/imagekit, its layers; nothing is started for it.

An image that imagekit did not build is told as far as an engine can: configuration and layers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagekit import amounts, contract, record
from imagekit.compat import facts
from imagekit.errors import UsageError
from imagekit.papers import LOCK
from imagekit.plan import GROUPS

COMPOSED = "imagekit: "
"""How the history of a composed image begins its lines."""

RECORDS = "/opt/imagekit/record"


@dataclass(frozen=True)
class Layer:
    name: str
    size: int
    """Bytes, unpacked."""


@dataclass(frozen=True)
class Inspection:
    reference: str
    image: str
    """Image id."""
    names: tuple[str, ...]
    """Tags and digests."""
    size: int
    """Bytes of all layers, unpacked."""
    created: str
    user: str
    command: str
    layers: tuple[Layer, ...]
    """Lowest first, without empty ones."""
    labels: Mapping[str, str]
    """Those of imagekit, without io.imagekit.; empty for a foreign image."""
    packages: tuple[Mapping[str, Any], ...] = ()
    """Of the lock in the image: name, version, kind, group."""
    system: Mapping[str, str] = field(default_factory=dict)
    """Distribution package -> version."""
    built: tuple[str, ...] = ()
    """Wheels built from source."""
    on_top: int = 0
    """Layers above the last one of imagekit: the image was built FROM one of ours."""
    proven: str = ""
    """yyyymmdd, of the records on this machine."""
    recorded: bool = False
    """Whether this machine has a record of the image."""

    @property
    def ours(self) -> bool:
        return "profile" in self.labels


def inspect(engine: Any, reference: str) -> Inspection:
    """Raises UsageError for an image that the engine does not have."""
    image = engine.image(reference)
    if image is None:
        raise UsageError(f"the engine has no image {reference}", hint="docker images lists them; docker pull gets one")
    config = image.get("Config") or {}
    labels = contract.told(config.get("Labels") or {})
    ours = bool(labels)
    files = engine.files(image["Id"], [LOCK, RECORDS]) if ours else {}
    packages = _locked(files.get(LOCK, b""))
    groups = {package.get("group") for package in packages}
    layers, on_top = _layers(
        engine.history(image["Id"]), [group for group in GROUPS if group in groups] if ours else []
    )
    kept = record.of_image(image["Id"])
    command = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    return Inspection(
        reference=reference, image=image["Id"],
        names=(*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())),
        size=int(image.get("Size", 0)), created=str(image.get("Created", ""))[:10], user=config.get("User") or "root",
        command=" ".join(command) or "none", layers=layers, labels=labels,
        packages=packages, system=_system(files) or next((entry.system for entry in kept), {}),
        built=tuple(sorted(_built(files))), on_top=on_top if ours else 0, recorded=bool(kept),
        proven=max((entry.proven for entry in kept), default=""),
    )  # fmt: skip


def _locked(text: bytes) -> tuple[Mapping[str, Any], ...]:
    """The packages of the lock in an image; none of a lock that cannot be read: anybody may have written it."""
    try:
        rows = json.loads(text or b"{}").get("packages", ())
        return tuple(row for row in rows if isinstance(row.get("name"), str) and isinstance(row.get("version"), str))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return ()


def lines(of: Inspection) -> list[str]:
    """The answer for people: what it is, what it runs on, whether it is proven."""
    rows = [("image", of.image), ("names", "  ".join(of.names) or "none")]
    if not of.ours:
        rows += [
            ("foreign", "not built by imagekit: it has no label io.imagekit.profile, so stack and proof are not known"),
            ("config", f"user {of.user}; runs {of.command}"),
            ("size", f"{amounts.size(of.size)} in {len(of.layers)} layers, created {of.created}"),
        ]
        return [_row(*row) for row in rows]
    label = of.labels
    suffix = f" ({label['suffix']})" if "suffix" in label else ""
    profile = " + ".join([label["profile"], *label.get("overlays", "").split()])
    trust = [entry.partition("=")[0] for entry in label.get("trust", "").split()]
    rows += [
        (
            "profile",
            f"{profile}{suffix}, lock {label.get('lock', '')[:19]}, imagekit {label.get('version', '?')}",
        ),
        ("stack", _stack(of)),
        *([("UNKNOWN", label["unknown"])] if "unknown" in label else []),
        ("runs on", _runs_on(of)),
        *([("not on", ", ".join(lacking))] if (lacking := _newer(of)) else []),
        ("proven", _proven(of)),
        ("features", label.get("features", "none")),
        *(
            ("ops", f"{key.removesuffix('-ops')} {value}")
            for key, value in sorted(label.items())
            if key.endswith("-ops")
        ),
        *([("trusts", f"{', '.join(trust)} (roots of an overlay)")] if trust else []),
        ("size", f"{amounts.size(of.size)} in {len(of.layers)} layers, created {of.created}"),
    ]
    if of.on_top:
        added = amounts.size(sum(layer.size for layer in of.layers[-of.on_top :]))
        layers = f"{of.on_top} layer{'s' if of.on_top > 1 else ''}, {added}"
        rows.append(("on top", f"{layers}, not imagekit's: this image was built FROM one of its images"))
    rows.append(("more", "--packages (names and versions), --layers (sizes), --json"))
    return [_row(*row) for row in rows]


def package_lines(of: Inspection) -> list[str]:
    if not of.ours:
        return ["no packages can be told: a foreign image has no lock"]
    rows = [
        f"{package.get('group', ''):<7} {package['name']:<40} {package['version']:<24} {_kind(package)}".rstrip()
        for package in sorted(of.packages, key=lambda p: (_order(p.get("group", "")), p["name"]))
    ]
    return rows + [f"{'system':<7} {name:<40} {version}" for name, version in sorted(of.system.items())]


def layer_lines(of: Inspection, width: int = 40) -> list[str]:
    """Lowest first; a bar is as long as its layer is large, compared with the largest."""
    most = max((layer.size for layer in of.layers), default=1) or 1
    return [
        f"{amounts.size(layer.size):>9}  {'#' * max(1, round(layer.size / most * width)):<{width}}  {layer.name}"
        for layer in of.layers
    ]


def as_json(of: Inspection) -> dict[str, Any]:
    told = {
        "image": of.image, "names": of.names, "ours": of.ours, "size": of.size, "created": of.created, "user": of.user,
        "command": of.command, "layers": [{"name": layer.name, "size": layer.size} for layer in of.layers],
    }  # fmt: skip
    if not of.ours:
        return told
    return told | {
        "labels": dict(of.labels), "on_top": of.on_top, "proven": of.proven or None, "recorded": of.recorded,
        "packages": {package["name"]: package["version"] for package in of.packages},
        "system": dict(of.system), "built": of.built,
    }  # fmt: skip


def _row(name: str, text: str) -> str:
    return f"{name:<9} {text}"


def _stack(of: Inspection) -> str:
    label = of.labels
    versions = {package["name"]: package["version"] for package in of.packages}
    words = [f"torch {label.get('torch', '?')}+{label.get('variant', '?')}", f"CUDA {label.get('cuda', '?')}"]
    for what, stem in (("cuDNN", "nvidia-cudnn"), ("NCCL", "nvidia-nccl")):
        found = next((version for name, version in versions.items() if re.fullmatch(rf"{stem}(-cu\d+)?", name)), "")
        words += [f"{what} {found}"] if found else []
    return "  ".join([*words, f"Python {label.get('python', '?')}", label.get("os", "")])


def _runs_on(of: Inspection) -> str:
    label = of.labels
    compiled = label.get("gpu-architectures", "").split()
    words = [f"{compiled[0]} .. {compiled[-1]}" if len(compiled) > 1 else "".join(compiled) or "no GPU"]
    words += [f"driver >= {label['min-driver']}"] if "min-driver" in label else []
    words += [f"glibc {label.get('glibc', '?')} inside", f"CPU {label.get('cpu-level', 'x86-64')}"]
    return ", ".join(words)


def _newer(of: Inspection) -> list[str]:
    """GPUs newer than all that is compiled in: code runs on every newer GPU of its major version, and PTX on all."""
    label, known = of.labels, facts.load()
    compiled = label.get("gpu-architectures", "").split()
    variant = next((v for v in known.variants_of(label.get("torch", "")) if v.name == label.get("variant")), None)
    if not compiled or variant is None or variant.ptx:
        return []
    newest = max(map(_major, compiled))
    newer: dict[str, str] = {}
    for gpu in known.gpus:
        if _major(gpu.sm) > newest:
            newer.setdefault(gpu.sm, gpu.name)
    return [f"{name} ({sm})" for sm, name in newer.items()]


def _major(architecture: str) -> int:
    digits = re.sub(r"\D", "", architecture)
    return int(digits[:-1] or 0)


def _proven(of: Inspection) -> str:
    if of.proven:
        return f"{of.proven[:4]}-{of.proven[4:6]}-{of.proven[6:]} on this machine"
    if of.recorded:
        return f"built on this machine without a proof        imagekit test {of.reference}"
    return f"no record on this machine        imagekit test {of.reference}"


def _kind(package: Mapping[str, Any]) -> str:
    return "stand-in" if package.get("standin") else "built from source" if package.get("source") else ""


def _order(group: str) -> int:
    return GROUPS.index(group) if group in GROUPS else len(GROUPS)


def _layers(history: list[dict[str, Any]], groups: list[str]) -> tuple[tuple[Layer, ...], int]:
    """Layers with a name, and how many come after imagekit's own last instruction (CMD)."""
    made = [(str(entry.get("CreatedBy") or ""), int(entry.get("Size") or 0)) for entry in history]
    waiting = list(groups)
    last = max(
        (i for i, (by, _) in enumerate(made) if groups and ('["python"]' in by or by.startswith(COMPOSED))), default=-1
    )
    layers, ours = list[Layer](), 0
    for number, (by, count) in enumerate(made):
        if not count:
            if "COPY /layer/ /" in by and waiting:
                waiting.pop(0)
            continue
        # BuildKit may drop our WORKDIR's empty layer from an image built on ours and keep its line in the history: the
        # bytes told there are those of the first layer on top
        inside = number <= last and not by.startswith("WORKDIR")
        layers.append(Layer(_name(by, number, waiting) if inside else _short(by), count))
        ours += inside
    return tuple(layers), len(layers) - ours if last >= 0 else 0


def _name(by: str, number: int, waiting: list[str]) -> str:
    """What one of our layers holds; `waiting`: the groups of wheels that are still to come."""
    if by.startswith(COMPOSED):
        return by.removeprefix(COMPOSED)
    if "COPY /layer/ /" in by and waiting:
        return f"wheels: {waiting.pop(0)}"
    known = {
        "COPY rootfs/ /": "imagekit's own files",
        "COPY files/ /": "files of the profile",
        "apt-get install": "system",
    }
    return next((what for words, what in known.items() if words in by), "base" if number == 0 else _short(by))


def _short(by: str) -> str:
    text = re.sub(r"^(RUN )?/bin/sh -\w*c (#\(nop\) )?|^RUN |# buildkit$", "", " ".join(by.split())).strip()
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return (text if len(text) <= 60 else f"{text[:57]}...") or "base"


def _system(files: Mapping[str, bytes]) -> dict[str, str]:
    rows = files.get(f"{RECORDS}/system.txt", b"").decode(errors="replace").splitlines()
    return dict(row.split("=", 1) for row in rows if "=" in row)


def _built(files: Mapping[str, bytes]) -> set[str]:
    texts = [text for path, text in files.items() if re.fullmatch(rf"{RECORDS}/built[\w-]*\.txt", path)]
    return {
        row.split("  ", 1)[1] for text in texts for row in text.decode(errors="replace").splitlines() if "  " in row
    }
