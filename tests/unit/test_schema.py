"""The JSON Schema of what people write: the models' own fields and words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagekit import profile, resources, site
from imagekit.errors import UsageError
from imagekit.overlay import Overlay
from imagekit.schema import KINDS, schema


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_json_without_leftovers(kind: str) -> None:
    made = schema(kind)
    text = json.dumps(made)
    assert made["$schema"].startswith("http://json-schema.org/draft-07") and made["additionalProperties"] is False
    assert '"null"' not in text, "an empty key is an error"
    for name in made.get("$defs", {}):
        assert f'"#/$defs/{name}"' in text


@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_those_of_the_model(kind: str) -> None:
    model, _, internal = KINDS[kind]
    fields = set(schema(kind)["properties"]) - {"extends"}
    assert fields == set(model.model_fields) - set(internal)


@pytest.mark.parametrize("key", sorted({*profile.Profile.model_fields, "extends"}))
def test_a_key_of_the_schema_is_a_key_of_a_profile(key: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"about: x\n{key}:\n" if key != "about" else "about:\n")
    with pytest.raises(UsageError) as error:
        profile.load(str(file))
    known = not any("unknown key" in line for line in error.value.details)
    assert known is (key in schema("profile")["properties"])


def test_docstrings_of_fields_are_descriptions() -> None:
    made = schema("profile")["$defs"]["Expects"]["properties"]
    assert made["write"]["description"] == "ffmpeg encoders."
    assert "built-in profile" in schema("profile")["properties"]["extends"]["description"]
    assert any("description" in field for field in schema("site")["$defs"]["Index"]["properties"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_at_the_top_is_described(kind: str) -> None:
    """And in a site file every key of its sections."""
    made = schema(kind)

    def described(field: dict[str, Any]) -> bool:
        name = str(field.get("$ref") or field.get("items", {}).get("$ref")).rpartition("/")[2]
        return "description" in field or "description" in made.get("$defs", {}).get(name, {})

    assert [key for key, field in made["properties"].items() if not described(field)] == []


def test_versions_are_text_and_features_are_known_words() -> None:
    fields = schema("profile")["properties"]
    assert fields["python"]["type"] == "string"
    assert {"compile", "nvdec", "rdma"} <= set(fields["features"]["items"]["enum"])
    assert "video-llm" in fields["extends"]["examples"]


@pytest.mark.parametrize("file", sorted(resources.profiles().glob("*.yaml")), ids=lambda path: path.stem)
def test_the_built_in_profiles_use_no_other_key(file: Path) -> None:
    assert set(yaml.safe_load(file.read_text())) <= set(schema("profile")["properties"])


def test_sections_of_a_site_are_followed() -> None:
    made = schema("site")
    assert set(made["properties"]) == set(site.Settings.model_fields)
    fields = {name: section.get("properties", {}) for name, section in made["$defs"].items()}
    assert "url" in fields["Index"]
    plain = [f"{name}.{key}" for name in fields for key, field in fields[name].items() if "description" not in field]
    assert plain == []


def test_an_overlay_has_no_name_of_its_own() -> None:
    assert "name" in Overlay.model_fields and "name" not in schema("overlay")["properties"]
