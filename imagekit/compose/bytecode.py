"""Modules -> bytecode, by the image's own interpreter: an import is 2.5 times as fast with it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from imagekit import resources
from imagekit.compose import room
from imagekit.errors import BuildFailed, Surroundings
from imagekit.oci.archive import content
from imagekit.oci.installed import SITE, File

_ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}
_PROGRAM = "inside_compile.py"


def of(files: Sequence[File], root: Path, python: str) -> tuple[File, ...]:
    """The __pycache__ of some modules; `root` has the interpreter, `python` is its version, "3.11". Raises BuildFailed.

    What is no Python (the odd template) has none.
    """
    modules = [file for file in files if file.path.startswith(f"{SITE}/") and file.path.endswith(".py")]
    if not modules:
        return ()
    magic, compiled, said = _compiled(modules, root)
    if len(compiled) < len(modules):
        lines = said.strip().splitlines()[-5:]
        if magic:
            raise BuildFailed(f"the bytecode of /{modules[len(compiled)].path} cannot be made", details=lines)
        raise Surroundings(
            "the image's interpreter cannot be run here without an engine", details=lines,
            hint="it needs user namespaces (kernel.unprivileged_userns_clone, AppArmor), or --engine buildkit",
        )  # fmt: skip
    tag = f"cpython-{python.replace('.', '')}"
    found = zip(modules, compiled, strict=True)
    return tuple(File(_cached(module.path, tag), data) for module, data in found if data)


def _compiled(modules: Sequence[File], root: Path) -> tuple[bytes, list[bytes], str]:
    """(magic number, bytecode of each module as far as it came, stderr)"""
    program = (resources.compose() / _PROGRAM).read_text(encoding="utf-8")
    process = room.start(root, ["/usr/bin/python3", "-B", "-c", program], _ENVIRONMENT)
    assert process.stdin and process.stdout and process.stderr
    with ThreadPoolExecutor(2) as pool, process:
        pool.submit(_feed, process.stdin, modules)
        said = pool.submit(process.stderr.read, 100_000)
        try:
            magic, compiled = process.stdout.read(4), list[bytes]()
            while len(compiled) < len(modules) and len(size := process.stdout.read(4)) == 4:
                length = int.from_bytes(size, "big")
                data = process.stdout.read(length)
                if len(data) < length:
                    break
                compiled.append(data)
        finally:
            if process.poll() is None:
                process.kill()
        return magic, compiled, said.result().decode("utf-8", "replace")


def _cached(path: str, tag: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"


def _feed(stdin: IO[bytes], modules: Sequence[File]) -> None:
    try:
        with stdin:
            for module in modules:
                text = module.content if isinstance(module.content, bytes) else content(module.content)
                for part in (f"/{module.path}".encode(), text):
                    stdin.write(len(part).to_bytes(4, "big") + part)
    except OSError:  # it has ended, which whoever reads its output finds out
        pass
