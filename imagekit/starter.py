"""First files: a profile out of a requirements.txt or out of nothing, a Dockerfile on top of an image of ours."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from imagekit import __version__, profile, requirements, resources
from imagekit.compat import facts
from imagekit.errors import UsageError
from imagekit.family import FAMILY
from imagekit.requirements import Read

CI = {"github": ".github/workflows/images.yml", "gitlab": ".gitlab-ci.yml"}
"""Service -> its file for what is done every night."""

_PROFILE = """\
# What this image is made of. Every key is in docs/profiles.md; `imagekit plan {path}` shows what comes of it.
extends: {extends}
about: {about}
# Versions are preferences: the command line (--torch, --cuda, --python) goes before them. Written as text, in quotes.
{versions}
# Python packages. torch and pip are always there; torchvision and torchaudio need no version, they follow torch.
{packages}
"""

_MORE = """\
# Distribution packages, and what sets up more than packages: compile, nvdec, rdma
# apt: [git]
# features: [nvdec]
# Files of this folder, root's in the image
# files: {src/: /workspace/src}
"""

_DOCKERFILE = """\
# On top of {reference}, an image of imagekit{described}.
# Build it:             docker build -t NAME {folder}
# Behind a private CA:  docker build --secret id=ca,src=/path/to/bundle.pem -t NAME {folder}
# Prove it:             imagekit test NAME       (the base part by its lock; what was added is listed)
{why_from}
FROM {start}

# Packages belong to root, so that no process of the image's user can change what a later one imports.
USER root
# pip is held by /opt/imagekit/constraints.txt: it adds packages and moves none that is locked. --no-cache-dir keeps a
# cache of root out of /cache. The secret `ca` is there for this one step only; without it the image's own file is.
{run}
# Numeric, so that Kubernetes can check runAsNonRoot; any other UID with group 0 works as well.
USER {user}
"""

_CA = """\
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt \\
{bind}    PIP_CERT=/etc/ssl/certs/ca-certificates.crt pip install --no-cache-dir {what}
"""


@dataclass(frozen=True)
class Started:
    text: str
    said: tuple[str, ...]
    """Lines for people: what was left out and why, hints."""


RELEASE = f"imagekit=={__version__}"


def for_ci(service: str, package: str = RELEASE) -> str:
    """What builds the images of pipeline.yaml every night. `service`: of CI; `package`: what pip installs there."""
    text = (resources.templates() / f"{service}.yml").read_text(encoding="utf-8")
    return text.replace("@IMAGEKIT@", package).replace("@RELEASE@", RELEASE)


def from_nothing(extends: str, path: str) -> Started:
    parent = profile.load(extends)
    versions = "\n".join(f'# {key}: "{value}"' for key, value in _versions(parent).items())
    packages = "# packages:\n#   - transformers >=4.46,<5"
    head = _PROFILE.format(
        path=called(path), extends=extends, about="What this image is for", versions=versions, packages=packages
    )
    return Started(head + _MORE, ())


def from_requirements(file: Path, extends: str, path: str) -> Started:
    """A profile that asks for what the file asks for. Raises UsageError for lines that are no requirements."""
    parent = profile.load(extends)
    read = requirements.read(file, parent.python or "3.11")
    said = [f"left out  {left.where}: {left.line}: {left.because}" for left in read.left]
    versions, notes = _torch(read, parent)
    said += [f"note      {note}" for note in notes] + [f"hint      {hint}" for hint in read.hints]
    rows = [f"{key}: {_quoted(value)}" for key, value in versions.items()]
    names = [name for name in FAMILY[1:] if name in read.family]
    lines = [f"  - {_scalar(name)}" for name in names] + [f"  - {_scalar(_text(r))}" for r in read.packages.values()]
    head = _PROFILE.format(
        path=called(path), extends=extends, about=_scalar(f"Made from {_plain(file.name)}"),
        versions="\n".join(rows) or "# torch, cuda and python: those of the parent",
        packages="\n".join(["packages:", *lines] if lines else ["# packages: none besides torch"]),
    )  # fmt: skip
    out = [f"#   {_plain(left.where)}: {_plain(left.line)}\n#     {left.because}\n" for left in read.left]
    return Started(head + ("# Left out:\n" + "".join(out) if out else ""), tuple(said))


def on_top(engine: Any, reference: str, file: Path | None, path: Path) -> Started:
    """A Dockerfile at `path`. `file`: the requirements, None where there are none yet.

    Raises UsageError for an image that is not here or not ours, and for requirements outside of its folder.
    """
    image = engine.image(reference)
    if image is None:
        raise UsageError(f"the engine has no image {reference}", hint="docker images lists them")
    labels = (image.get("Config") or {}).get("Labels") or {}
    if "io.imagekit.profile" not in labels:
        raise UsageError(
            f"{reference} was not built by imagekit: it has no label io.imagekit.profile",
            hint="imagekit profiles lists what can be built",
        )
    start, why = _pinned(reference, image)
    stack = f": torch {labels.get('io.imagekit.torch')}, CUDA {labels.get('io.imagekit.cuda')}"
    if file is None:
        example = _CA.format(bind="", what="NAME")
        run = "".join(f"# {line}\n" for line in example.splitlines()).rstrip()
    else:
        name = os.path.relpath(file, path.parent)
        if not file.is_file():
            raise UsageError(f"there is no file {file}")
        if name.startswith("..") or any(letter in name for letter in " ,"):
            raise UsageError(
                f"{file} cannot be reached by a Dockerfile in {path.parent}", hint="put both into one folder"
            )
        bind = f"    --mount=type=bind,source={name},target=/tmp/requirements.txt \\\n"
        run = _CA.format(bind=bind, what="-r /tmp/requirements.txt").rstrip()
    user = (image.get("Config") or {}).get("User") or "1000:0"
    text = _DOCKERFILE.format(
        reference=reference, described=stack, folder=path.parent, why_from=why, start=start, run=run, user=user
    )
    said = () if file else ("hint      no requirements.txt here: the RUN line is a comment to begin with",)
    return Started(text, said)


def write(text: str, path: Path, force: bool, check: Callable[[str], object] = lambda _: None) -> None:
    """All or nothing; a file that is there stays unless `force`. `check` gets the path of a copy and may refuse it."""
    if path.exists() and not force:
        raise UsageError(f"{path} is there already", hint="--force writes over it, -o FILE writes another")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text)
            check(name)
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def loads(path: str) -> None:
    """Raises UsageError for a profile that imagekit would not take."""
    profile.load(str(Path(path).absolute()))


def _pinned(reference: str, image: Mapping[str, Any]) -> tuple[str, str]:
    """What FROM names, and a comment why: a digest, else the tag that never moves, else what was given."""
    digests, tags = image.get("RepoDigests") or [], image.get("RepoTags") or []
    if digests:
        return digests[0], "# By digest: a tag can move."
    fixed = [tag for tag in tags if re.search(r"-\d{8}-[0-9a-f]{7}(\.\d+)?$", tag)]
    if fixed:
        return fixed[0], f"# By the tag that never moves. Only this engine has it; the image is\n# {image['Id']}."
    if tags:
        return tags[0], f"# This tag can move. Today the image is\n# {image['Id']}."
    raise UsageError(
        f"{reference} has no tag, and BuildKit takes an image of this engine by its tag only",
        hint=f"docker tag {reference} NAME, then imagekit init --from NAME",
    )


def _versions(parent: profile.Profile) -> dict[str, str]:
    return {key: value for key in ("torch", "cuda", "python") if (value := getattr(parent, key))}


def _torch(read: Read, parent: profile.Profile) -> tuple[dict[str, str], list[str]]:
    """torch and CUDA for the profile, out of the family's lines; and what became of their pins."""
    known = facts.load()
    notes: list[str] = []
    chosen = ""
    for name in FAMILY:
        asked = read.family.get(name)
        if asked is None or not str(asked.specifier):
            continue
        versions = {getattr(r, "version" if name == "torch" else name): r.version for r in known.releases}
        bare = SpecifierSet(re.sub(r"\+[\w.]+", "", str(asked.specifier)))
        fits = [torch for own, torch in versions.items() if own and bare.contains(own)]
        fits = [torch for torch in fits if any(v.cuda == read.cuda for v in known.variants_of(torch))] or fits
        prefer = chosen or parent.torch or ""
        if not fits:
            notes.append(f"{asked}: no release that imagekit knows; torch stays {prefer or 'the newest'}")
        elif not chosen:
            chosen = prefer if prefer in fits else fits[-1]
            how = "as asked" if len(fits) == 1 else "as the parent has it" if prefer in fits else "the newest that fits"
            notes.append(f"{asked}: torch {chosen}, {how}")
        elif chosen in fits:
            notes.append(f"{asked}: the pin goes, {name} follows torch {chosen}")
        else:
            takes = next(own for own, torch in versions.items() if torch == chosen)
            notes.append(f"{asked}: the pin goes, torch {chosen} takes {name} {takes}")
    found = {"torch": chosen} if chosen else {}
    if read.cuda:
        found["cuda"] = read.cuda
    elif chosen and chosen != parent.torch:
        release = known.release(chosen)
        assert release is not None
        found["cuda"] = release.pypi_variant.cuda
        notes.append(f"CUDA {found['cuda']}: the build of torch {chosen} that the default index has")
    return found, notes


def _text(asked: Requirement) -> str:
    """As people write it: name[extras] >=1,<2; marker."""
    extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
    specifier = ",".join(sorted((str(s) for s in asked.specifier), reverse=True))
    marker = f"; {asked.marker}" if asked.marker else ""
    return f"{asked.name}{extras} {specifier}".rstrip() + marker


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, width=10**6).removesuffix("\n").removesuffix("\n...")


def _quoted(text: str) -> str:
    return f'"{text}"'


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def called(path: str) -> str:
    """How the profile is named on a command line."""
    folder, name = os.path.split(path)
    if name == "imagekit.yaml":
        return folder or "."
    return path if folder else f"./{path}"
