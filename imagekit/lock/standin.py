"""A file-less wheel that stands in for a replaced distribution.

`replace: {pillow: pillow-simd}` resolves without pillow. pip, pip check and importlib.metadata must still find a
distribution named pillow, or the next `pip install matplotlib` would put pillow's files over pillow-simd's.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile

from packaging.utils import canonicalize_name
from packaging.version import Version

_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can hold: the bytes depend on names and versions only."""


def version_of(replacement: str) -> str:
    """The upstream version that a replacement stands for: 12.1.1.post0 of pillow-simd is pillow 12.1.1."""
    return Version(replacement).base_version


def wheel(name: str, by: str, by_version: str) -> tuple[str, bytes]:
    """(file name, bytes) of the wheel `name` that requires exactly `by`. The same bytes every time."""
    version = version_of(by_version)
    stem = canonicalize_name(name).replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    files = {
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {canonicalize_name(name)}\nVersion: {version}\n"
            f"Summary: Stands in for {name}; {by} has its files\nRequires-Dist: {by} (=={by_version})\n"
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: imagekit\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},sha256={_digest(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, text in files.items():
            entry = zipfile.ZipInfo(path, _DATE)
            entry.create_system = 3  # Unix, whatever machine makes it
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, text)
    return f"{stem}-{version}-py3-none-any.whl", buffer.getvalue()


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
