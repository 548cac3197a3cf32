"""Two machines with an engine each, in networks of their own, and one registry: what one has made the other need not
send, and one that is switched off in the middle leaves nothing that anybody could take for an image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import registries
import rooms
import samples
import standins
import workers
from rooms import docker
from workers import HERE, Machine, buildkit

SITE = """
[registry]
push = "{host}/ml"

[build]
network = "host"
"""


@dataclass
class Farm:
    one: Machine
    two: Machine
    three: Machine
    host: str
    data: Path

    def names(self) -> dict[str, str]:
        """Name -> digest, in the registry."""
        found = {}
        for path in self.data.glob("docker/registry/v2/repositories/*/*/_manifests/tags/*/current/link"):
            if not path.parent.parent.name.startswith("sha256-"):
                found[path.parent.parent.name] = path.read_text()
        return found


@pytest.fixture(scope="module")
def farm(engine: object, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    if os.getuid() or not (workers.PREFIX / "usr/sbin/dockerd").exists():
        reason = "only root makes networks, with the engine of scripts/engine"
        if os.environ.get("IMAGEKIT_REQUIRE_ENGINE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("farm")
    made = []
    for name in ("one", "two", "three"):
        (folder / name).mkdir()
        room = rooms.make(folder / name, shared)
        room.cache = folder / name / "cache"
        made.append(room)
    with workers.machines(made, folder) as (one, two, three):
        certificate, key = samples.certificate(folder, HERE)
        with registries.served(folder / "registry", address=HERE, login=True, tls=(certificate, key)) as host:
            for machine in (one, two):
                standins.site_file(machine.room.folder, (shared / "simple").as_uri(), more=SITE.format(host=host))
                machine.room.extra["DOCKER_CONFIG"] = str(machine.room.folder)
                registries.log_in(machine.room.folder, host)
                rooms.trust(machine.room, certificate)
                _has_base(machine)
            yield Farm(one, two, three, host, folder / "registry/data")


def _has_base(machine: Machine) -> None:
    if not docker("images", "-q", "imagekit/base:bookworm"):
        subprocess.run(["imagekit", "base", "bootstrap"], check=True, capture_output=True)
    with subprocess.Popen(["docker", "save", "imagekit/base:bookworm"], stdout=subprocess.PIPE) as saved:
        subprocess.run(
            ["docker", "load", "-q"], stdin=saved.stdout, env=machine.environment, check=True, capture_output=True
        )


def test_what_one_has_made_the_other_need_not_send(farm: Farm) -> None:
    (farm.one.room.folder / "locks").exists() or farm.one.good("lock", "tiny")
    shutil.copytree(farm.one.room.folder / "locks", farm.two.room.folder / "locks")
    call = ("build", "tiny", "--engine", "compose", "--json", "--output", f"registry:{farm.host}/ml/pytorch")
    first = farm.one.good(*call)
    before = farm.names()
    assert before
    second = farm.two.good(*call)
    assert json.loads(first.stdout)["digest"] == json.loads(second.stdout)["digest"]
    assert "0 B sent" in second.stderr and farm.names() == before
    # a third package, by the other machine: its layer, the bytecode of its share, what the image has of its own
    more = farm.two.good(*call[:2], "--with", "toolz", *call[2:])
    assert " sent" in more.stderr and farm.names().keys() > before.keys()


def test_an_engine_that_is_switched_off_in_the_middle(farm: Farm) -> None:
    """Another machine takes over; the first one goes on when its engine is back."""
    two, (path, name) = farm.two, farm.two.room.profile("packages: [toolz]\n", "tiny-farm")
    before = farm.names()
    process = two.start("imagekit", "build", path, "--engine", "buildkit")
    assert process.stderr
    seen = []
    for line in process.stderr:
        seen.append(line)
        if line.startswith("build"):
            break
    log = next((two.room.cache / "imagekit/logs").glob(f"{name}-*.log"), None)
    while process.poll() is None and not (log and "] RUN" in log.read_text()):
        log = next((two.room.cache / "imagekit/logs").glob(f"{name}-*.log"), None)
    two.switch_off()
    _, said = process.communicate(timeout=rooms.PATIENCE)
    assert process.returncode in (4, 6) and "Traceback" not in said, "".join(seen) + said
    assert "hint: " in said, said
    (left,) = two.room.leftovers()
    assert farm.names() == before and "-image-" in left, "a name in the engine, for when it is back"
    again = two.run("imagekit", "build", path)
    assert again.returncode == 4 and "no Docker Engine answers" in again.stderr, again.stderr

    shutil.copy(two.room.folder / path, farm.one.room.folder)
    taken = farm.one.good("build", path)
    farm.one.good("publish", taken.stdout.strip())
    after = farm.names()
    assert {tag for tag in after if name in tag} and after.keys() > before.keys()

    two.switch_on()
    back = two.good("build", path)
    assert back.stdout.startswith("sha256:") and two.room.leftovers() == []
    two.good("publish", back.stdout.strip())
    assert {tag for tag in farm.names() if name in tag} >= {tag for tag in after if name in tag}


def test_a_builder_that_is_somewhere_else(farm: Farm) -> None:
    """A BuildKit that has none of the engine's images: the base goes there, the image comes back and is proven here."""
    one = farm.one
    with buildkit(farm.three) as address:
        made = one.run("docker", "buildx", "create", "--name", "away", "--driver", "remote", address)
        assert made.returncode == 0, made.stderr
        path, name = one.room.profile("packages: [toolz]\n", "tiny-away")
        done = one.good("build", path, "--builder", "away")
        assert done.stdout.startswith("sha256:") and "steps run" in done.stderr and "static  " in done.stderr
        held = docker("images", "-q", "pytorch", env=farm.three.environment)
        assert held == "", "what built it keeps no image"
        here = one.good("build", path)
        assert "drift" not in here.stderr
    away = one.run("imagekit", "build", path, "--builder", "away")
    assert away.returncode == 4 and "Traceback" not in away.stderr, away.stderr
    for builder, said in (("nobody", "there is no builder nobody"), ("default", "is a Docker Engine")):
        done = one.run("imagekit", "build", path, "--builder", builder)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert one.room.leftovers() == []
