"""Profiles: every mistake is named with its file and field, and merging is by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagekit import profile
from imagekit.compat.resolve import resolve
from imagekit.errors import UsageError
from imagekit.profile import Profile, Wishes, load


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str | bytes, name: str = "mine.yaml") -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return f"./{name}"


def loaded(text: str) -> Profile:
    return load(write(text))


def refused(text: str | bytes) -> str:
    with pytest.raises(UsageError) as error:
        load(write(text))
    return str(error.value)


@pytest.mark.parametrize("name", profile.names())
def test_built_in_profiles_load_and_resolve(name: str) -> None:
    loaded = load(name)
    assert loaded.about and loaded.folder == ""
    resolve(loaded, Wishes())


@pytest.mark.parametrize(("typed", "meant"), [("video-lm", "video-llm"), ("tinny", "tiny"), ("Base", "base")])
def test_an_unknown_profile_is_answered_with_the_one_that_is_meant(typed: str, meant: str) -> None:
    with pytest.raises(UsageError) as error:
        load(typed)
    assert f"did you mean {meant}?" in str(error.value)


def test_an_unknown_profile_that_is_like_none() -> None:
    with pytest.raises(UsageError) as error:
        load("quantum")
    assert "built-in profiles: base" in str(error.value)


def test_an_unknown_key_is_answered_with_the_one_that_is_meant() -> None:
    assert "mine.yaml: pakages: unknown key; did you mean packages?" in refused("extends: base\npakages: [six]\n")


def test_an_unknown_parent_names_the_child() -> None:
    assert "mine.yaml: extends: there is no profile 'basse'" in refused("extends: basse\n")


def test_an_unknown_feature_is_answered_with_the_one_that_is_meant() -> None:
    with pytest.raises(UsageError) as error:
        resolve(loaded("extends: base\nfeatures: [compiler, zzz]\n"), Wishes())
    assert "features: compiler: did you mean compile?" in str(error.value) and "features: zzz: there are " in str(
        error.value
    )


@pytest.mark.parametrize("field", ["torch", "cuda", "python"])
@pytest.mark.parametrize("value", ["3.10", "12", "2.40"])
def test_a_version_without_quotes_is_refused(field: str, value: str) -> None:
    """YAML reads 3.10 as 3.1."""
    message = refused(f"extends: base\n{field}: {value}\n")
    assert f"mine.yaml: {field}: " in message and "write it in quotes" in message


def test_all_problems_are_told_at_once() -> None:
    message = refused("extends: base\npython: 3.10\npackages: ['six >=']\nfoo: 1\napt: jq\ntorch:\n")
    assert [
        field for field in ("python", "packages.0", "foo", "apt", "torch") if f"mine.yaml: {field}: " not in message
    ] == []


def test_problems_of_a_parent_name_the_parent() -> None:
    write("python: 3.10\n", "parent.yaml")
    message = refused("extends: ./parent.yaml\nfoo: 1\n")
    assert "parent.yaml: python: " in message and "mine.yaml: foo: unknown key" in message


@pytest.mark.parametrize("key", ["torch", "packages", "replace", "features", "expects", "files"])
def test_an_empty_value_is_named(key: str) -> None:
    assert f"mine.yaml: {key}: is empty" in refused(f"extends: base\n{key}:\n")


def test_an_empty_extends_is_named() -> None:
    assert "extends" in refused("extends:\ntorch: '2.4.1'\n")


def test_circles_are_named() -> None:
    write("extends: ./b.yaml\n", "a.yaml")
    write("extends: ./mine.yaml\n", "b.yaml")
    message = refused("extends: ./a.yaml\n")
    assert "in a circle" in message and "mine -> a -> b -> mine" in message


def test_a_profile_cannot_extend_itself() -> None:
    assert "in a circle" in refused("extends: ./mine.yaml\n")


def test_a_chain_has_an_end() -> None:
    for number in range(40):
        write(f"extends: ./p{number + 1}.yaml\n", f"p{number}.yaml")
    assert "profiles deep" in refused("extends: ./p0.yaml\n")


@pytest.mark.parametrize("parent", ["[base]", "{a: b}", "1"])
def test_extends_is_one_name(parent: str) -> None:
    assert "extends: must be the name of one profile" in refused(f"extends: {parent}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"about: \xff\xfe\n", "is not UTF-8"),
        ("# " + "x" * 2_000_000, "at most 1,000,000"),
        ("torch: '2.4'\ntorch: '2.5'\n", "'torch' is there twice"),
        ("expects:\n  read: {h264: [av], h264: [av]}\n", "'h264' is there twice"),
        ("about: " + "[" * 20_000, "nested too deeply"),
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- a\n- b\n", "a mapping of keys"),
        ("just words\n", "a mapping of keys"),
        ("about: [\n", "mine.yaml:"),
        ("about: !!python/object/apply:os.system ['true']\n", "mine.yaml:"),
        ("? [a, b]\n: c\n", "mine.yaml:"),
        ('about: "\x00"\n', "mine.yaml"),
        ("1: 2\n", "1: unknown key"),
        ("packages: ['six @ https://example.org/six.whl']\n", "names a URL"),
        ("packages: six\n", "packages"),
        ("packages: [1]\n", "packages.0"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_not_a_profile_is_refused_in_a_line(text: str | bytes, said: str) -> None:
    message = refused(text)
    assert said in message
    assert len(message) < 500


def test_a_bomb_of_aliases_does_no_harm() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "a8: unknown key" in refused("\n".join(lines) + "\n")


def test_a_missing_file_and_a_folder() -> None:
    with pytest.raises(UsageError, match="there is no profile file"):
        load("./nothing.yaml")
    write("extends: base\n", "team/imagekit.yaml")
    assert load("./team").name == "team"


def test_a_project_is_named_after_its_folder(tmp_path: Path) -> None:
    write("extends: base\n", "imagekit.yaml")
    assert load(".").name == tmp_path.name


def test_packages_merge_by_normalised_name() -> None:
    write("packages: [Pillow-SIMD, six >=1.16, idna]\n", "parent.yaml")
    merged = loaded("extends: ./parent.yaml\npackages: [SIX ==1.17, tqdm]\n")
    assert merged.packages == ["Pillow-SIMD", "SIX ==1.17", "idna", "tqdm"]


def test_remove_takes_out_what_was_inherited() -> None:
    write(
        "packages: [pillow_simd, six]\napt: [ffmpeg, jq]\nfeatures: [compile]\nreplace: {pillow: pillow-simd}\n",
        "parent.yaml",
    )
    merged = loaded("extends: ./parent.yaml\nremove: [Pillow.SIMD, ffmpeg, compile]\n")
    assert (merged.packages, merged.apt, merged.features, merged.replace) == (["six"], ["jq"], [], {})


def test_scalars_replace_and_mappings_merge() -> None:
    write("torch: '2.4.1'\nenv: {A: '1', B: '1'}\nabout: parent\n", "parent.yaml")
    merged = loaded("extends: ./parent.yaml\nenv: {B: '2'}\nabout: child\n")
    assert (merged.torch, merged.env, merged.about) == ("2.4.1", {"A": "1", "B": "2"}, "child")


def test_loading_changes_no_parent() -> None:
    before = load("base")
    loaded("extends: base\npackages: [six]\nremove: [numpy]\n")
    assert load("base") == before


def test_a_profile_is_frozen() -> None:
    with pytest.raises(Exception, match="frozen"):
        load("tiny").torch = "2.5"  # type: ignore[misc]
