"""`imagekit test IMAGE --on RUNNER` with the real kubectl, against an API server that is simulated (kubernetes_double).

Without kubectl these tests are skipped and say so; with IMAGEKIT_REQUIRE_ENGINE=1 (`make test`) they fail instead.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kubernetes_double
import pytest
import registries
import rooms
from kubernetes_double import Cluster
from rooms import Room

from imagekit import cluster as own

RUNNER = """
[runners.h100]
namespace = "ml"
selector = {"nvidia.com/gpu.product" = "NVIDIA-H100-80GB-HBM3"}
gpus = 2
tolerate = ["nvidia.com/gpu"]
pull_secret = "registry"
"""


@dataclass
class Here:
    room: Room
    cluster: Cluster
    reference: str

    def test(self, *arguments: str, on: str = "h100") -> subprocess.CompletedProcess[str]:
        return self.room.run("test", self.reference, "--on", on, *arguments)


@pytest.fixture(scope="module")
def pushed(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """A folder, the host of a registry, and an image in it."""
    if not shutil.which("kubectl"):
        reason = "kubectl is not installed; as root: apt-get install kubernetes-client"
        if os.environ.get("IMAGEKIT_REQUIRE_ENGINE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("cluster")
    with registries.served(folder / "registry") as host:
        room = rooms.make(folder, shared)
        done = room.good("build", "tiny", "--engine", "compose", "--output", f"registry:{host}/ml/pytorch")
        yield folder, host, done.stdout.strip()


@pytest.fixture
def here(pushed: tuple[Path, str, str], shared: Path, tmp_path: Path) -> Iterator[Here]:
    made = Cluster()
    with kubernetes_double.served(made, tmp_path) as config:
        room = rooms.make(tmp_path, shared)
        with (tmp_path / "imagekit.toml").open("a") as file:
            file.write(RUNNER)
        yield Here(replace(room, extra={**room.extra, "KUBECONFIG": str(config)}), made, f"registry:{pushed[2]}")


def by_docker(job: dict[str, Any]) -> tuple[int, Iterator[bytes]]:
    """The pod of a Job, as a container of this machine's engine without a GPU."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    who = job["spec"]["template"]["spec"]["securityContext"]
    env = [part for row in container["env"] for part in ("-e", f"{row['name']}={row['value']}")]
    call = [
        "docker",
        "run",
        "--rm",
        "--network=none",
        "--shm-size=1g",
        f"--user={who['runAsUser']}:{who['runAsGroup']}",
    ]
    done = subprocess.run(
        [*call, "--cap-drop=ALL", *env, container["image"], *container["args"]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    return done.returncode, iter(done.stdout.splitlines(keepends=True))


def test_the_real_image_by_a_job(here: Here, engine: object) -> None:
    here.cluster.program = by_docker
    here.cluster.states = [{"phase": "Pending"}]
    done = here.test("--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["host"] == "node-1 by h100" and len(report["checks"]) > 15
    (job,) = here.cluster.jobs
    assert here.cluster.deleted == [job["metadata"]["name"]]
    pod = job["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert pod["containers"][0]["image"] == here.reference.removeprefix("registry:"), "by its digest"
    assert pod["imagePullSecrets"] == [{"name": "registry"}] and pod["tolerations"][0]["key"] == "nvidia.com/gpu"
    assert pod["securityContext"]["runAsUser"] == 12345 and job["spec"]["backoffLimit"] == 0
    assert "runs on node-1" in done.stderr
    there = here.room.good("evidence", here.reference).stdout
    assert there.count("proven") >= 2, "what was proven in the cluster is attached to the image"
    again = here.test("--require-gpu")
    assert again.returncode == 0, "tiny's torch is a stand-in: it has no check on a GPU"
    assert "--require-gpu" in here.cluster.jobs[-1]["spec"]["template"]["spec"]["containers"][0]["args"]


def said(text: str, code: int = 0) -> kubernetes_double.Program:
    return lambda _: (code, iter(text.encode().splitlines(keepends=True)))


HEAD = '{"planned": 1, "environment": {"cpu": "A", "gpus": ["NVIDIA H100"]}}\n'
GOOD = '{"check": "a", "stage": "gpu", "status": "PASS", "seconds": 1}\n'


def test_what_is_printed_besides_is_no_result(here: Here) -> None:
    here.cluster.program = said(f"a warning of a library\n{HEAD}more\n{GOOD}[1, 2]\n")
    done = here.test("--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["environment"]["gpus"] == ["NVIDIA H100"]


def test_killed_for_its_memory(here: Here) -> None:
    here.cluster.program = said(HEAD + "Killed\n", 137)
    done = here.test()
    assert done.returncode == 5 and "ended with 137: Killed" in done.stderr
    assert here.cluster.deleted, "the Job is gone"


def test_a_log_that_breaks_off_is_followed_again(here: Here) -> None:
    """Load balancers end a connection on which nothing is said for a while."""
    here.cluster.program = said(f"warning\n{HEAD}{GOOD}")
    here.cluster.breaks = 2
    done = here.test("--json")
    assert done.returncode == 0, done.stderr
    told = [check["check"] for check in json.loads(done.stdout)["checks"]]
    assert told.count("a") == 1 and here.cluster.follows == 3


def test_a_pod_that_is_evicted_is_no_bad_image(here: Here) -> None:
    here.cluster.program = said(HEAD + GOOD)
    here.cluster.evicted = True
    before = here.room.good("evidence", here.reference).stdout
    done = here.test()
    assert done.returncode == 4 and "did not end: Evicted: The node was low" in done.stderr and here.cluster.deleted
    assert here.room.good("evidence", here.reference).stdout == before


def test_an_image_that_cannot_be_pulled(here: Here) -> None:
    waiting = {"reason": "ErrImagePull", "message": "no such host"}
    here.cluster.states = [
        {"phase": "Pending", "containerStatuses": [{"name": "proof", "state": {"waiting": waiting}}]}
    ]
    here.cluster.stays = True
    done = here.test()
    assert done.returncode == 4 and "ErrImagePull: no such host" in done.stderr and here.cluster.deleted


def test_no_node_of_the_kind(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes have a GPU",
    }
    here.cluster.states = [{"phase": "Pending", "conditions": [condition]}]
    here.cluster.stays = True
    patience = here.room.folder / "patience"
    patience.mkdir()
    (patience / "sitecustomize.py").write_text("import imagekit.cluster as c\nc.PENDING, c.LOOK = 1, 0.1\n")
    impatient = replace(here, room=replace(here.room, extra={**here.room.extra, "PYTHONPATH": str(patience)}))
    done = impatient.test()
    assert done.returncode == 4 and "0/3 nodes have a GPU" in done.stderr and "selector" in done.stderr
    assert here.cluster.deleted and own.PENDING == 900


def test_what_cannot_be_asked(here: Here) -> None:
    here.cluster.forbidden = True
    done = here.test()
    assert done.returncode == 4 and "cannot create resource" in done.stderr and "can-i" in done.stderr
    done = here.test(on="v100")
    assert done.returncode == 2 and "no [runners.v100]" in done.stderr and "h100" in done.stderr
    done = here.test("--model", str(here.room.folder))
    assert done.returncode == 2 and "has nothing but its image" in done.stderr and not here.cluster.jobs


BAD = '{"check": "a", "stage": "gpu", "status": "FAIL", "seconds": 1}\n'
NIGHTLY = """
matrix: {include: [{profile: ./own.yaml}]}
nightly: {promote: [prod], updates: false, runners: [h100]}
"""
PROMOTE = """
[promote.prod]
stages = ["static", "cpu", "gpu"]
gpus = ["H100"]
"""


def test_a_night_asks_a_cluster_for_what_nobody_there_has_said(here: Here, tmp_path: Path) -> None:
    room, jobs = here.room, here.cluster.jobs
    config = (tmp_path / "imagekit.toml").read_text()

    def night(code: int = 0, **environment: str) -> dict[str, Any]:
        done = replace(room, extra={**room.extra, **environment}).run("nightly", "--state", "nights", "--json")
        assert done.returncode == code, done.stderr
        (cell,) = json.loads(done.stdout)["cells"]
        return dict(cell)

    def own(text: str) -> None:
        (tmp_path / "own.yaml").write_text(f"extends: tiny\nenv: {{A: {text}}}\n")

    with registries.served(tmp_path / "nights-registry") as host:
        registry = f'[registry]\npush = "{host}/staging"\nprod = "{host}/prod"\n'
        (tmp_path / "imagekit.toml").write_text(f"{config}{PROMOTE}{registry}")
        (tmp_path / "pipeline.yaml").write_text(NIGHTLY)
        own("one")
        assert "then on h100" in room.good("nightly", "--dry-run").stdout
        here.cluster.program = said(HEAD + GOOD)
        first = night()
        assert (first["did"], first["on"], first["promoted"]) == (
            "built",
            {"h100": "static 1, gpu 1"},
            {"prod": "moved"},
        ), first
        assert first["log"] and "h100: " in (tmp_path / "nights" / first["log"]).read_text()
        quiet = night()
        assert (quiet["did"], quiet["on"], quiet["promoted"], len(jobs)) == ("nothing", {}, {"prod": "there"}, 1)

        own("two")
        away = night(KUBECONFIG=str(tmp_path / "gone"))
        assert away["state"] == "good" and away["on"]["h100"].startswith("nothing: "), away
        assert away["promoted"]["prod"] == "held: not proven on h100 yet" and len(jobs) == 1
        room.good("nightly", "--state", "nights", "--promote-only")
        assert len(jobs) == 1, "nothing is asked for then"
        back = night()
        assert (back["did"], back["on"], back["promoted"]) == (
            "nothing",
            {"h100": "static 1, gpu 1"},
            {"prod": "moved"},
        )

        own("three")
        here.cluster.program = said(HEAD + BAD)
        bad = night(code=5)
        assert bad["why"][0] == "not proven on h100" and "FAIL  a" in bad["why"][1] and bad["promoted"] == {}
        assert night(code=5)["on"] == {} and len(jobs) == 3, "it would fail again"
        (tmp_path / "pipeline.yaml").write_text(NIGHTLY.replace("h100", "gone"))
        done = room.run("nightly")
        assert done.returncode == 2 and "nightly.runners: the site has no [runners.gone]" in done.stderr
