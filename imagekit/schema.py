"""JSON Schema of profiles, overlays and site files, for editors: made from the models, in their own words.

pydantic gives types; it does not know the docstrings below fields, so they are read from the source. Draft 7 is what
the YAML language server and taplo know.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from imagekit import profile, site
from imagekit.compat import facts
from imagekit.overlay import Overlay

KINDS: dict[str, tuple[type[BaseModel], str, tuple[str, ...]]] = {
    "profile": (
        profile.Profile, "A profile of imagekit: what an image is made of. docs/profiles.md",
        ("name", "folder", "places", "overlays"),
    ),
    "overlay": (Overlay, "An overlay of imagekit: what a company adds to any profile.", ("name", "path", "places")),
    "site": (site.Settings, "A site file of imagekit: where things come from. docs/site.md", ()),
}  # fmt: skip
"""Kind -> model, one line about it, and the fields that its file does not have: imagekit sets them."""


class _Described(GenerateJsonSchema):
    """pydantic's own, with the docstring below each field as its description."""

    def model_schema(self, schema: core_schema.ModelSchema) -> dict[str, Any]:
        made = super().model_schema(schema)
        for name, text in _docs(schema["cls"]).items():
            field = made.get("properties", {}).get(name)
            if field is None:
                continue
            # beside a reference draft 7 sees nothing else
            made["properties"][name] = {**({"allOf": [field]} if "$ref" in field else field), "description": text}
        return made


def schema(kind: str) -> dict[str, Any]:
    """`kind`: one of KINDS."""
    model, about, internal = KINDS[kind]
    raw = model.model_json_schema(schema_generator=_Described)
    for name in internal:
        raw["properties"].pop(name, None)
    raw["required"] = [name for name in raw.get("required", ()) if name not in internal]
    if kind == "profile":
        parent = {
            "type": "string",
            "description": "The one parent: a built-in profile, or a path that starts at this file.",
            "examples": profile.names(),
        }
        raw["properties"] = {"extends": parent, **raw["properties"]}
    if "features" in raw["properties"]:
        raw["properties"]["features"]["items"] = {"enum": [feature.name for feature in facts.load().features]}
    definitions = raw.pop("$defs", {})
    made = {"$schema": "http://json-schema.org/draft-07/schema#", **_plain(raw), "title": about}
    used = _used(made, definitions)
    if used:
        made["$defs"] = {name: _plain(definitions[name]) for name in sorted(used)}
    return made


def _used(value: Any, definitions: dict[str, Any]) -> set[str]:
    """The names of the definitions that something refers to."""
    names = {name.rpartition("/")[2] for name in re.findall(r'"#/\$defs/[^"]+', json.dumps(value))}
    return names.union(*(_used(definitions[name], definitions) for name in names))


def _docs(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the docstring below it, those of parent classes first."""
    docs = _docs(profile.Profile) if model is Overlay else {}  # what both have means the same
    for kind in reversed(model.__mro__):
        if not issubclass(kind, BaseModel) or kind is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if named and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                docs[field.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return docs


def _plain(value: Any) -> Any:
    """Without titles that repeat a key, without null (an empty key is an error), without empty defaults."""
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    kept = {k: v for k, v in value.items() if not (k == "title" and isinstance(v, str))}
    if kept.get("required") == []:
        kept.pop("required")
    if kept.get("default", 0) in (None, "", [], {}) or isinstance(kept.get("default"), dict):
        kept.pop("default", None)
    choices = kept.get("anyOf")
    if isinstance(choices, list):
        choices = [choice for choice in choices if choice != {"type": "null"}]
        kept.pop("anyOf")
        kept = {**choices[0], **kept} if len(choices) == 1 else {**kept, "anyOf": choices}
    return {k: _plain(v) for k, v in kept.items()}
