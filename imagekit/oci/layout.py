"""An image as files: a folder in the OCI image layout, or one archive of it that every tool loads.

The archive is a hybrid: the OCI layout, and beside it the manifest.json that Docker before version 25 reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from imagekit import files, scratch
from imagekit.errors import Surroundings, UsageError
from imagekit.oci import tar
from imagekit.oci.folder import NAME
from imagekit.oci.image import INDEX, MANIFEST, Image, descriptor
from imagekit.oci.layer import Layer

_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
PIECE = 2**20


def write(image: Image, folder: Path, names: Sequence[str]) -> None:
    """An OCI layout; images that are in it already stay, a name that is given anew moves. All or nothing is seen.

    A blob that is there is kept where it is what its digest says, and replaced where it is not.

    `names`: tags (`2.4.1-cuda12.1`); an image without one has its digest only.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / "oci-layout").is_file()):
        raise UsageError(f"{folder} is no OCI layout", hint="name a new folder, or one that --output oci: made")
    try:
        with _alone(folder):
            _write(image, folder, names)
    except OSError as error:
        raise Surroundings(f"{folder} cannot be written: {error.strerror}") from None


def _write(image: Image, folder: Path, names: Sequence[str]) -> None:
    index, blobs = folder / "index.json", folder / "blobs/sha256"
    small = {descriptor("", text)["digest"].removeprefix("sha256:"): text for text in (image.config, image.manifest)}
    all_of = [blobs / name for name in (*(one.layer.digest for one in image.layers), *small)]
    new = [path for path in all_of if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write(folder / "oci-layout", _VERSION)  # first: what a killed imagekit leaves can be gone on with
        blobs.mkdir(parents=True, exist_ok=True)
        for one in image.layers:
            _link(one.path, blobs / one.layer.digest, one.layer)
        for name, content in small.items():
            files.write(blobs / name, content)
        files.write(index, _index(image, names, _entries(index)))  # what makes it an image
    except BaseException:
        _undo(folder, new)
        raise


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One at a time: what is undone is nobody else's. The lock is on the folder itself, and leaves no file."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _undo(folder: Path, new: Sequence[Path]) -> None:
    """Blobs that no image has, and the folder where there is none in it."""
    with contextlib.suppress(OSError):
        for blob in new:
            blob.unlink(missing_ok=True)
        if not (folder / "index.json").exists():
            (folder / "oci-layout").unlink(missing_ok=True)
            for place in (folder / "blobs/sha256", folder / "blobs", folder):
                place.rmdir()


def archive(image: Image, path: Path, names: Sequence[str], *, held: int = 0) -> None:
    """One tar, uncompressed (its layers are). `names`: references that Docker gives it (`pytorch:2.4.1-cuda12.1`).

    `held`: how many of the lowest layers are left out, for an engine that has them on top of each other.
    """
    docker = [{
        "Config": _blob(image.id), "RepoTags": list(names),
        "Layers": [f"blobs/sha256/{one.layer.digest}" for one in image.layers],
    }]  # fmt: skip
    small = {
        _blob(image.id): image.config, _blob(image.digest): image.manifest, "oci-layout": _VERSION,
        "index.json": _index(image, [], [], names), "manifest.json": json.dumps(docker, separators=(",", ":")).encode(),
    }  # fmt: skip
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    for old in path.parent.glob(f".{glob.escape(path.name)}.*"):
        if not scratch.alive(old.suffix[1:]):  # of an imagekit that was killed
            old.unlink()
    try:
        with beside.open("xb") as out:
            for folder in ("blobs", "blobs/sha256"):
                out.write(tar.header(tar.Entry(folder, tar.DIRECTORY, 0o755)))
            for one in {one.layer.digest: one for one in image.layers[held:]}.values():
                with one.path.open("rb") as stream:
                    out.write(tar.header(tar.Entry(f"blobs/sha256/{one.layer.digest}", size=one.layer.size)))
                    shutil.copyfileobj(stream, out, PIECE)
                    out.write(bytes(tar.padding(one.layer.size)))
            for name, content in small.items():
                out.write(tar.header(tar.Entry(name, size=len(content))) + content + bytes(tar.padding(len(content))))
            out.write(tar.END)
        os.replace(beside, path)
    except OSError as error:
        raise Surroundings(f"{path} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _index(image: Image, tags: Sequence[str], others: Sequence[dict[str, object]], names: Sequence[str] = ()) -> bytes:
    """`names`: whole references, which containerd has in an annotation of its own."""
    own = descriptor(MANIFEST, image.manifest) | {"platform": {"architecture": "amd64", "os": "linux"}}
    told = [{NAME: tag} for tag in tags]
    for name in names:
        whole = name if "." in name.partition("/")[0] or ":" in name.partition("/")[0] and "/" in name else (
            f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"
        )  # fmt: skip
        tag = name.rpartition(":")[2]
        told.append({"io.containerd.image.name": whole, NAME: tag})
    named: list[dict[str, object]] = [own | {"annotations": one} for one in told] or [own]
    kept = [entry for entry in others if _name(entry) not in tags and (_name(entry) or entry["digest"] != image.digest)]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [*kept, *named]}
    return json.dumps(index, separators=(",", ":"), sort_keys=True).encode()


def _name(entry: dict[str, object]) -> str:
    annotations = entry.get("annotations")
    return str(annotations.get(NAME, "")) if isinstance(annotations, dict) else ""


def _entries(path: Path) -> list[dict[str, object]]:
    try:
        return list(json.loads(path.read_bytes())["manifests"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is damaged", hint="name a new folder") from None


def _link(source: Path, target: Path, layer: Layer) -> None:
    """The same file where that is possible: it is never written to again. What is there and damaged is replaced."""
    if target.exists() and (target.samefile(source) or _is(target, layer)):
        return
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)  # of a killed imagekit that had the same process id
    try:
        try:
            os.link(source, beside)
        except OSError:
            shutil.copyfile(source, beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def _is(blob: Path, layer: Layer) -> bool:
    """To read it is cheaper than a wrong image."""
    return blob.stat().st_size == layer.size and files.sha256(blob) == layer.digest
