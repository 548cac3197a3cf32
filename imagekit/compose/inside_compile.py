"""Compile modules; runs by itself, in the interpreter whose bytecode it is.

stdin: for each module its path in the image and its source, each after its length in four bytes (big endian).
stdout: for each the bytecode in the same form, empty where the source is no Python. A checked hash of the source is in
it, and no time (PEP 552). One process takes its modules in the order given, so that the same modules give the same
bytes: what is interned before is part of what marshal writes.
"""

from __future__ import annotations

import importlib._bootstrap_external as external
import sys
import warnings
from importlib.util import MAGIC_NUMBER, source_hash
from typing import BinaryIO


def frame(stream: BinaryIO) -> bytes | None:
    size = stream.read(4)
    return stream.read(int.from_bytes(size, "big")) if size else None


def main() -> None:
    warnings.simplefilter("ignore")
    modules, out = sys.stdin.buffer, sys.stdout.buffer
    out.write(MAGIC_NUMBER)
    while (path := frame(modules)) is not None:
        source = frame(modules) or b""
        name = path.decode()  # kept while marshal writes: it marks what others refer to, and compileall has it too
        try:
            code = compile(source, name, "exec", dont_inherit=True)
            data = bytes(external._code_to_hash_pyc(code, source_hash(source), True))  # type: ignore[attr-defined]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            data = b""
        out.write(len(data).to_bytes(4, "big") + data)
    out.flush()


main()
