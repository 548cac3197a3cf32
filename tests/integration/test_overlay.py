"""A company's overlay on tiny, whole: a signed archive behind the company's own CA, roots, files, a wrapper, steps, checks;
and a project folder built as it is."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import rooms
import samples
import standins
from rooms import Room, docker

from imagekit import record

CANARY = "c4n4ry-s3cret"

CHECKS = '''"""What the company relies on."""
import os
import shutil
import unittest

STAGE = "static"
LIMIT = 20


def check_tool_is_installed():
    assert shutil.which("acme-tool"), "acme-tool is not on PATH"
    return {"tool": "acme-tool"}


def check_settings():
    assert os.environ["ACME_REGION"] == "eu"


def check_gpu_farm():
    raise unittest.SkipTest("no farm here")
'''


@dataclass(frozen=True)
class Company:
    name: str
    """Of the overlay: a word of its own for each run."""
    room: Room
    url: str
    """HTTPS, by the company's CA."""
    image: str
    done: subprocess.CompletedProcess[str]


def call(*command: str, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def authority(folder: Path, address: str) -> tuple[Path, Path, Path]:
    """A company's CA, and a certificate of it for an address: CA, certificate, key."""
    root, root_key, cert, key, request, extra = (
        folder / n for n in ("acme-root.pem", "root.key", "cert.pem", "key.pem", "request.pem", "extra")
    )
    new = ("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    call(*new, "-x509", "-days", "2", "-subj", "/CN=Acme Root", "-addext", "keyUsage=critical,keyCertSign",
         "-addext", "basicConstraints=critical,CA:TRUE", "-out", str(root), "-keyout", str(root_key))  # fmt: skip
    call(*new, "-subj", f"/CN={address}", "-out", str(request), "-keyout", str(key))
    extra.write_text(f"subjectAltName=IP:{address}\nbasicConstraints=critical,CA:FALSE\nauthorityKeyIdentifier=keyid\n")
    call("openssl", "x509", "-req", "-days", "2", "-in", str(request), "-CA", str(root), "-CAkey", str(root_key),
         "-CAcreateserial", "-extfile", str(extra), "-out", str(cert))  # fmt: skip
    return root, cert, key


def archive(folder: Path) -> Path:
    """A Debian archive of one package, acme-tool, signed by a key of its own; the public key."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = "Package: acme-tool\nVersion: 1.2\nArchitecture: all\nMaintainer: Acme <acme@acme.example>\nDescription: a tool\n"
    (tree / "DEBIAN/control").write_text(control)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/acme-tool").write_text("#!/bin/sh\necho acme-tool 1.2\n")
    (tree / "usr/bin/acme-tool").chmod(0o755)
    served = folder / "apt"
    served.mkdir()
    call("dpkg-deb", "--root-owner-group", "--build", str(tree), str(served / "acme-tool_1.2_all.deb"))
    deb = (served / "acme-tool_1.2_all.deb").read_bytes()
    packages = f"{control}Filename: ./acme-tool_1.2_all.deb\nSize: {len(deb)}\nSHA256: {samples.sha256(deb)}\n".encode()
    (served / "Packages").write_bytes(packages)
    when = time.strftime("%a, %d %b %Y %H:%M:%S UTC", time.gmtime())
    release = f"Origin: Acme\nDate: {when}\nSHA256:\n {samples.sha256(packages)} {len(packages)} Packages\n"
    (served / "Release").write_text(release)
    home = folder / "gnupg"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
    call(*gpg, "--quick-generate-key", "Acme archive <apt@acme.example>", "rsa2048", "sign", "1d")
    call(*gpg, "--clearsign", "--output", str(served / "InRelease"), str(served / "Release"))
    key = folder / "acme-archive.gpg"
    call(*gpg, "--output", str(key), "--export")
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    return key


@pytest.fixture(scope="module")
def company(
    engine: object, built: tuple[Room, object], shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Company]:
    """tiny with an overlay that uses every key, built once."""
    gateway = docker("network", "inspect", "bridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    folder = tmp_path_factory.mktemp("company")
    root, cert, key = authority(folder, gateway)
    archive_key = archive(folder)
    home = tmp_path_factory.mktemp("room")
    room = rooms.make(home, shared)
    private = folder / "private"
    standins.index(private, [standins.Wheel("acme-sdk", "3.1")])
    name = f"acme{uuid.uuid4().hex[:6]}"
    rooms.MADE.add(f"tiny-{name}")
    for file in (root, archive_key):
        (home / file.name).write_bytes(file.read_bytes())
    (home / "start.sh").write_text('#!/bin/sh\nexport ACME_TOKEN_FILE=/run/acme\necho "acme: started" >&2\nexec "$@"\n')
    (home / "settings").mkdir()
    (home / "settings/region.conf").write_text("region = eu\n")
    (home / "in_image").mkdir()
    (home / "in_image/relies_on.py").write_text(CHECKS)
    served = samples.folder_server(folder / "apt")
    with (
        samples.server(served, (cert, key), host=gateway) as url,
        samples.server(samples.folder_server(private / "simple"), login=f"me:{CANARY}") as index,
    ):
        (home / f"{name}.yaml").write_text(f"""
packages: [acme-sdk]
apt: [acme-tool]
apt_sources:
  - {{name: acme, uri: "{url}", suites: [./], key: acme-archive.gpg}}
trust: [acme-root.pem]
env: {{ACME_REGION: eu}}
files: {{settings/: /etc/acme}}
labels: {{example.acme.owner: vision}}
start: start.sh
steps:
  - word="it's"
  - echo "$word $(id -u)" >/etc/acme/step   # a comment; and quotes: ' "
checks: [in_image]
""")
        site = home / "imagekit.toml"
        site.write_text(
            f'{site.read_text()}[indexes.acme]\nurl = "{index}"\nonly = ["acme-*"]\nauth = "env:ACME_LOGIN"\n'
        )
        room.extra = {"ACME_LOGIN": f"me:{CANARY}"}
        done = room.run("build", "tiny", "--overlay", f"{name}.yaml")
        assert done.returncode == 0, done.stderr
        yield Company(name, room, url, done.stdout.strip(), done)


def inside(image: str, *command: str, network: str = "none") -> str:
    return docker("run", "--rm", f"--network={network}", image, *command)


def test_without_an_engine_the_same_comes_out(company: Company) -> None:
    """Archives, roots, files and steps; the rest of the system is another run of apt."""
    room, tag = company.room, f"pytorch:2.4.1-cuda12.1-tiny-{company.name}"
    call = ("build", "tiny", "--overlay", f"{company.name}.yaml", "--locked", "--engine", "compose", "--json")
    done = json.loads(room.good(*call, "--output", "oci:composed", "--output", "archive:composed.tar").stdout)
    statuses = {check["check"]: check["status"] for check in done["proof"]["checks"]}
    own = [status for name, status in statuses.items() if name.startswith(f"{company.name}/")]
    assert sorted(own) == ["PASS", "PASS", "SKIP"] and statuses["installed-files"] == "PASS", statuses
    docker("load", "-q", "-i", str(room.folder / "composed.tar"))
    try:
        ours, theirs = rooms.files_of(tag), rooms.files_of(company.image)
        assert docker("inspect", "-f", "{{json .Config.Labels}}", tag) == docker(
            "inspect", "-f", "{{json .Config.Labels}}", company.image
        )
    finally:
        docker("tag", company.image, tag)
    places = ("etc/acme", "etc/apt/sources", "etc/apt/keyrings", "etc/ssl/certs", "usr/bin", "usr/local", "workspace")
    paths = {path for path in ours.keys() | theirs.keys() if path.startswith(places)}
    assert {path for path in paths if ours.get(path) != theirs.get(path)} == set()
    assert {"usr/bin/acme-tool", "etc/acme/step", "etc/acme/region.conf"} < paths
    again = room.good(*call[:-1], "--output", "oci:composed")
    assert "the very same image was proven" in again.stderr and again.stdout.startswith("oci:composed:")
    assert done["digest"] in (room.folder / "composed/index.json").read_text()
    deep = json.loads(room.good("test", "oci:composed", "--check", "layers", "--json").stdout)
    assert [check["status"] for check in deep["checks"]] == ["PASS"]
    assert room.leftovers() == []


def test_a_step_that_fails_without_an_engine_is_named(company: Company) -> None:
    room, name = company.room, f"bad{uuid.uuid4().hex[:6]}"
    rooms.MADE.add(f"tiny-{name}")
    (room.folder / f"{name}.yaml").write_text('steps: ["true", "echo about to fail; exit 3"]\n')
    done = room.run("build", "tiny", "--overlay", f"{name}.yaml", "--engine", "compose", "--output", "oci:bad")
    assert done.returncode == 6 and f"overlay {name}, step 2 failed" in done.stderr and "about to fail" in done.stderr
    assert not (room.folder / "bad").exists() and room.leftovers() == []


STEPS = """steps:
  - mv /usr/share/base-files /usr/share/a-base && ln -s a-base /usr/share/base-files
  - mkdir /opt/w; (while :; do echo x >/opt/w/1; rm -f /opt/w/1; done) >/dev/null 2>&1 & sleep 0.2
  - chmod 700 /usr/share/pixmaps; ln /etc/issue /etc/issue.too; rm /etc/debian_version; mkfifo /opt/w/pipe
  - cp /bin/true /opt/w/bound
  - /usr/bin/python3 -c "import os; os.setxattr('/opt/w/bound', 'security.capability', bytes.fromhex('{capable}'))"
  - "true # {long}"
"""

CAPABLE = "0100000280040000" + "00" * 12
"""CAP_NET_BIND_SERVICE and CAP_SETUID in the form of Linux 2.6 (capabilities(7)); no UTF-8."""


def test_steps_that_move_link_and_leave_something_running(company: Company, tmp_path: Path) -> None:
    """A layer that engines take, with what was there when the last step had ended."""
    room, name = company.room, f"odd{uuid.uuid4().hex[:6]}"
    rooms.MADE.add(f"tiny-{name}")
    (room.folder / f"{name}.yaml").write_text(STEPS.replace("{long}", "x" * 140_000).replace("{capable}", CAPABLE))
    call = ("build", "tiny", "--overlay", f"{name}.yaml", "--engine", "compose", "--no-test", "--json")
    done = json.loads(room.good(*call, "--output", f"archive:{tmp_path / 'odd.tar'}", "--output", "oci:odd").stdout)
    docker("load", "-q", "-i", str(tmp_path / "odd.tar"))
    tag = done["tags"][0]
    try:
        said = inside(
            tag, "sh", "-c", "readlink /usr/share/base-files; ls /usr/share/a-base | wc -l; ls /etc/debian_version"
        )
    except subprocess.CalledProcessError as error:
        said = error.stdout
        assert "debian_version" in error.stderr
    finally:
        capable = inside(
            tag, "python", "-c", "import os; print(os.getxattr('/opt/w/bound', 'security.capability').hex())"
        )
        found = rooms.files_of(tag)
        docker("rmi", "-f", docker("images", "-q", "--no-trunc", tag))
    assert capable.strip() == CAPABLE
    assert said.split()[0] == "a-base" and int(said.split()[1]) > 1
    assert found["usr/share/pixmaps"][1] == 0o700 and "etc/issue.too" in found and "opt/w/pipe" in found
    again = room.run("rebase", "oci:odd")
    assert again.returncode == 2 and "what an overlay brings" in again.stderr


def test_its_name_is_in_the_tag_and_in_the_folder_of_the_lock(company: Company) -> None:
    tag = f"pytorch:2.4.1-cuda12.1-tiny-{company.name}"
    assert docker("inspect", "-f", "{{.Id}}", tag) == company.image
    assert company.room.lock(f"locks/tiny+{company.name}/2.4.1-cuda12.1-py311.json").resolution.overlays == (
        company.name,
    )
    assert company.room.good("test", "tiny", "--overlay", f"{company.name}.yaml").stdout.strip() == company.image


def test_packages_of_a_private_index_and_of_a_signed_archive_behind_the_companys_ca(company: Company) -> None:
    assert inside(company.image, "python", "-c", "import acme_sdk; print(acme_sdk.__version__)") == "3.1"
    assert inside(company.image, "acme-tool") == "acme-tool 1.2"
    source = inside(company.image, "cat", "/etc/apt/sources.list.d/acme.sources")
    assert f"URIs: {company.url}" in source and "Signed-By: /etc/apt/keyrings/acme.gpg" in source


def test_every_program_trusts_the_companys_root(company: Company) -> None:
    """requests (pip carries it) has certificates of its own and needs the environment; ssl asks the system."""
    program = (
        "import urllib.request; from pip._vendor import requests;"
        f"print(urllib.request.urlopen('{company.url}/Release').status, requests.get('{company.url}/Release').status_code)"
    )
    assert inside(company.image, "python", "-c", program, network="host") == "200 200"
    labels = json.loads(docker("inspect", "-f", "{{json .Config.Labels}}", company.image))
    (listed,) = labels["io.imagekit.trust"].split()
    assert re.fullmatch(rf"{company.name}-acme-root\.crt=sha256:[0-9a-f]{{64}}", listed)
    paths = list((company.room.state / "imagekit/records").glob(f"*-tiny-{company.name}/*.json"))
    trusts = [record.Record.model_validate_json(path.read_text()).trust for path in paths]
    assert trusts and all(trust == dict([listed.split("=sha256:")]) for trust in trusts)


def test_files_environment_labels_and_steps(company: Company) -> None:
    assert inside(company.image, "cat", "/etc/acme/region.conf", "/etc/acme/step") == "region = eu\nit's 0"
    assert inside(company.image, "sh", "-c", "echo $ACME_REGION") == "eu"
    assert docker("inspect", "-f", '{{index .Config.Labels "example.acme.owner"}}', company.image) == "vision"
    plan = company.room.good("plan", "tiny", "--overlay", f"{company.name}.yaml", "--locked").stdout
    assert f"2 steps of {company.name}; bytes not pinned" in plan


def test_the_wrapper_runs_after_the_preflight_and_becomes_the_command(company: Company) -> None:
    done = subprocess.run(
        ["docker", "run", "--rm", "--network=none", company.image, "sh", "-c", "echo $ACME_TOKEN_FILE; exit 7"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (7, "/run/acme\n")
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["imagekit", "acme"]


def test_sigterm_reaches_python_through_the_wrapper(company: Company) -> None:
    program = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(43)); print('ready', flush=True); signal.pause()"
    )
    process = subprocess.Popen(
        ["docker", "run", "--rm", "--network=none", company.image, "python", "-c", program],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 43


def test_its_checks_are_in_the_report(company: Company) -> None:
    answer = json.loads(company.room.good("test", company.image, "--json").stdout)
    mine = {row["check"]: row for row in answer["checks"] if row["check"].startswith(f"{company.name}/")}
    said = {name.split("/")[1]: row["status"] for name, row in mine.items()}
    assert said == {"tool-is-installed": "PASS", "settings": "PASS", "gpu-farm": "SKIP"}
    assert mine[f"{company.name}/tool-is-installed"]["figures"] == {"tool": "acme-tool"}
    alone = company.room.good("test", company.image, "--json", "--check", f"{company.name}/settings").stdout
    assert [row["check"] for row in json.loads(alone)["checks"]] == [f"{company.name}/settings"]


def test_no_secret_of_the_site_is_anywhere(company: Company) -> None:
    room, name = company.room, company.name
    context = room.good("render", "tiny", "--overlay", f"{name}.yaml", "-o", "context").stdout.strip()
    told = company.done.stdout + company.done.stderr + docker("history", "--no-trunc", company.image)
    told += docker("inspect", company.image)
    kept = [p for top in (room.folder / context, room.state, room.folder / "locks", room.cache / "imagekit/logs")
            for p in top.rglob("*") if p.is_file()]  # fmt: skip
    assert any("acme_sdk" in path.name for path in kept), "the private wheel is in the context"
    encoded = [CANARY.encode(), b"bWU6YzRuNHJ5"]  # as it is, and as the header of a request has it
    for secret in encoded:
        assert secret.decode() not in told
        assert [path for path in kept if secret in path.read_bytes()] == []
    search = f"! grep -rlsE '{CANARY}|bWU6YzRuNHJ5' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev"
    docker("run", "--rm", "--network=none", "-u", "0", "--entrypoint=", company.image, "sh", "-c", search)


def test_the_classic_builder_gives_the_same_files(company: Company) -> None:
    done = company.room.good("build", "tiny", "--overlay", f"{company.name}.yaml", "--engine", "classic")
    ours, theirs = rooms.files_of(company.image), rooms.files_of(done.stdout.strip())
    assert {path for path in ours.keys() | theirs.keys() if ours.get(path) != theirs.get(path)} == set()


def overlay(room: Room, text: str) -> str:
    name = f"acme{uuid.uuid4().hex[:6]}"
    rooms.MADE.add(f"tiny-{name}")
    (room.folder / f"{name}.yaml").write_text(text)
    return name


def test_a_failing_step_is_named(room: Room) -> None:
    name = overlay(room, "steps:\n  - 'true'\n  - echo before; false\n  - touch /never\n")
    done = room.run("build", "tiny", "--overlay", f"{name}.yaml")
    assert done.returncode == 6
    assert f"overlay {name}, step 2 (steps of {name}.yaml)" in done.stderr and "before" in done.stderr
    assert f"tiny-{name}" not in "".join(rooms.tags())


@pytest.mark.parametrize("step", ["exit 3", "echo 'unclosed", 'echo "$NOT_SET_ANYWHERE"', "no-such-program"])
def test_whatever_way_a_step_fails_it_is_named(room: Room, step: str) -> None:
    name = overlay(room, f"steps: [{json.dumps(step)}]\n")
    done = room.run("build", "tiny", "--overlay", f"{name}.yaml")
    assert done.returncode == 6 and f"overlay {name}, step 1 (steps of {name}.yaml)" in done.stderr


BAD = """
import ctypes, os, signal, sys, time
STAGE = "static"
LIMIT = 3

def check_passes():
    return {"fine": True}

def check_fails():
    assert 1 + 1 == 3, "sums are wrong"

def check_hangs():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)

def check_crashes():
    ctypes.string_at(0)

def check_floods():
    for _ in range(200_000):
        print("x" * 100)
    raise RuntimeError("after all that")

def check_leaves():
    os._exit(0)
"""


def test_a_check_that_fails_hangs_crashes_or_floods_is_one_line_and_the_others_run(room: Room) -> None:
    (room.folder / "bad.py").write_text(BAD)
    (room.folder / "alone.py").write_text("import no_such_module\n\ndef check_alone():\n    pass\n")
    name = overlay(room, "checks: [bad.py, alone.py]\n")
    done = room.run("build", "tiny", "--overlay", f"{name}.yaml")
    assert done.returncode == 5 and "sums are wrong" in done.stderr and "bad.py:" in done.stderr
    failed = f"pytorch:2.4.1-cuda12.1-tiny-{name}-failed"
    answer = json.loads(room.run("test", failed, "--json", "--keep-going").stdout)
    status = {row["check"].removeprefix(f"{name}/"): row["status"] for row in answer["checks"]}
    assert {key: status[key] for key in ("passes", "fails", "hangs", "crashes", "floods", "leaves", "alone")} == {
        "passes": "PASS", "fails": "FAIL", "hangs": "ERROR", "crashes": "ERROR", "floods": "ERROR", "leaves": "ERROR",
        "alone": "ERROR",
    }  # fmt: skip
    assert status["versions"] == status["imports"] == "PASS", "the built-in ones are not touched"


def test_a_wrapper_that_keeps_signals_for_itself_is_not_proven(room: Room) -> None:
    (room.folder / "start.sh").write_text('#!/bin/sh\n"$@"\nexit $?\n')
    name = overlay(room, "start: start.sh\n")
    done = room.run("build", "tiny", "--overlay", f"{name}.yaml")
    assert done.returncode == 5 and "FAIL  init" in done.stderr and "exec" in done.stderr


def test_a_package_that_the_archives_key_did_not_sign_is_not_installed(company: Company, room: Room) -> None:
    other = room.folder / "other"
    other.mkdir()
    (room.folder / "other.gpg").write_bytes(archive(other).read_bytes())
    for file in ("acme-root.pem",):
        (room.folder / file).write_bytes((company.room.folder / file).read_bytes())
    source = f'{{name: acme, uri: "{company.url}", suites: [./], key: other.gpg}}'
    name = overlay(room, f"apt: [acme-tool]\napt_sources: [{source}]\ntrust: [acme-root.pem]\n")
    done = room.run("build", "tiny", "--overlay", f"{name}.yaml")
    assert done.returncode == 6 and re.search(r"NO_PUBKEY|not signed|no public key", done.stderr, re.IGNORECASE)


def test_a_project_folder_is_built_as_it_is(room: Room) -> None:
    """imagekit build .: its own requirements, source and checks."""
    name = f"tiny-{uuid.uuid4().hex[:8]}"
    rooms.MADE.add(name)
    project = room.folder / name
    (project / "src/app/__pycache__").mkdir(parents=True)
    (project / "src/app/__init__.py").write_text("import tomli\n\ndef answer():\n    return 42\n")
    (project / "src/app/__pycache__/old.pyc").write_bytes(b"old")
    (project / "requirements").mkdir()
    (project / "requirements.txt").write_text(
        "-r requirements/more.txt\n# nothing\nsix >=1.16 ; python_version < '4'\n"
    )
    (project / "requirements/more.txt").write_text("tomli \\\n    >=2\ncolorama; sys_platform == 'win32'\n")
    (project / "tests/in_image").mkdir(parents=True)
    (project / "tests/in_image/_helper.py").write_text("EXPECTED = 42\n")
    (project / "tests/in_image/app_works.py").write_text(
        'import sys\nfrom _helper import EXPECTED\nLIMIT = 10\n\ndef check_answer():\n    sys.path.insert(0, "/workspace/src")\n'
        "    import app\n    assert app.answer() == EXPECTED\n"
    )
    (project / "imagekit.yaml").write_text(
        "extends: tiny\nrequirements: [requirements.txt]\nfiles: {src/: /workspace/src}\nchecks: [tests/in_image]\n"
    )
    (project / "imagekit.toml").write_bytes((room.folder / "imagekit.toml").read_bytes())
    (project / "tmp").mkdir()
    here = Room(project, room.cache, room.index)
    done = here.good("build", ".")
    assert f"pytorch:2.4.1-cuda12.1-{name}" in done.stderr
    image = done.stdout.strip()
    listed = docker("run", "--rm", "--network=none", image, "sh", "-c", "cd /workspace/src; find . -type f; pip list")
    assert "./app/__init__.py" in listed and "old.pyc" not in listed
    assert "tomli" in listed and "colorama" not in listed
    answer = json.loads(here.good("test", image, "--json").stdout)
    assert [r["status"] for r in answer["checks"] if r["check"] == f"{name}/answer"] == ["PASS"]
    assert here.good("build", ".", "--locked").stdout.strip() == image


def test_hashes_of_a_requirements_file_are_compared(room: Room) -> None:
    profile, name = room.profile("requirements: [requirements.txt]\n")
    (room.folder / "requirements.txt").write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    done = room.run("lock", profile)
    assert done.returncode == 3 and "six-1.17.0" in done.stderr and "requirements.txt" in done.stderr
    assert not (room.folder / "locks" / name).exists()
    right = room.lock().package("six")
    assert right is not None
    (room.folder / "requirements.txt").write_text(
        f"six=={right.version} \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{right.sha256}\n"
    )
    room.good("lock", profile)
    assert (room.folder / "locks" / name).is_dir()
