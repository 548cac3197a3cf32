"""plan -> image without a daemon: one layer per wheel, each a pure function of its wheel.

    system    distribution packages                              system.py
    wheels    one layer each; small ones share when there are many   oci.layer, oci.stack
    bytecode  what the image's interpreter makes of the modules   bytecode.py
    files     the image's own: lock, facts, smoke program, the profile's files

What was converted before is not read again (`oci.kept`).
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tarfile
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imagekit.compose import bytecode, own, room, staged, system
from imagekit.compose.system import System
from imagekit.files import write
from imagekit.oci import image, installed, layer, overlaps, stack
from imagekit.oci.image import Image, Stacked
from imagekit.oci.installed import File
from imagekit.oci.kept import Kept, Made
from imagekit.oci.stack import Sized
from imagekit.plan import GROUPS
from imagekit.render import Context
from imagekit.site import Site
from imagekit.wheels import unharmed

BIG = 3_000_000
"""Bytes of a wheel from which its bytecode has a layer of its own."""

COMPANIONS = 8
"""Layers that the bytecode of the others shares: what changes has an eighth of it compiled and sent again. Fewer on a
base of many layers."""

MEMO = "decided"
"""Folder of the layer cache: what was read from wheels before; for those that were compared, the files that lost."""


@dataclass(frozen=True)
class Wheel:
    """A wheel of the image, as a file."""

    name: str
    version: str
    group: str
    """One of plan.GROUPS: by rate of change."""
    sha256: str
    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size


@dataclass(frozen=True)
class Slot:
    """A layer that is to be made of some wheels: their files, or the bytecode of those."""

    wheels: tuple[Wheel, ...]
    bytecode: bool

    @property
    def told(self) -> str:
        """A line of the image's history."""
        names = ", ".join(f"{wheel.name} {wheel.version}" for wheel in self.wheels[:3])
        more = f" and {len(self.wheels) - 3} more" if len(self.wheels) > 3 else ""
        return f"imagekit: {'bytecode of ' if self.bytecode else ''}{names}{more}"


def compose(
    context: Context, base: System, wheels: Sequence[Wheel], shelf: Kept, site: Site, *,
    made: Callable[[Stacked], None] = lambda _: None,
) -> Image:  # fmt: skip
    """`site`: for what the steps of overlays fetch; `made`: is told of each layer of packages when it is there.

    Raises BuildFailed for wheels that cannot be installed together, Surroundings where something is missing here,
    ImpossibleWish for a base of too many layers.
    """
    lock = context.plan.lock
    files = _Files(wheels, lock.resolution.python, lock.resolution.wins, shelf)
    compiler = Compiler(base, lock.resolution.python, shelf)
    ordered = slots(wheels, stack.above(len(base.layers)), context.pyc)
    largest_first = sorted(ordered, key=lambda slot: (slot.bytecode, -sum(wheel.size for wheel in slot.wheels)))
    for below in base.layers:
        made(below)

    def one_of(slot: Slot) -> Stacked | None:
        with unharmed({wheel.path: wheel.sha256 for wheel in slot.wheels}):
            layer, path = _made(slot, files, compiler, shelf)
        if not layer.files:
            return None
        found = Stacked(layer, path, slot.told)
        made(found)
        return found

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        futures = {slot: pool.submit(one_of, slot) for slot in largest_first}
        try:
            middle = [one for slot in ordered if (one := futures[slot].result())]
        except BaseException:  # Ctrl-C reaches this thread only
            shelf.stop.set()
            room.stop_all()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    top = Stacked(*own.layer_of(context, shelf), "imagekit: its own files")
    layers, set_up = (*base.layers, *middle, top), own.configuration(lock, base.env, base.labels, base.more)
    if lock.resolution.steps:
        layers = (*layers, staged.steps_layer(layers, lock, set_up.env, site, shelf))
    return image.make(layers, set_up, lock.epoch)


def ahead(wheel: Wheel, python: str, shelf: Kept, made: Callable[[Stacked], None]) -> None:
    """Make the layer of a large wheel before all others are there, on the guess that it shares no file with them.

    Nearly none does; where one does, `compose` makes another. Raises BuildFailed, Surroundings.
    """
    read = functools.cache(lambda: installed.files(wheel.path, python))
    with unharmed({wheel.path: wheel.sha256}):
        key = _key("wheels", [_made_of(wheel, _python_in(wheel, python, read, shelf), [])])
        found = shelf.take(key, lambda out: layer.write(out, layer.entries(read())))
    made(Stacked(*found, Slot((wheel,), False).told))


def slots(wheels: Sequence[Wheel], most: int, pyc: bool = True) -> list[Slot]:
    """The layers between the system and the image's own files, the lowest first: what changes least is below.

    `most`: how many there may be, stack.LEAST or more; `pyc`: layers of bytecode too.
    """
    by_name = {wheel.name: wheel for wheel in wheels}
    # where many are big, the bar is higher: bytecode takes a quarter of the layers at most
    least = next(bar for bar in (BIG, 10 * BIG, 100 * BIG, 1 << 62) if sum(w.size >= bar for w in wheels) <= most // 4)
    companions = stack.halved(COMPANIONS, most // 4)
    shares: dict[tuple[int, str], list[Wheel]] = {}
    # nothing of the group cuda is compiled, so that it fits every Python
    for wheel in sorted((w for w in wheels if pyc and w.group != "cuda"), key=lambda wheel: wheel.name):
        if wheel.size >= least:
            shares[_rank(wheel), wheel.name] = [wheel]
        else:
            shares.setdefault((len(GROUPS), f"~{stack.share(wheel.name, companions)}"), []).append(wheel)
    sized = [Sized(wheel.name, _rank(wheel), wheel.size) for wheel in wheels]
    found = [(_order(names, by_name), Slot(tuple(by_name[name] for name in names), False))
             for names in stack.stacked(sized, most - len(shares))]  # fmt: skip
    found += [((rank, 1, name), Slot(tuple(group), True)) for (rank, name), group in shares.items()]
    return [slot for _, slot in sorted(found, key=lambda row: row[0])]


def _rank(wheel: Wheel) -> int:
    return GROUPS.index(wheel.group)


def _order(names: tuple[str, ...], wheels: Mapping[str, Wheel]) -> tuple[int, int, str]:
    return max(_rank(wheels[name]) for name in names), 0, names[0]


def _made(slot: Slot, files: _Files, compiler: Compiler, shelf: Kept) -> Made:
    if slot.bytecode:
        return compiler.layer(slot.wheels, files)
    key = _key("wheels", [files.key(wheel) for wheel in slot.wheels])
    return shelf.take(key, lambda out: layer.write(out, layer.entries(files.of(slot.wheels))))


class _Files:
    """What the wheels bring, read only when it is asked: a layer that is known needs none of it."""

    def __init__(self, wheels: Sequence[Wheel], python: str, wins: Sequence[str], shelf: Kept) -> None:
        self._python, self._wins, self._shelf = python, wins, shelf
        self._wheels = {wheel.name: wheel for wheel in wheels}
        self._read: dict[str, tuple[File, ...]] = {}
        self._lock = threading.Lock()
        self._lost = self._compared(shelf)

    def key(self, wheel: Wheel) -> list[object]:
        """What the files of a wheel in the image follow from."""
        python = _python_in(wheel, self._python, lambda: self._all(wheel), self._shelf)
        return _made_of(wheel, python, self._lost.get(wheel.name, []))

    def of(self, wheels: Sequence[Wheel]) -> list[File]:
        """Each path once: where two wheels of a layer bring the same file, it is the same."""
        found: dict[str, File] = {}
        for wheel in wheels:
            lost = set(self._lost.get(wheel.name, []))
            found |= {file.path: file for file in self._all(wheel) if file.path not in lost}
        return list(found.values())

    def _all(self, wheel: Wheel) -> tuple[File, ...]:
        with self._lock:
            if wheel.name not in self._read:
                with unharmed({wheel.path: wheel.sha256}):
                    self._read[wheel.name] = installed.files(wheel.path, self._python)
            return self._read[wheel.name]

    def _paths(self, wheel: Wheel, shelf: Kept) -> list[str]:
        """Of the files of a wheel, remembered: to read the directory of a large archive takes its time."""
        note = shelf.folder / MEMO / _key("paths", [wheel.sha256, self._python])
        try:
            return note.read_text(encoding="utf-8").split("\0")  # which no name of an archive has
        except (OSError, ValueError):
            found = [file.path for file in self._all(wheel)]
            write(note, "\0".join(found).encode())
            return found

    def _compared(self, shelf: Kept) -> dict[str, list[str]]:
        """Wheel -> paths that another one brings instead. Remembered: the same wheels are never compared twice."""
        note = (
            shelf.folder
            / MEMO
            / _key("decided", [sorted(one.sha256 for one in self._wheels.values()), list(self._wins), self._python])
        )
        try:
            return {str(name): list(paths) for name, paths in json.loads(note.read_text(encoding="utf-8")).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass
        near = overlaps.touching({name: self._paths(wheel, shelf) for name, wheel in self._wheels.items()})
        before = {name: self._all(self._wheels[name]) for name in sorted(near)}
        after = overlaps.decided(before, self._wins)
        lost = {name: sorted({f.path for f in before[name]} - {f.path for f in after[name]}) for name in before}
        lost = {name: paths for name, paths in lost.items() if paths}
        write(note, json.dumps(lost).encode())
        return lost


class Compiler:
    """Bytecode by the interpreter of a system."""

    def __init__(self, base: System, python: str, shelf: Kept) -> None:
        self._base, self._python, self._shelf = base, python, shelf
        self._lock = threading.Lock()

    def layer(self, wheels: Sequence[Wheel], files: _Files) -> Made:
        interpreter = {name: version for name, version in self._base.packages.items() if "python3" in name}
        key = _key("bytecode", [[files.key(wheel) for wheel in wheels], sorted(interpreter.items())])
        made = self._one if len(wheels) == 1 else self._several
        return self._shelf.take(key, lambda out: layer.write(out, layer.entries(made(wheels, files)), pack=True))

    def _one(self, wheels: Sequence[Wheel], files: _Files) -> Iterable[File]:
        with self._lock:
            root = system.unpacked(self._base, self._shelf)
        return bytecode.of(files.of(wheels), root, self._python)

    def _several(self, wheels: Sequence[Wheel], files: _Files) -> Iterator[File]:
        """That of each is kept by itself: of a share, only what changed is compiled."""
        for wheel in wheels:
            kept, path = self.layer([wheel], files)
            try:
                found = _read(path)
            except (tarfile.TarError, OSError, EOFError, zlib.error):  # it was damaged since
                self._shelf.forget(kept.digest)
                found = _read(self.layer([wheel], files)[1])
            yield from found


def _read(layer: Path) -> list[File]:
    with tarfile.open(layer) as archive:
        return [File(member.name, stream.read()) for member in archive if (stream := archive.extractfile(member))]


def _python_in(wheel: Wheel, python: str, read: Callable[[], Sequence[File]], shelf: Kept) -> str:
    """The Python that the files of a wheel follow from; empty where they are the same for each. Remembered."""
    note = shelf.folder / MEMO / _key("python", wheel.sha256)
    try:
        word = note.read_text(encoding="ascii")
    except (OSError, ValueError):
        word = "every" if installed.for_every_python(read(), python) else "one"
        write(note, word.encode())
    return "" if word == "every" else python


def _made_of(wheel: Wheel, python: str, lost: Sequence[str]) -> list[object]:
    """What the files of a wheel in the image follow from; `python`: as `_python_in` has it; `lost`: paths that another
    one brings instead."""
    return [wheel.sha256, python, list(lost)]


def _key(kind: str, inputs: object) -> str:
    return hashlib.sha256(json.dumps([layer.FORMAT, kind, installed.SITE, inputs]).encode()).hexdigest()
