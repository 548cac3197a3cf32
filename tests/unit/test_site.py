"""Where things come from: one index and one CA are adopted from the host, everything else of it is named as ignored."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from imagekit import site
from imagekit.errors import Surroundings, UsageError
from imagekit.site import Login, Site, apt, load, masked, model, scrub


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


# levels


def test_levels_merge_by_key_and_each_says_where_it_is_from(tmp_path: Path) -> None:
    user = write(".config/imagekit/imagekit.toml", '[tags]\nbare = "user"\nrepository = "user"\n[build]\njobs = 1\n')
    write("imagekit.toml", '[tags]\nrepository = "project"\n[apt]\nmirror = "http://project.example/debian"\n')
    named = write("named.toml", '[tls]\nca = "named.pem"\n[hub]\nendpoint = "https://named.example"\n')
    flag = write("flag.toml", '[hub]\nendpoint = "https://flag.example"\n')
    write("named.pem", "x")
    found = load(
        flag, {"HOME": str(tmp_path), "IMAGEKIT_SITE": str(named), "IMAGEKIT_APT_MIRROR": "http://v.example/d"}
    )
    rows = {row.name: (row.value, row.origin) for row in found.shown}
    assert rows["hub.endpoint"] == ("https://flag.example", str(flag))
    assert rows["apt.mirror"] == ("http://v.example/d", "$IMAGEKIT_APT_MIRROR")
    assert rows["tls.ca"] == (str(tmp_path / "named.pem"), str(named)), "named from where its file is"
    assert rows["tags.repository"] == ("project", "imagekit.toml")
    assert rows["tags.bare"] == ("user", str(user)) and rows["build.jobs"] == ("1", str(user))
    assert {(row.name, row.origin) for row in found.ignored} == {
        ("hub.endpoint", str(named)), ("apt.mirror", "imagekit.toml"), ("tags.repository", str(user)),
    }  # fmt: skip
    assert found.settings.hub.endpoint == "https://flag.example" and found.settings.tags.bare == "user"


def test_a_variable_for_every_key_and_short_names_for_three() -> None:
    bundle = write("ca.pem", "x")
    found = host(
        IMAGEKIT_INDEX_URL="https://a.example/simple", IMAGEKIT_CA=str(bundle), IMAGEKIT_REGISTRY="r.example:5000/team",
        IMAGEKIT_BUILD_JOBS="3", IMAGEKIT_BUILD_NETWORK="host", IMAGEKIT_INDEXES_ACME_PY_URL="https://b.example/simple",
        IMAGEKIT_INDEXES_ACME_PY_ONLY="acme-*, other", IMAGEKIT_TAGS_BARE="", IMAGEKIT_PREFLIGHT="off",
    )  # fmt: skip
    s = found.settings
    assert (found.default_index, found.ca, s.registry.push) == (
        "https://a.example/simple",
        str(bundle),
        "r.example:5000/team",
    )
    assert (s.build.jobs, s.build.network, s.tags.bare) == (3, "host", "video-llm"), "empty is not set"
    assert s.indexes["acme-py"].only == ["acme-*", "other"] and found.route("acme-sdk") == "acme-py"


def test_a_variable_means_the_index_that_a_file_spells() -> None:
    write("imagekit.toml", '[indexes.Acme_Py]\nurl = "https://a.example/simple"\n')
    found = host(IMAGEKIT_INDEXES_ACME_PY_URL="https://b.example/simple")
    assert {name: index.url for name, index in found.settings.indexes.items()} == {
        "Acme_Py": "https://b.example/simple"
    }


@pytest.mark.parametrize(("variable", "value", "said"), [
    ("IMAGEKIT_TLS_CB", "x", "$IMAGEKIT_TLS_CB: names no key; did you mean IMAGEKIT_TLS_CA?"),
    ("IMAGEKIT_BUILD_JOBS", "many", "$IMAGEKIT_BUILD_JOBS: "),
    ("IMAGEKIT_BUILD_NETWORK", "vpn", "$IMAGEKIT_BUILD_NETWORK: "),
    ("IMAGEKIT_INDEX_URL", "https://me:s3cret@a.example", "$IMAGEKIT_INDEX_URL: holds a password"),
])  # fmt: skip
def test_what_is_wrong_in_a_variable(variable: str, value: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        host(**{variable: value})
    assert said in str(error.value) and "s3cret" not in str(error.value)


def test_a_stronger_url_drops_the_login_of_a_weaker_level() -> None:
    """A file in a cloned folder cannot send the user's login elsewhere by naming another place."""
    write(".config/imagekit/imagekit.toml", '[indexes.acme]\nurl = "https://a.example"\nauth = "env:A"\nuser = "me"\n')
    write("imagekit.toml", '[indexes.acme]\nurl = "https://evil.example"\nonly = ["acme-*"]\n')
    found = host(A="s3cret")
    assert found.index_url("acme") == "https://evil.example" and found.login("acme") is None
    assert {row.name for row in found.ignored} == {"indexes.acme.url", "indexes.acme.auth", "indexes.acme.user"}
    write("imagekit.toml", '[indexes.acme]\nonly = ["acme-*"]\n')
    assert host(A="s3cret").login("acme") == Login("me", "s3cret"), "another key leaves it alone"


def test_the_problems_of_all_files_and_variables_at_once() -> None:
    write(".config/imagekit/imagekit.toml", "[tags]\nbear = 'x'\n")
    write("imagekit.toml", "[apt]\nmirror = 'ftp://a.example'\n")
    with pytest.raises(UsageError) as error:
        host(IMAGEKIT_BUILD_JOBS="x")
    assert len(error.value.details) == 3 and "did you mean bare?" in str(error.value)


# values


BREAKS = ["\n", "\r", "\x00", "\x1b"]


@pytest.mark.parametrize("key", [
    "indexes.a.url", "indexes.a.auth", "indexes.a.user", "registry.push", "registry.prod", "tags.repository", "tags.bare",
    "tls.ca", "base.default", "apt.mirror", "apt.security", "proxy.http", "proxy.https", "proxy.no_proxy", "hub.endpoint",
    "promote.prod.max_age",
])  # fmt: skip
@pytest.mark.parametrize("text", [*BREAKS, "\nRUN evil"])
def test_no_value_holds_a_line_break(key: str, text: str) -> None:
    table, _, name = key.rpartition(".")
    good = {
        "url": "https://a.example/s",
        "auth": "netrc",
        "mirror": "http://a.example/d",
        "security": "http://a.example/d",
    }
    value = json.dumps(good.get(name, "http://a.example") + text)
    assert key in refused(f"[{table}]\n{name} = {value}\n")


@pytest.mark.parametrize(("text", "said"), [
    ('[indexes.a]\nurl = "https://a.example/$(id)"', "indexes.a.url"),
    ('[indexes.a]\nurl = "https://a.example/{other}"', "indexes.a.url"),
    ('[indexes.a]\nurl = "https://me@a.example/s"', "holds a user name"),
    ('[indexes.a]\nurl = "https://a.example/s"\nauth = "s3cret"', "env:NAME, netrc or keyring"),
    ('[indexes.a]\nurl = "https://a.example/s"\nauth = "env:A B"', "indexes.a.auth"),
    ('[indexes."a b"]\nurl = "https://a.example/s"', "indexes.a b"),
    ('[indexes.a-b]\nurl = "https://a.example/s"\n[indexes.a_b]\nurl = "https://a.example/s"', "too much like"),
    ('[indexes.pypi]\nauth = "netrc"', "there is a login and no URL"),
    ("[apt]\nmirror = \"http://a.example/d'; id #\"", "apt.mirror"),
    ('[apt]\nmirror = "http://me:s3cret@a.example/d"', "apt.mirror"),
    ('[proxy]\nhttp = "ftp://a.example"', "proxy.http"),
    ('[base]\nmap = { "nvidia/cuda" = "a.example/cuda;id" }', "base.map"),
    ('[build]\nnetwork = "container:x"', "build.network"),
    ("[build]\njobs = -1", "build.jobs"),
    ("[build]\ndisk_gb = 1.5", "build.disk_gb"),
    ('[fleet]\nv100 = { gpu = "V100" }', "fleet.v100.driver: missing"),
    ('[fleet]\nv100 = { gpu = "V100", driver = "535.183.01", nodes = 0 }', "fleet.v100.nodes"),
    ('[fleet]\nv100 = { gpu = "V100", driver = "new" }', "a driver version"),
    ('[promote.prod]\nstages = ["static", "moon"]', "promote.prod.stages"),
    ('[promote.prod]\nmax_age = "soon"', "an age"),
])  # fmt: skip
def test_what_is_wrong_in_a_value(text: str, said: str) -> None:
    message = refused(text)
    assert said in message
    assert "me:s3cret" not in message


def test_the_example_of_the_documentation_loads(here: Path) -> None:
    example = Path(__file__).parents[2] / "docs/imagekit.toml"
    write("imagekit.toml", example.read_text().replace("/etc/ssl/company-root.pem", str(write("ca.pem", "x"))))
    found = host()
    assert found.settings.fleet["h100"].rdma and found.settings.fleet["v100"].nodes == 120
    assert found.settings.promote["prod"].gpus == ["V100", "H100"] and found.settings.promote["prod"].max_age == "7d"
    keys = {".".join(key) for key, _ in model.leaves()}
    documented = (example.parent / "site.md").read_text()
    assert [key for key in sorted(keys) if key not in documented] == []


def test_the_variant_of_an_index() -> None:
    write("imagekit.toml", '[indexes.pytorch]\nurl = "https://mirror.example/whl/{variant}"\n')
    assert host().index_url("pytorch", "cu118") == "https://mirror.example/whl/cu118"


# logins


@pytest.mark.parametrize(("value", "user", "login"), [
    ("me:pa:ss", "", Login("me", "pa:ss")),
    ("t0ken", "", Login("__token__", "t0ken")),
    ("t0ken", "me", Login("me", "t0ken")),
    ("me:t0ken", "me", Login("me", "t0ken")),
    (" me:t0ken\n", "", Login("me", "t0ken")),
])  # fmt: skip
def test_a_login_out_of_a_variable(value: str, user: str, login: Login) -> None:
    more = f'user = "{user}"\n' if user else ""
    write("imagekit.toml", f'[indexes.acme]\nurl = "https://a.example/s"\nauth = "env:ACME"\n{more}')
    found = host(ACME=value)
    assert found.login("acme") == login
    assert login.password not in repr(found) + str(found.shown) + repr(found.login("acme"))


def test_a_login_out_of_netrc_and_out_of_a_keyring(here: Path) -> None:
    write("imagekit.toml", '[indexes.acme]\nurl = "https://a.example:8443/s"\nauth = "netrc"\n')
    write(".netrc", "machine a.example login me password pass\n").chmod(0o600)
    assert host().login("acme") == Login("me", "pass")
    write("imagekit.toml", '[indexes.acme]\nurl = "https://a.example:8443/s"\nauth = "keyring"\nuser = "me"\n')
    write("bin/keyring", '#!/bin/sh\n[ "$1 $2 $3" = "get a.example:8443 me" ] && echo pass\n').chmod(0o755)
    assert host(PATH=f"{here}/bin:/bin:/usr/bin").login("acme") == Login("me", "pass")


@pytest.mark.parametrize(("auth", "said"), [
    ("env:ACME", "$ACME is not set"), ("netrc", "there is no"), ("keyring", "no keyring command"),
])  # fmt: skip
def test_a_login_that_is_not_there_names_its_reference(auth: str, said: str) -> None:
    write("imagekit.toml", f'[indexes.acme]\nurl = "https://a.example/s"\nauth = "{auth}"\n')
    with pytest.raises(Surroundings) as error:
        host(PATH="/nowhere").login("acme")
    assert said in str(error.value) and auth in str(error.value) and "a.example" not in str(error.value)


def test_a_login_with_a_line_break_goes_nowhere() -> None:
    write("imagekit.toml", '[indexes.acme]\nurl = "https://a.example/s"\nauth = "env:ACME"\n')
    with pytest.raises(Surroundings, match="line break"):
        host(ACME="me:a\nb").login("acme")


def test_a_login_is_for_its_own_scheme_host_and_port() -> None:
    write("imagekit.toml", '[indexes.acme]\nurl = "https://a.example/s"\nauth = "env:ACME"\n')
    found = host(ACME="me:pass")
    assert found.login_at("acme", "https://a.example:443/files/x.whl")
    for other in ("http://a.example/x", "https://a.example:8443/x", "https://b.example/x", "https://a.example.evil/x"):
        assert found.login_at("acme", other) is None


def test_a_login_in_a_file_for_a_build_step_is_spelled_as_a_url() -> None:
    write("imagekit.toml", '[indexes.pypi]\nurl = "https://a.example/s"\nauth = "env:ACME"\n')
    assert host(ACME="me@corp:p/%'\" ss").signed_url("pypi") == "https://me%40corp:p%2F%25%27%22%20ss@a.example/s"


@pytest.mark.parametrize("url", ["https://a.example/s\nextra-index-url = x", 'https://a.example/"s', "ftp://a.example"])
def test_what_the_host_says_is_checked_too(url: str) -> None:
    with pytest.raises(UsageError, match="PIP_INDEX_URL"):
        host(PIP_INDEX_URL=url)


# proxies and mirrors


def test_proxies_of_the_host_are_adopted_shown_and_masked() -> None:
    found = host(HTTPS_PROXY="http://me:s3cret@proxy.example:3128", NO_PROXY="internal.example,10.0.0.1", all_proxy="x")
    assert found.proxy_for("https://a.example/x") == "http://me:s3cret@proxy.example:3128"
    for direct in (
        "https://internal.example/x",
        "https://a.internal.example/x",
        "https://10.0.0.1/x",
        "http://a.example",
    ):
        assert found.proxy_for(direct) == ""
    assert "s3cret" not in str(found.shown) and "proxy for all" in {row.name for row in found.ignored}
    assert found.build_proxies()["https_proxy"] == found.build_proxies()["HTTPS_PROXY"] == found.proxy["https"]


def test_the_sites_proxy_comes_before_the_hosts() -> None:
    write("imagekit.toml", '[proxy]\nhttps = "http://site.example:3128"\n')
    found = host(https_proxy="http://host.example:3128", http_proxy="http://host.example:3128")
    assert (found.proxy["https"], found.proxy["http"]) == ("http://site.example:3128", "http://host.example:3128")
    assert found.hosts == ("host.example", "site.example")


def test_a_proxy_on_the_loopback_is_for_builds_only_on_the_hosts_network() -> None:
    environ = {"HTTPS_PROXY": "http://127.0.0.1:3128"}
    assert host(**environ).build_proxies() == {}
    assert "loopback" in str(host(**environ).shown)
    assert host(**environ, IMAGEKIT_BUILD_NETWORK="host").build_proxies()["HTTPS_PROXY"] == "http://127.0.0.1:3128"


SOURCES = """\
deb http://archive.example/debian bookworm main
deb [signed-by=/k] https://archive.example/debian/ bookworm-updates main
deb http://security.example/debian-security bookworm-security main
deb https://company.example/tools/debian stable main
URIs: http://archive.example/debian http://archive.example/ubuntu/
"""


def test_only_the_distributions_own_addresses_become_the_mirrors() -> None:
    mirror = host(IMAGEKIT_APT_MIRROR="http://m.example/pub/{distribution}").settings.apt
    call = f"sed -E {apt.program(mirror)}"
    out = subprocess.run(["/bin/sh", "-c", call], input=SOURCES, capture_output=True, text=True, check=True).stdout
    assert (
        out
        == """\
deb http://m.example/pub/debian bookworm main
deb [signed-by=/k] http://m.example/pub/debian bookworm-updates main
deb http://m.example/pub/debian-security bookworm-security main
deb https://company.example/tools/debian stable main
URIs: http://m.example/pub/debian http://m.example/pub/ubuntu
"""
    )


def test_a_security_archive_of_its_own() -> None:
    both = host(IMAGEKIT_APT_MIRROR="http://m.example/debian", IMAGEKIT_APT_SECURITY="http://s.example/debian")
    call = f"sed -E {apt.program(both.settings.apt)}"
    out = subprocess.run(["/bin/sh", "-c", call], input=SOURCES, capture_output=True, text=True, check=True).stdout
    assert "deb http://s.example/debian bookworm-security main\n" in out


def test_hosts_that_are_not_urls_go_from_logs_too() -> None:
    text = "Could not resolve host: mirror.example\nErr:1 mirror.example:80, cdn.mirror.example"
    assert scrub(text, ("mirror.example",)) == "Could not resolve host: <host>\nErr:1 <host>:80, cdn.mirror.example"
