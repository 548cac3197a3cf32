"""Where things come from: one index and one CA are adopted from the host, everything else of it is named as ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagekit import site
from imagekit.errors import UsageError
from imagekit.site import Site, load, masked, scrub


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    own, real_pip, real_uv = site.host, site.host._pip_conf, site.host._uv_toml
    monkeypatch.setattr(own, "_pip_conf", lambda file: real_pip(file) if file.is_relative_to(tmp_path) else ([], []))
    monkeypatch.setattr(own, "_uv_toml", lambda file: real_uv(file) if file.is_relative_to(tmp_path) else ([], []))
    return tmp_path


def write(path: str, text: str) -> Path:
    file = Path(path).resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def host(**environ: str) -> Site:
    return load(None, {"HOME": str(Path.cwd()), **environ})


def refused(text: str) -> str:
    with pytest.raises(UsageError) as error:
        load(write("imagekit.toml", text), {})
    return str(error.value)


def test_nothing_configured() -> None:
    found = host()
    assert (found.default_index, found.ca, found.ignored) == ("", "", ())
    assert {row.origin for row in found.shown} == {"built in"}
    assert {"indexes.pypi.url", "indexes.pytorch.url", "tags.repository"} <= {row.name for row in found.shown}


@pytest.mark.parametrize(
    "variable", ["PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX", "PIP_FIND_LINKS", "UV_FIND_LINKS"]
)
def test_extra_sources_of_the_environment_are_named_and_ignored(variable: str) -> None:
    found = host(**{variable: "https://a.example/simple https://b.example/simple"})
    assert [(row.origin, row.value) for row in found.ignored] == [
        (f"${variable}", "https://a.example/simple"), (f"${variable}", "https://b.example/simple"),
    ]  # fmt: skip
    assert found.default_index == ""


def test_extra_sources_of_pip_conf_and_uv_toml_are_named_and_ignored() -> None:
    write(
        ".config/pip/pip.conf", "[global]\nextra-index-url =\n  https://a.example/simple\n  https://b.example/simple\n"
    )
    write(".pip/pip.conf", "[install]\nfind-links = /srv/wheels\n")
    write("own.conf", "[global]\nextra-index-url = https://c.example/simple\n")
    write(
        ".config/uv/uv.toml",
        'extra-index-url = ["https://d.example"]\n[[index]]\nname = "e"\nurl = "https://e.example"\n',
    )
    found = host(PIP_CONFIG_FILE=str(Path("own.conf").resolve()))
    assert sorted(row.value for row in found.ignored) == [
        "/srv/wheels", "https://a.example/simple", "https://b.example/simple", "https://c.example/simple",
        "https://d.example", "https://e.example",
    ]  # fmt: skip
    assert found.default_index == ""


@pytest.mark.parametrize("variable", ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_the_hosts_one_index_is_adopted_and_shown(variable: str) -> None:
    found = host(**{variable: "https://mirror.example/simple"})
    assert found.default_index == found.index_url("pypi") == "https://mirror.example/simple"
    assert site.Setting("indexes.pypi.url", "https://mirror.example/simple", f"${variable}") in found.shown


def test_pip_conf_gives_index_and_ca() -> None:
    bundle = write("ca.pem", "x")
    conf = write(".config/pip/pip.conf", f"[global]\nindex-url = https://mirror.example/simple\ncert = {bundle}\n")
    found = host()
    assert (found.default_index, found.ca) == ("https://mirror.example/simple", str(bundle))
    assert {row.origin for row in found.shown if row.name in ("indexes.pypi.url", "tls.ca")} == {str(conf)}


def test_the_site_file_comes_before_the_host() -> None:
    path = write("imagekit.toml", '[indexes.pypi]\nurl = "https://site.example/simple"\n')
    found = load(path, {"HOME": str(Path.cwd()), "PIP_INDEX_URL": "https://host.example/simple"})
    assert found.default_index == "https://site.example/simple"
    assert [row.value for row in found.ignored] == ["https://host.example/simple"]


def test_two_indexes_of_the_host_are_never_merged() -> None:
    found = host(PIP_INDEX_URL="https://a.example/simple", UV_INDEX_URL="https://b.example/simple")
    assert found.default_index == "https://b.example/simple"
    assert [row.value for row in found.ignored] == ["https://a.example/simple"]


def test_passwords_are_masked_wherever_they_are_shown() -> None:
    secret = "https://me:s3cret@mirror.example:8443/simple"
    found = host(PIP_INDEX_URL=secret, PIP_EXTRA_INDEX_URL=secret)
    assert found.default_index == secret, "it is used as it is"
    assert "s3cret" not in str(found.shown) + str(found.ignored)
    assert masked(secret) == "https://***@mirror.example:8443/simple"
    assert masked("https://token@mirror.example/simple") == "https://***@mirror.example/simple"
    assert masked("https://mirror.example/simple") == "https://mirror.example/simple"


@pytest.mark.parametrize("url", [
    "https://me:s3cret@mirror.example/simple/six/", "https://me:s3cret@mirror.example", "https://me:s3cret@mirror.example/",
    "https://mirror.example/simple/six/?token=s3cret", "http://s3cret@mirror.example:80/six",
])  # fmt: skip
def test_logs_hold_neither_host_nor_password(url: str) -> None:
    text = scrub(f"could not fetch `{url}`, retrying")
    assert "s3cret" not in text and "mirror.example" not in text
    assert text.startswith("could not fetch `<index>/") and text.endswith("`, retrying")


def test_a_password_in_the_site_file_is_refused_without_showing_it() -> None:
    message = refused('[indexes.acme]\nurl = "https://me:s3cret@acme.example/simple"\n')
    assert "indexes.acme.url: holds a password" in message and "s3cret" not in message


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_ca_is_found(variable: str) -> None:
    bundle = write("ca.pem", "x")
    found = host(**{variable: str(bundle)})
    assert found.ca == str(bundle)
    assert site.Setting("tls.ca", str(bundle), f"${variable}") in found.shown


def test_a_ca_that_is_not_there_is_told_with_who_named_it() -> None:
    with pytest.raises(UsageError, match=r"\$PIP_CERT: the CA bundle /nowhere.pem does not exist"):
        host(PIP_CERT="/nowhere.pem")
    assert "the CA bundle /nowhere.pem does not exist" in refused('[tls]\nca = "/nowhere.pem"\n')


@pytest.mark.parametrize(("text", "said"), [
    ("[index.pypi]\nurl = 'x'\n", "index: unknown key; did you mean indexes?"),
    ("[indexes.a]\nurl = 'ftp://a.example'\n", "is not an http(s) or file URL"),
    ("[indexes.a]\n", "indexes.a.url"),
    ("[indexes.a]\nurl = 1\n", "indexes.a.url"),
    ("[[[\n", "imagekit.toml"),
    ("[tags]\nrepository = 1\nbear = ''\n", "tags.repository"),
])  # fmt: skip
def test_what_is_wrong_in_a_site_file(text: str, said: str) -> None:
    assert said in refused(text)


def test_a_site_file_that_is_named_and_not_there() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load(Path("other.toml"), {})
    with pytest.raises(UsageError, match="cannot be read"):
        load(None, {"IMAGEKIT_SITE": "other.toml"})


def test_routes_are_by_normalised_name() -> None:
    path = write(
        "imagekit.toml", '[indexes.acme]\nurl = "https://acme.example/{variant}"\nonly = ["Acme_*", "torch"]\n'
    )
    found = load(path, {})
    assert [found.route(name) for name in ("acme-sdk", "ACME.SDK", "torch", "torchvision", "acmesdk")] == [
        "acme",
        "acme",
        "acme",
        "",
        "",
    ]
    assert found.index_url("acme", "cu121") == "https://acme.example/cu121"


def test_an_index_of_a_lock_that_this_site_does_not_have() -> None:
    with pytest.raises(UsageError) as error:
        host().index_url("elsewhere")
    assert "[indexes.elsewhere]" in error.value.hint


@pytest.mark.parametrize("text", ["[global\n", "index-url = x\n", "\x00"])
def test_a_broken_file_of_the_host_is_named_and_passed_over(text: str) -> None:
    write(".config/pip/pip.conf", text)
    write(".config/uv/uv.toml", "[[[")
    assert {row.name for row in host().ignored} == {"unreadable"}
