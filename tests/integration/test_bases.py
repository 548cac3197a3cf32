"""Images as bases: local stand-ins with the layout of company images, nvidia/cuda, pytorch/pytorch and others.

No registry is reached: each stand-in is made here from the Debian 12 base, and carries the name of what it stands for.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import registries
import repositories
from rooms import Room, docker

from imagekit import pulled, remote
from imagekit.oci import layout
from imagekit.oci.image import Image, descriptor
from imagekit.oci.kept import Kept

Make = Callable[..., str]


@pytest.fixture
def image(engine: object, built: object, tmp_path: Path) -> Iterator[Make]:
    """Make an image from Dockerfile lines; its name. All are removed in the end."""
    made = []

    def make(*lines: str, name: str = "", base: str = "imagekit/base:bookworm") -> str:
        name = name or f"company/base:{uuid.uuid4().hex[:8]}"
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        (folder / "Dockerfile").write_text("\n".join([f"FROM {base}", *lines]) + "\n")
        if base == "scratch":
            (folder / "busybox").write_bytes(Path(shutil.which("busybox") or "").read_bytes())
            (folder / "busybox").chmod(0o755)
        docker("build", "-q", "-t", name, str(folder), env={**os.environ, "DOCKER_BUILDKIT": "1"})
        made.append(name)
        return name

    yield make
    subprocess.run(["docker", "rmi", "-f", *made], capture_output=True, check=False)


def env_of(image: str) -> dict[str, str]:
    lines = docker("inspect", "-f", "{{range .Config.Env}}{{println .}}{{end}}", image).split("\n")
    return dict(line.partition("=")[::2] for line in lines if line)


def test_a_company_image(room: Room, image: Make) -> None:
    """Another user, variables that must not stay, files that do."""
    name = image(
        "RUN useradd -u 4000 app && echo policy >/etc/company-policy",
        "ENV NVIDIA_VISIBLE_DEVICES=all PYTHONPATH=/opt/company COMPANY=acme",
        'ENTRYPOINT ["/bin/false"]',
        "USER app",
    )
    done = room.good("build", "tiny", "--base", f"image:{name}")
    built = done.stdout.strip()
    assert "NVIDIA_VISIBLE_DEVICES=all: emptied" in done.stderr and "sets PYTHONPATH" in done.stderr
    env = env_of(built)
    assert (env["NVIDIA_VISIBLE_DEVICES"], env["PYTHONPATH"], env["COMPANY"]) == ("", "", "acme")
    assert docker("inspect", "-f", "{{.Config.User}}", built) == "1000:0"
    assert docker("run", "--rm", "--network=none", built, "cat", "/etc/company-policy") == "policy"
    layers = docker("inspect", "-f", "{{json .RootFS.Layers}}", built)
    below = docker("inspect", "-f", "{{json .RootFS.Layers}}", name)
    assert layers.startswith(below.rstrip("]")), "its layers are the lowest ones, so nodes share them"
    (lock,) = (room.folder / "locks/tiny").glob("*-image*.json")
    base = room.lock(str(lock.relative_to(room.folder))).resolution.base
    assert base.found and base.found.id == docker("inspect", "-f", "{{.Id}}", name)
    assert (base.found.os, base.found.version, base.found.glibc) == ("debian", "12", "2.36")


GONE = """
import os

def check_what_is_gone():
    assert not os.path.exists("/opt/old") and not os.path.exists("/opt/kept/lower")
    assert os.listdir("/opt/kept") == ["upper"] and os.path.exists("/etc/company-policy")
"""


def composed(room: Room, tmp_path: Path, base: str, more: str = "") -> None:
    """Build a profile on an image without an engine, and compare its lowest layers with the image's."""
    path, _ = room.profile(f"checks: [gone.py]\n{more}")
    (room.folder / "gone.py").write_text(GONE)
    call = ("build", path, "--base", f"image:{base}", "--engine", "compose", "--json")
    said = room.good(*call, "--output", f"archive:{tmp_path / 'image.tar'}")
    done = json.loads(said.stdout)
    docker("load", "-q", "-i", str(tmp_path / "image.tar"))
    tag = done["tags"][0]
    try:
        layers = docker("inspect", "-f", "{{json .RootFS.Layers}}", tag)
        assert layers.startswith(docker("inspect", "-f", "{{json .RootFS.Layers}}", base).rstrip("]"))
        assert env_of(tag)["COMPANY"] == "acme" and env_of(tag)["PYTHONPATH"] == ""
        assert docker("inspect", "-f", "{{json .Config.ExposedPorts}} {{.Config.StopSignal}}", tag) == HANDED_ON
        assert docker("run", "--rm", "--network=none", tag, "ls", "/opt/kept") == "upper"
    finally:
        docker("rmi", "-f", docker("images", "-q", "--no-trunc", tag))
    again = room.good(*call, "--output", "oci:again")
    assert json.loads(again.stdout)["digest"] == done["digest"] and "the very same image was proven" in again.stderr


HANDED_ON = '{"8888/tcp":{}} SIGINT'

LINES = (
    "RUN mkdir -p /opt/old/deep /opt/kept && touch /opt/old/deep/a /opt/kept/lower && echo policy >/etc/company-policy",
    "RUN rm -r /opt/old /opt/kept && mkdir /opt/kept && touch /opt/kept/upper",
    "ENV COMPANY=acme PYTHONPATH=/opt/company",
    "EXPOSE 8888",
    "STOPSIGNAL SIGINT",
)


def test_without_an_engine_on_an_image_of_the_engine(room: Room, image: Make, tmp_path: Path) -> None:
    """And what has no wheel is built on it."""
    with repositories.served(tmp_path / "repository") as repository:
        repository.package("1.0", '"six"')
        repository.tag("v1")
        source = f"sources:\n  acme-clip: {{git: {repository.url}, ref: v1}}\n"
        composed(room, tmp_path, image(*LINES), source)


def test_without_an_engine_on_an_image_of_a_registry(room: Room, image: Make, tmp_path: Path) -> None:
    """Its layers come from the registry by digest; whoever is sent the image has them there already."""
    with registries.served(tmp_path / "registry") as host:
        name = image(*LINES, name=f"{host}/company/base:1")
        docker("push", "-q", name)
        room.good("lock", "tiny", "--base", f"image:{name}")
        composed(room, tmp_path, name)
        before = {path.parent.name for path in (tmp_path / "registry").rglob("data")}
        target = f"registry:{host}/company/base:composed"
        done = room.good(
            "build", "tiny", "--base", f"image:{name}", "--engine", "compose", "--no-test", "--output", target
        )
        assert " sent, " in done.stderr and "blobs there" in done.stderr
        assert before < {path.parent.name for path in (tmp_path / "registry").rglob("data")}


def test_no_engine_is_needed_to_ask_an_image_of_a_registry(room: Room, image: Make, tmp_path: Path) -> None:
    """What comes out is what an engine's lock has; then the image is made of what was got to ask it."""
    with registries.served(tmp_path / "registry") as host:
        name = image(*LINES, name=f"{host}/company/base:1")
        docker("push", "-q", name)
        call = ("lock", "tiny", "--base", f"image:{name}")
        room.good(*call)
        (path,) = (room.folder / "locks/tiny").glob("*-image*.json")
        by_engine = path.read_text()
        path.unlink()
        room.extra["DOCKER_HOST"] = "unix:///nowhere.sock"
        asked = f"fetching {name}, to see what it offers"
        done = room.good(*call)
        assert asked in done.stderr and "sets PYTHONPATH" in done.stderr and path.read_text() == by_engine
        path.unlink()
        assert asked not in room.good(*call).stderr and path.read_text() == by_engine
        made = room.good("build", "tiny", "--base", f"image:{name}", "--engine", "compose", "--output", "oci:out")
        assert "static  " in made.stderr and "of layers that are not here" not in made.stderr
        torch = image(TORCH.format("/opt/conda/lib/python3.11/site-packages", "2.4.1"), name=f"{host}/company/base:2")
        docker("push", "-q", torch)
        refused = room.run("lock", "tiny", "--base", f"image:{torch}")
        assert refused.returncode == 3 and "it has torch 2.4.1 already" in refused.stderr
        gone = room.run("lock", "tiny", "--base", f"image:{host}/company/base:none")
        assert gone.returncode == 2 and "its name does not tell its distribution" in gone.stderr
    assert room.leftovers() == []
    down = room.run("lock", "tiny", "--base", f"image:{host}/company/base:3")
    assert down.returncode == 2 and "is not asked what it offers" in down.stderr


def test_a_base_that_moved_is_noticed(room: Room, image: Make) -> None:
    name = image("RUN echo 1 >/etc/version")
    room.good("lock", "tiny", "--base", f"image:{name}")
    image("RUN echo 2 >/etc/version", name=name)
    done = room.run("build", "tiny", "--base", f"image:{name}")
    assert done.returncode == 4 and "is another one than when it was locked" in done.stderr
    assert room.good("build", "tiny", "--base", f"image:{name}", "--upgrade").stdout.startswith("sha256:")


def test_a_lock_needs_no_engine_once_made(room: Room, image: Make) -> None:
    name = image("RUN true")
    room.good("lock", "tiny", "--base", f"image:{name}")
    room.extra["DOCKER_HOST"] = "unix:///nowhere.sock"
    rendered = room.good("render", "tiny", "--base", f"image:{name}", "--locked").stdout
    assert f"ARG BASE={name}" in rendered and "imagekit base bootstrap" not in rendered


CUDA = [
    "RUN mkdir -p /usr/local/cuda-12.1/bin && ln -s cuda-12.1 /usr/local/cuda",
    "ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility",
    'ENV NVIDIA_REQUIRE_CUDA="cuda>=12.1 brand=tesla,driver>=470,driver<471"',
    "ENV LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
]


def test_nvidia_cuda_by_its_short_name(room: Room, image: Make) -> None:
    """cuda:devel is the newest nvidia/cuda image of the CUDA that was chosen; what it means is said."""
    nvcc = "RUN install -m 755 /bin/true /usr/local/cuda-12.1/bin/nvcc"
    name = image(CUDA[0], nvcc, *CUDA[1:], name="nvidia/cuda:12.1.1-devel-ubuntu22.04")
    done = room.good("build", "tiny", "--base", "cuda:devel")
    assert "has CUDA 12.1 of its own" in done.stderr and "nvcc is there" in done.stderr
    assert "NVIDIA_REQUIRE_CUDA (cuda>=12.1 ...)" in done.stderr and "525.60.13" in done.stderr
    env = env_of(done.stdout.strip())
    assert env["NVIDIA_VISIBLE_DEVICES"] == "" and env["NVIDIA_REQUIRE_CUDA"].startswith("cuda>=12.1")
    (lock,) = (room.folder / "locks/tiny").glob("*-image*.json")
    assert room.lock(str(lock.relative_to(room.folder))).resolution.base.name == name


def test_cuda_that_nothing_uses_is_said(room: Room, image: Make) -> None:
    name = image(*CUDA, name="nvidia/cuda:12.1.1-runtime-ubuntu22.04")
    done = room.good("lock", "tiny", "--base", f"image:{name}")
    assert "nothing of the stack uses them" in done.stderr


TORCH = "RUN mkdir -p {0}/torch && echo \"__version__ = '{1}'\" >{0}/torch/version.py"
REFUSED = {
    "pytorch/pytorch": (
        [TORCH.format("/opt/conda/lib/python3.11/site-packages", "2.4.1")],
        "it has torch 2.4.1 already (/opt/conda/lib/python3.11/site-packages/torch)",
    ),
    "NGC": (
        [TORCH.format("/usr/local/lib/python3.11/dist-packages", "2.4.0a0+f70bd71a48.nv24.06")],
        "it has torch 2.4.0a0+f70bd71a48.nv24.06 already",
    ),
    "an environment": (
        ["RUN mkdir -p /opt/venv/bin && ln -s /usr/bin/python3 /opt/venv/bin/python3"],
        "it has an environment in /opt/venv, where imagekit's goes",
    ),
    "another glibc": (["RUN sed -i 's/VERSION_ID=\"12\"/VERSION_ID=\"13\"/' /etc/os-release"], "its glibc is 2.36"),
    "no apt": (["RUN mv /usr/bin/apt-get /usr/bin/gone"], "it has no apt-get"),
    "a distribution nobody knows": (
        ["RUN printf 'ID=rhel\\nVERSION_ID=9\\n' >/etc/os-release"], "it is rhel 9; the facts know debian 11"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(room: Room, image: Make, name: str) -> None:
    lines, reason = REFUSED[name]
    before = sorted((room.folder / "locks/tiny").iterdir())
    done = room.run("build", "tiny", "--base", f"image:{image(*lines)}")
    assert done.returncode == 3, done.stderr
    assert "nothing can be built on" in done.stderr and reason in done.stderr and "hint" in done.stderr
    assert sorted((room.folder / "locks/tiny").iterdir()) == before


def test_another_c_library(room: Room, image: Make) -> None:
    """A stand-in for Alpine: busybox, no getconf, no glibc."""
    lines = [
        "COPY busybox /bin/busybox",
        'RUN ["/bin/busybox", "--install", "-s", "/bin"]',
        "RUN mkdir -p /etc && printf 'ID=alpine\\nVERSION_ID=3.20.1\\n' >/etc/os-release",
    ]
    done = room.run("build", "tiny", "--base", f"image:{image(*lines, base='scratch')}")
    assert done.returncode == 3 and "its C library is not glibc" in done.stderr, done.stderr


def test_no_python_is_installed(room: Room, image: Make) -> None:
    """debian:bookworm-slim has none: the distribution's is."""
    purge = "RUN apt-get purge -y --allow-remove-essential 'python3*' 'libpython3*' && ! command -v python3"
    done = room.good("build", "tiny", "--base", f"image:{image(purge)}")
    said = docker(
        "run", "--rm", "--network=none", done.stdout.strip(), "python", "-c", "import torch, sys; print(sys.version)"
    )
    assert said.startswith("3.11.")


def test_what_is_nowhere(room: Room) -> None:
    done = room.run("build", "tiny", "--base", "image:debian:bookworm-slim")
    assert done.returncode == 4 and "cannot be pulled" in done.stderr and "--base distro:bookworm" in done.stderr
    done = room.run("build", "tiny", "--base", "image:company/secret:1")
    assert done.returncode == 2 and "its name does not tell its distribution" in done.stderr


def layers_of(folder: Path) -> list[str]:
    index = json.loads((folder / "index.json").read_text())
    manifest = json.loads(blob(folder, index["manifests"][0]["digest"]))
    return [row["digest"] for row in manifest["layers"]]


def blob(folder: Path, digest: str) -> bytes:
    return (folder / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


def configuration(folder: Path) -> dict[str, Any]:
    index = json.loads((folder / "index.json").read_text())
    manifest = json.loads(blob(folder, index["manifests"][0]["digest"]))
    return dict(json.loads(blob(folder, manifest["config"]["digest"]))["config"])


def built_on(source: Path, target: Path) -> str:
    """An image with one more layer, as a Dockerfile that begins with it has."""
    there = remote.Remote(f"oci:{source}", *remote.in_layout(f"oci:{source}"))
    found = pulled.pulled(there, Kept(target), lambda *_: None)
    config, manifest = json.loads(found.config), json.loads(found.manifest)
    config["rootfs"]["diff_ids"].append(config["rootfs"]["diff_ids"][-1])
    config["history"].append({"created_by": "RUN make"})
    manifest["layers"].append(manifest["layers"][-1])
    text = json.dumps(config).encode()
    manifest["config"] = descriptor(manifest["config"]["mediaType"], text)
    layout.write(Image(text, json.dumps(manifest).encode(), found.layers), target, ["x"])
    return f"oci:{target}"


def test_onto_an_image_that_moved(room: Room, image: Make, tmp_path: Path) -> None:
    """What comes out has the layers that a build on the new base has; the wheels are those of the old image."""
    room.extra["DOCKER_HOST"] = "unix:///nowhere.sock"
    with registries.served(tmp_path / "registry") as host:
        for number in (1, 2):
            lines = [f"RUN echo {number} >/etc/company-release", f"ENV COMPANY=v{number}", *LINES[2 + number :]]
            docker("push", "-q", image(*lines, name=f"{host}/company/base:{number}"))
        call = ("build", "tiny", "--engine", "compose", "--no-test")
        room.good(*call, "--base", f"image:{host}/company/base:1", "--output", "oci:old")
        room.good(*call, "--base", f"image:{host}/company/base:2", "--output", "oci:new")
        same = room.good("rebase", "oci:old", "--no-test")
        assert "its system is the newest: nothing to do" in same.stderr
        done = room.good("rebase", "oci:old", "--base", f"image:{host}/company/base:2", "--output", "oci:rebased")
        assert "layers are new" in done.stderr and "static  " in done.stderr
        old, new, rebased = (layers_of(room.folder / name) for name in ("old", "new", "rebased"))
        assert rebased[:-1] == new[:-1] and len(set(old) - set(rebased)) == 2, "of the base, and the lock"
        inspected = json.loads(room.good("inspect", done.stdout.strip(), "--json").stdout)
        assert f"{host}/company/base:2" in json.dumps(inspected)
        again = room.good("rebase", done.stdout.strip())
        assert "nothing to do" in again.stderr and again.stdout == done.stdout
        docker("tag", f"{host}/company/base:2", f"{host}/company/base:1")
        docker("push", "-q", f"{host}/company/base:1")
        moved = room.good("rebase", "oci:old", "--no-test", "--output", "oci:moved")
        assert "layers are new" in moved.stderr and layers_of(room.folder / "moved")[:-1] == rebased[:-1]
        there = f"registry:{host}/ml/pytorch:stable"
        room.good(*call, "--base", f"image:{host}/company/base:2", "--output", there)
        here = room.good("rebase", there, "--no-test", "--output", there, "--base", f"image:{host}/company/base:2")
        assert "its system is the newest" in here.stderr
        docker("push", "-q", image("RUN echo 4 >/etc/company-release", name=f"{host}/company/base:2"))
        sent = room.good("rebase", there, "--no-test", "--output", there)
        assert "layers are new" in sent.stderr and "blobs there" in sent.stderr
        assert room.good("test", there, "--stage", "static").returncode == 0
        docker("push", "-q", image(*LINES[3:], "ENV COMPANY=v5", "LABEL fix=yes", name=f"{host}/company/base:5"))
        docker("push", "-q", image(*LINES[3:], "ENV COMPANY=v6", "LABEL fix=no", name=f"{host}/company/base:6"))
        room.good(*call, "--base", f"image:{host}/company/base:5", "--output", "oci:five")
        room.good("rebase", "oci:five", "--base", f"image:{host}/company/base:6", "--no-test", "--output", "oci:six")
        assert layers_of(room.folder / "six")[:-1] == layers_of(room.folder / "five")[:-1]
        config, before = configuration(room.folder / "six"), configuration(room.folder / "five")
        assert config["Labels"]["fix"] == "no" and "COMPANY=v6" in config["Env"], "its variables alone are others"
        assert config["Labels"]["io.imagekit.suffix"] != before["Labels"]["io.imagekit.suffix"], "the name of its base"
        somebodys = room.run("rebase", built_on(room.folder / "old", tmp_path / "on-it"))
        assert somebodys.returncode == 2 and "somebody has built on it" in somebodys.stderr
        docker("push", "-q", image(*CUDA, name=f"{host}/company/base:3"))
        for base, code, said in (
            (f"image:{host}/company/base:3", 2, "CUDA of its own: none, and 12.1 there"),
            (f"image:{host}/company/base:none", 2, "its registry has no image"),
            ("image:", 2, "names no image"),
            ("distro:bookworm", 2, "not for distro:bookworm"),
        ):
            refused = room.run("rebase", "oci:old", "--base", base)
            assert (
                room.leftovers() == []
                and (refused.returncode, "Traceback" in refused.stderr) == (code, False)
                and said in refused.stderr
            )
    assert room.leftovers() == []
