"""New rows in torch.yaml: put in as text, so that all that people wrote around them stays as it is."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from imagekit import scratch
from imagekit.compat import facts_load
from imagekit.compat.rows import Release, Variant
from imagekit.errors import Surroundings
from imagekit.refresh.compare import Change

FILE = "torch.yaml"

SOURCE = "imagekit compat refresh: names of files and METADATA of wheels, {where}"

NOTE = "as the index has it: for which GPUs it is compiled, numpy ABI and C++ standard are not known"

Edit = tuple[int, int, str]
"""Characters [from, to) of the text, and what comes there."""


def updated(text: str, changes: Iterable[Change], day: str, indexes: tuple[str, ...]) -> str:
    """The text of torch.yaml with all that is `new` and `more` in it; itself where nothing is."""
    wanted = [change for change in changes if change.kind in ("new", "more")]
    if not wanted:
        return text
    source = f"refresh-{day}"
    top: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    rows = {_value(row, "version").value: row for row in _value(top, "releases").value}
    edits = list(dict.fromkeys(edit for change in wanted for edit in _edits(change, rows, text, source)))
    sources = _value(top, "sources")
    if source not in {key.value for key, _ in sources.value}:
        said = SOURCE.format(where=f"the index{'es' if len(indexes) > 1 else ''} {' and '.join(indexes)}")
        edits.append((*_after(sources, text), f"  {source}: '{said}'\n"))
    # from the end, so that places stay where they are; the sort is stable, so what goes to one place keeps its order
    for first, last, new in sorted(edits, key=lambda edit: edit[:2])[::-1]:
        text = text[:first] + new + text[last:]
    return text


def write(folder: Path, text: str) -> None:
    """Replace torch.yaml in the folder of the facts, after all facts were read with it. Raises Surroundings."""
    compiled = folder / facts_load.COMPILED
    with scratch.folder("facts") as trial:
        for name in facts_load.FILES.keys() - {"torch"}:
            shutil.copy(folder / f"{name}.yaml", trial)
        (trial / FILE).write_text(text, encoding="utf-8")
        facts_load.read(trial)
        fresh = facts_load.compile_json(trial) if compiled.exists() else ""
    for path, content in ((folder / FILE, text), (compiled, fresh)):
        if content:
            _replace(path, content)


def _replace(path: Path, content: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(content, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        raise Surroundings(
            f"the facts cannot be written: {error.strerror}",
            hint="--dry-run only shows what is new",
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def _edits(change: Change, rows: dict[str, Any], text: str, source: str) -> Iterable[Edit]:
    if isinstance(change.row, Release):
        after = [version for version in rows if Version(version) > Version(change.row.version)]
        start = _line(rows[min(after, key=Version)], text) if after else len(text)
        block = _block(_release(change.row, source), 2)
        # a blank line between releases
        yield (start, start, f"{block}\n" if after else f"\n{block}")
        return
    _, version, *variant = change.where.split("/")
    row = rows[version]
    if isinstance(change.row, Variant):
        variants = _value(row, "variants")
        later = [v for v in variants.value if Version(_value(v, "cuda").value) > Version(change.row.cuda)]
        start = _line(later[0], text) if later else _after(variants, text)[0]
        new = _variant(change.row, source, _value(row, "glibc").value)
        yield (start, start, _block(new | {"note": NOTE}, 6))
        return
    row = next(v for v in _value(row, "variants").value if _value(v, "name").value == variant[0]) if variant else row
    indent = " " * (8 if variant else 4)
    value = list(change.value) if isinstance(change.value, tuple) else change.value
    old = next((node for key, node in row.value if key.value == change.field), None)
    if old is None:
        line = _line(_value(row, "sources"), text)
        yield (line, line, f"{indent}{change.field}: {_flow(value)}\n")
    else:
        yield (old.start_mark.index, old.end_mark.index, _flow(value))
    cited = _value(row, "sources")
    if source not in {node.value for node in cited.value}:
        yield (cited.end_mark.index - 1, cited.end_mark.index - 1, f", {source}")


def _release(row: Release, source: str) -> dict[str, Any]:
    known = _known(row, leave=("variants", "sources", "note"))
    variants = [_variant(variant, source, row.glibc) for variant in row.variants]
    return known | {"sources": [source], "note": NOTE, "variants": variants}


def _variant(row: Variant, source: str, glibc: str) -> dict[str, Any]:
    """`glibc`: that of its release, which need not be said again."""
    known = _known(row, leave=("sources", "note"))
    if known["glibc"] == glibc:
        del known["glibc"]
    return known | {"sources": [source]}


def _known(row: Release | Variant, leave: tuple[str, ...]) -> dict[str, Any]:
    """The fields that are known, in their order; a field that is absent is not known."""
    fields = {f.name: getattr(row, f.name) for f in dataclasses.fields(row) if f.name not in leave}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items() if v is not None}


class _Dumper(yaml.SafeDumper):
    """Lists stand below their keys with an indent, as in the rest of the file."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _block(row: dict[str, Any], indent: int) -> str:
    dumped = yaml.dump([row], Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return "".join(f"{' ' * indent}{line}\n" for line in dumped.splitlines())


def _flow(value: object) -> str:
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return dumped.removesuffix("\n").removesuffix("\n...")


def _value(mapping: Any, key: str) -> Any:
    return next(node for name, node in mapping.value if name.value == key)


def _line(node: Any, text: str) -> int:
    """Where the line begins that a node begins in."""
    return text.rfind("\n", 0, node.start_mark.index) + 1


def _after(node: Any, text: str) -> tuple[int, int]:
    """Where the line after the last of a block begins: the parser ends a block where the next one begins."""
    start = len(text[: node.end_mark.index].rstrip()) + 1
    return start, start
