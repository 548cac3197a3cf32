"""Nights with a real registry that wants a login: what is made, what is left alone, and what a kill leaves."""

from __future__ import annotations

import base64
import contextlib
import functools
import gzip
import json
import os
import re
import signal
import sys
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import registries
import rooms
import samples
import standins
import trivy_double
from rooms import PATIENCE, Room

LONG = pytest.mark.acceptance
TAG = "2.4.1-cuda12.1-tiny"
SECRETS = ("correct horse", "hush-canary-index", "hush-canary-hook")
PIPELINE = """
matrix:
  profile: [tiny, ./tiny-b.yaml]
  exclude: []
nightly: {promote: [prod], updates: false, notify: "env:HOOK", %s}
"""


@dataclass
class Nights:
    room: Room
    host: str
    data: Path
    """What the registry keeps."""
    told: list[str]
    """Requests to the webhook."""

    def night(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        done = self.room.run("nightly", "--state", "nights", "--json", *arguments)
        assert done.returncode == code, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def did(self, *arguments: str) -> list[str]:
        return [cell["did"] for cell in self.night(*arguments)["cells"]]

    def names(self, repository: str) -> dict[str, str]:
        """Name -> digest, of all that is no list of referrers."""
        place = self.data / f"docker/registry/v2/repositories/{repository}/_manifests/tags"
        found = {path.parent.parent.name: path.read_text() for path in place.glob("*/current/link")}
        return {name: digest for name, digest in found.items() if not name.startswith("sha256-")}

    def b(self, text: str) -> None:
        (self.room.folder / "tiny-b.yaml").write_text(f"extends: tiny\n{text}\n")


@pytest.fixture
def nights(tmp_path: Path, shared: Path) -> Iterator[Nights]:
    """A room whose torch comes from an index that wants a login, as does its registry."""
    told: list[str] = []

    def hook(path: str) -> samples.Answer:
        told.append(path)
        return 200, b"{}"

    def page(path: str) -> samples.Answer:
        file = shared / path.lstrip("/")
        file = file / "index.html" if file.is_dir() else file
        return (200, file.read_bytes()) if file.is_file() else (404, b"")

    with (
        registries.served(tmp_path / "registry", login=True) as host,
        samples.server(page, login=f"ada:{SECRETS[1]}") as index,
        samples.server(hook) as hooked,
    ):
        room = rooms.make(tmp_path, shared)
        registry = f'[registry]\npush = "{host}/staging"\nprod = "{host}/prod"\n'
        standins.site_file(tmp_path, f"{index}/simple", more=f'auth = "env:INDEX_TOKEN"\nuser = "ada"\n{registry}')
        registries.log_in(tmp_path, host)
        own = {"DOCKER_CONFIG": str(tmp_path), "INDEX_TOKEN": SECRETS[1], "HOOK": f"{hooked}/{SECRETS[2]}"}
        made = Nights(replace(room, extra={**room.extra, **own}), host, tmp_path / "registry/data", told)
        made.b("packages: [toolz]")
        (tmp_path / "pipeline.yaml").write_text(PIPELINE % "proven_within: 30d")
        yield made


GLIBC = {"VulnerabilityID": "CVE-2026-1", "Severity": "CRITICAL", "FixedVersion": "99"}


def test_what_is_known_against_an_image_keeps_it_from_being_promoted(nights: Nights, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.replace(", ./tiny-b.yaml", "") % "scan: true")
    (tmp_path / "pipeline.yaml").write_text(
        (tmp_path / "pipeline.yaml").read_text().replace("[tiny]", "[./tiny-b.yaml]")
    )
    nights.room.extra["PATH"] = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    done = nights.room.run("nightly")
    assert done.returncode == 2 and "nightly.scan: trivy is not installed" in done.stderr

    def night(database: dict[str, Any] | None) -> dict[str, Any]:
        nights.room.extra |= trivy_double.installed(tmp_path / "bin", database)
        (cell,) = nights.night()["cells"]
        assert cell["state"] == "good"
        return dict(cell)

    first = night({})
    assert (first["vulnerabilities"], first["promoted"]) == ({}, {"prod": "moved"})
    known = night({"glibc": [GLIBC]})
    assert known["did"] == "nothing" and known["promoted"] == {"prod": "there"}, "it stays where it is"
    assert known["vulnerabilities"]["critical"] >= 1 and known["counts"][0].startswith("CVE-2026-1 critical: libc")
    assert len(nights.told) == 2, "that is news"
    nights.b("env: {A: other}")
    held = night({"glibc": [GLIBC]})
    assert held["did"] == "built" and held["promoted"]["prod"].startswith("held: CVE-2026-1 critical"), held
    (tmp_path / "bin/trivy.db.json").unlink()
    assert night(None)["promoted"]["prod"] == "held: it could not be scanned: trivy could not scan"
    entry = "{id: CVE-2026-1, reason: nobody resolves names there, until: 2999-01-01}"
    (tmp_path / "allowed.yaml").write_text(f"allow: [{entry}]\n")
    with (tmp_path / "imagekit.toml").open("a") as file:
        file.write('[scan]\nallow = "allowed.yaml"\n')
    assert night({"glibc": [GLIBC]})["promoted"] == {"prod": "moved"}
    page = (tmp_path / "nights/index.html").read_text()
    assert "vulnerabilities" in page and " critical" in page


def test_what_is_made_and_what_is_left_alone(nights: Nights) -> None:
    room = nights.room
    plan = room.good("nightly", "--dry-run").stdout
    assert plan.count("build      new: there is no such image yet") == 2 and not list(room.folder.glob("locks/*"))
    first = nights.night()
    assert [(cell["state"], cell["did"], cell["promoted"]) for cell in first["cells"]] == 2 * [
        ("good", "built", {"prod": "moved"})
    ]
    assert all(re.fullmatch(r"static \d+.*cpu \d+.*", cell["proof"]) for cell in first["cells"])
    assert nights.names("staging/pytorch") == nights.names("prod/pytorch") and len(nights.names("prod/pytorch")) == 4
    assert nights.told == [f"/{SECRETS[2]}"]
    quiet = nights.night()
    assert len(nights.told) == 1, "nothing is news"
    assert [cell["did"] for cell in quiet["cells"]] == ["nothing", "nothing"] and quiet["unknown"] == []
    assert [cell["reference"] for cell in quiet["cells"]] == [cell["reference"] for cell in first["cells"]]

    nights.b("packages: [toolz, six]\nenv: {ANSWER: '42'}")
    third = nights.night()
    assert [cell["did"] for cell in third["cells"]] == ["nothing", "built"], "only what is affected"
    assert third["cells"][1]["reasons"] == ["plan: its environment, labels or features"]
    page = (room.folder / "nights/index.html").read_text()
    assert "its environment, labels or features" in page and third["cells"][1]["log"] in page
    assert "compose" in (room.folder / "nights" / third["cells"][1]["log"]).read_text()
    assert [json.loads(path.read_text())["number"] for path in sorted(room.folder.glob("nights/nights/*.json"))][
        -1
    ] >= 3


def test_another_machine_knows_what_is_there(nights: Nights, tmp_path: Path) -> None:
    """All that decides is in the registry: no records, no evidence, no locks are needed."""
    nights.night()
    other = replace(nights.room, extra={**nights.room.extra, "XDG_STATE_HOME": str(tmp_path / "elsewhere")})
    for path in tmp_path.glob("locks/**/*.json"):
        path.unlink()
    moved = replace(nights, room=other)
    found = moved.night("--state", str(tmp_path / "other-nights"))
    assert [(cell["did"], cell["promoted"]) for cell in found["cells"]] == 2 * [("nothing", {"prod": "there"})]


def test_what_fails_is_bad_and_the_others_go_on(nights: Nights) -> None:
    """A check that fails, a profile that cannot be, and an image that somebody has taken back."""
    room = nights.room
    first = nights.night()
    (room.folder / "checks").mkdir()
    (room.folder / "checks/never.py").write_text(
        "STAGE = 'static'\ndef check_never():\n    raise AssertionError('no')\n"
    )
    nights.b("packages: [toolz]\nchecks: [checks]")
    text = (room.folder / "pipeline.yaml").read_text()
    (room.folder / "pipeline.yaml").write_text(
        text.replace("exclude: []", 'include: [{profile: tiny, torch: "2.9.1", cuda: "11.8"}]')
    )
    second = nights.night(code=5)
    assert [(cell["state"], cell["did"]) for cell in second["cells"]] == [
        ("good", "nothing"), ("bad", "nothing"), ("impossible", "nothing"),
    ]  # fmt: skip
    bad = second["cells"][1]
    assert bad["why"][0] == "the image is not proven" and any("never" in line for line in bad["why"])
    assert second["cells"][2]["why"], "the facts say why"
    assert nights.names("staging/pytorch")[f"{TAG}-b"] == first["cells"][1]["reference"].rpartition("@")[2]
    page = (room.folder / "nights/index.html").read_text()
    assert f"bad: pytorch:{TAG}-b" in page and "cannot be had" in page


def test_one_that_was_taken_back_is_not_sent_again(nights: Nights) -> None:
    nights.night()
    nights.b("packages: [toolz]\nenv: {ANSWER: '42'}")
    assert nights.did() == ["nothing", "built"]
    nights.room.good("rollback", "prod", "--tag", f"{TAG}-b")
    back = nights.names("prod/pytorch")[f"{TAG}-b"]
    (_, cell) = nights.night()["cells"]
    assert "was taken back there" in cell["promoted"]["prod"] and nights.names("prod/pytorch")[f"{TAG}-b"] == back


def test_an_old_proof_is_made_anew(nights: Nights) -> None:
    nights.night()
    (nights.room.folder / "pipeline.yaml").write_text(PIPELINE % "proven_within: 1h")
    assert nights.did() == ["nothing", "nothing"]
    later = replace(nights.room, extra={**nights.room.extra, "PYTHONPATH": str(clock(nights.room.folder, hours=2))})
    assert replace(nights, room=later).did() == ["proven", "proven"]


def clock(folder: Path, hours: int) -> Path:
    """A folder for PYTHONPATH that puts the clock of every Python forward."""
    place = folder / "clock"
    place.mkdir()
    (place / "sitecustomize.py").write_text(
        "import datetime as d\n"
        "class Later(d.datetime):\n"
        f"    @classmethod\n    def now(cls, tz=None): return super().now(tz) + d.timedelta(hours={hours})\n"
        "d.datetime = Later\n"
    )
    return place


def test_proven_by_an_engine_as_well(nights: Nights, engine: object) -> None:
    """What it says is beside the image; an image without its word goes nowhere, and is asked for it."""
    (nights.room.folder / "pipeline.yaml").write_text(
        "matrix: {profile: [tiny]}\nnightly: {promote: [prod], updates: false}\n"
    )
    assert nights.did() == ["built"]
    (nights.room.folder / "pipeline.yaml").write_text(
        "matrix: {profile: [tiny]}\nnightly: {promote: [prod], updates: false, engine: true}\n"
    )
    (cell,) = nights.night()["cells"]
    assert (cell["did"], cell["reasons"]) == ("proven", ["proof: no engine has proven it"])
    assert cell["promoted"] == {"prod": "there"} and nights.did() == ["nothing"]
    (nights.room.folder / "pipeline.yaml").write_text(
        "matrix: {profile: [tiny]}\n"
        "nightly: {promote: [prod], updates: false, engine: true, bench: {only: [no-such], quick: true}}\n"
    )
    bad = nights.night(code=4)["cells"][0]
    assert bad["reasons"] == ["proof: it was not measured"] and "no-such" in " ".join(bad["why"]), bad


def by_helpers(nights: Nights) -> None:
    """The same logins, out of a credential helper and of a netrc."""
    folder = nights.room.folder
    (folder / "config.json").write_text('{"credsStore": "canary"}')
    helper = folder / "bin/docker-credential-canary"
    helper.parent.mkdir()
    helper.write_text(f"""#!/bin/sh\necho '{{"Username": "ada", "Secret": "{SECRETS[0]}"}}'\n""")
    helper.chmod(0o755)
    (folder / "netrc").write_text(f"machine 127.0.0.1 login ada password {SECRETS[1]}\n")
    (folder / "netrc").chmod(0o600)
    site = (folder / "imagekit.toml").read_text()
    (folder / "imagekit.toml").write_text(site.replace('auth = "env:INDEX_TOKEN"\nuser = "ada"', 'auth = "netrc"'))
    own = {"PATH": f"{helper.parent}:{os.environ['PATH']}", "NETRC": str(folder / "netrc"), "INDEX_TOKEN": ""}
    nights.room.extra.update(own)


@pytest.mark.parametrize("helped", [False, True], ids=["a variable and a file", "a helper and netrc"])
def test_no_secret_is_anywhere(nights: Nights, helped: bool) -> None:
    """In logs, records, the page, locks, and all that the registry holds, unpacked; nor as a header has it."""
    if helped:
        by_helpers(nights)
    nights.night()
    places = [*nights.room.folder.rglob("*"), *nights.room.cache.rglob("*")]
    names = ("config.json", "registry/htpasswd", "bin/docker-credential-canary", "netrc")
    mine = [nights.room.folder / name for name in names]
    coded = [base64.b64encode(f"ada:{secret}".encode()).decode() for secret in SECRETS[:2]]
    seen = 0
    for path in places:
        if path.is_file() and not path.is_symlink() and path not in mine:
            seen += 1
            found = content(path)
            for text in (*SECRETS, *coded, *map(quote, SECRETS)):
                assert text.encode() not in found, path
    assert seen > 100


def content(path: Path) -> bytes:
    raw = path.read_bytes()
    with contextlib.suppress(OSError, EOFError, zlib.error):
        return raw + gzip.decompress(raw)
    return raw


def test_two_nights_at_once(nights: Nights) -> None:
    first = nights.room.start("nightly", "--state", "nights")
    try:
        wait(lambda: (nights.room.folder / "nights/journal.jsonl").is_file())
        second = nights.room.run("nightly", "--state", "nights")
        assert second.returncode == 4 and f"pid {first.pid}" in second.stderr and "--wait" in second.stderr
        third = nights.room.start("nightly", "--state", "nights", "--wait", "--json")
    finally:
        first.communicate(timeout=PATIENCE)
    out, err = third.communicate(timeout=PATIENCE)
    assert (first.returncode, third.returncode) == (0, 0) and f"pid {first.pid}" in err, err
    found = json.loads(out)
    assert found["number"] == 2 and {cell["did"] for cell in found["cells"]} == {"nothing"}


@pytest.mark.parametrize("word", ["compose", "push", *(pytest.param(word, marks=LONG) for word in ("prove", "tag"))])
def test_killed_in_the_middle_and_gone_on_with(nights: Nights, word: str) -> None:
    """Outright, as soon as the log of the first build has a line of that stage."""
    process = nights.room.start("nightly", "--state", "nights")
    log = functools.partial(nights.room.folder.glob, f"nights/nights/*/{TAG}.log")
    wait(lambda: any(re.search(f"^{word}", path.read_text(), re.MULTILINE) for path in log()))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    wait(lambda: not running(nights.room.folder))
    good = set(nights.names("staging/pytorch"))
    found = nights.night()
    assert all(cell["state"] == "good" for cell in found["cells"]) and found["number"] == 1
    assert good <= nights.names("staging/pytorch").keys() and len(nights.names("prod/pytorch")) == 4
    assert not [name for name in nights.names("staging/pytorch") if re.search(r"\.\d+$", name)], "nothing twice"
    assert nights.did() == ["nothing", "nothing"] and nights.room.leftovers() == []


def wait(condition: Any) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def running(folder: Path) -> list[str]:
    """Processes of imagekit that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if place.joinpath("cwd").readlink() == folder and b"imagekit" in place.joinpath("cmdline").read_bytes():
                found.append(place.name)
    return found
