"""A local package index (PEP 503) of small stand-in wheels, and a site file that routes names to it.

The wheels depend on nothing but their names and versions: the same bytes on every machine and every day, so that locks
and images made with them can be compared byte for byte.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_DATE = (2020, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Wheel:
    """A pure-Python wheel that can be installed and imported, and does nothing."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    """Path in site-packages -> its text; by default a module of the wheel's name that knows its version."""
    tag: str = "py3-none-any"
    requires_python: str = ""

    @property
    def stem(self) -> str:
        return self.name.replace("-", "_")

    @property
    def file(self) -> str:
        return f"{self.stem}-{self.version}-{self.tag}.whl"

    def content(self) -> bytes:
        info = f"{self.stem}-{self.version}.dist-info"
        requires = "".join(f"Requires-Dist: {line}\n" for line in self.requires)
        files = dict(self.modules) or {f"{self.stem}/__init__.py": f'__version__ = "{self.version}"\n'}
        requires += f"Requires-Python: {self.requires_python}\n" if self.requires_python else ""
        files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n{requires}"
        files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: standins\nRoot-Is-Purelib: true\nTag: {self.tag}\n"
        record = [f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items()]
        files[f"{info}/RECORD"] = "".join([*record, f"{info}/RECORD,,\n"])
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for path, text in files.items():
                entry = zipfile.ZipInfo(path, _DATE)
                entry.create_system = 3
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, text)
        return buffer.getvalue()


def torch(version: str = "2.4.1", cuda: str = "12.1", requires: tuple[str, ...] = ()) -> Wheel:
    """What imagekit asks of torch: a module, its version file, its metadata."""
    local = f"{version}+cu{cuda.replace('.', '')}"
    return Wheel("torch", version, requires, {
        "torch/__init__.py": "from torch.version import __version__ as __version__\n",
        "torch/version.py": f'__version__ = "{local}"\ncuda = "{cuda}"\nhip = None\ngit_version = "stand-in"\n',
    })  # fmt: skip


TORCH_FAMILY = (torch(), Wheel("torchvision", "0.19.1", ("torch==2.4.1",)), Wheel("triton", "3.0.0"))


def index(folder: Path, wheels: Iterable[Wheel] = TORCH_FAMILY) -> str:
    """Write simple/<name>/ with the wheels and a page that has their hashes; the URL of the index."""
    simple = folder / "simple"
    pages: dict[str, list[str]] = {}
    for wheel in wheels:
        content = wheel.content()
        place = simple / wheel.name / wheel.file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        pages.setdefault(wheel.name, []).append(f'<a href="{wheel.file}#sha256={sha256}">{wheel.file}</a>')
    for name, links in pages.items():
        (simple / name / "index.html").write_text(_page("<br>\n".join(links)))
    (simple / "index.html").write_text(_page("<br>\n".join(f'<a href="{name}/">{name}</a>' for name in sorted(pages))))
    return simple.as_uri()


def site_file(folder: Path, url: str, only: Iterable[str] = ("torch",), more: str = "") -> Path:
    """imagekit.toml with an index `standin` that owns the names `only`; `more` is appended as it is."""
    path = folder / "imagekit.toml"
    names = ", ".join(f'"{name}"' for name in only)
    path.write_text(f'[indexes.standin]\nurl = "{url}"\nonly = [{names}]\n{more}')
    return path


def _page(body: str) -> str:
    return f"<!DOCTYPE html>\n<html><body>\n{body}\n</body></html>\n"


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
