"""Wheels for tests: good ones, and any that somebody would rather not meet."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path

WHEEL = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n"
INFO = "demo-1.0.dist-info"


def digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def record(files: dict[str, bytes]) -> bytes:
    rows = [f"{name},sha256={digest(data)},{len(data)}" for name, data in files.items() if not name.endswith("/")]
    return "\n".join([*rows, f"{INFO}/RECORD,,"]).encode() + b"\n"


def info(name: str, attributes: int = 0o100644, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.external_attr, made.compress_type, made.create_system = attributes << 16, method, 3
    return made


def wheel(
    folder: Path, files: dict[str, bytes], *, executable: Iterable[str] = (), without: Iterable[str] = (),
    stored: bool = False, name: str = "demo-1.0-py3-none-any.whl", **more: bytes,
) -> Path:  # fmt: skip
    """A wheel of `files`, with METADATA, WHEEL and RECORD; `without` leaves some out, `more` replaces them."""
    all_files = {**files, f"{INFO}/METADATA": METADATA, f"{INFO}/WHEEL": WHEEL}
    all_files |= {f"{INFO}/{key}": value for key, value in more.items() if key != "RECORD"}
    all_files[f"{INFO}/RECORD"] = more.get("RECORD", record(all_files))
    path = folder / name
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as archive:
        for file, data in all_files.items():
            if file.rpartition("/")[2] not in without:
                archive.writestr(info(file, 0o100755 if file in executable else 0o100644, method), data)
    return path
