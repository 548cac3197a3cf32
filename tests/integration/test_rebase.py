"""Images that are not in an engine: another system under the same wheels, what differs, and proving them where they are."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import registries
import rooms
from rooms import Room

from imagekit import pulled, remote
from imagekit.compose import system
from imagekit.files import sha256
from imagekit.oci import connect, layout, reference
from imagekit.oci.image import Image, descriptor, restacked
from imagekit.oci.kept import Kept
from imagekit.oci.layer import Layer
from imagekit.oci.push import push
from imagekit.oci.sending import Sending

TAG = "2.4.1-cuda12.1-tiny"
RECORD = "./opt/imagekit/record/system.txt"


@dataclass(frozen=True)
class Made:
    room: Room
    digest: str
    """Of the image as it is now."""
    old: Image
    """The same wheels on a system whose tini is older, as it says itself."""


@pytest.fixture(scope="module")
def made(built: object, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    room = rooms.make(tmp_path_factory.mktemp("rebase"), shared)
    room.extra |= {"DOCKER_HOST": "unix:///nowhere.sock", "DOCKER_CONFIG": str(room.folder)}
    done = room.good("build", "tiny", "--engine", "compose", "--no-test", "--output", "oci:new")
    new = pulled.pulled(_at(room.folder / "new"), Kept(room.folder / "none"), lambda *_: None)
    old = restacked(new, replace(new.layers[0], **_older(new.layers[0].path, room.folder / "older")))
    layout.write(old, room.folder / "old", [TAG])
    assert done.stdout.startswith(f"oci:new:{TAG}-")
    return Made(room, new.digest, old)


def _at(folder: Path) -> remote.Remote:
    return remote.Remote(f"oci:{folder}", remote.in_layout(f"oci:{folder}")[0], TAG)


def _older(blob: Path, target: Path) -> dict[str, object]:
    """The system with another version in its list of packages."""
    out = io.BytesIO()
    with (
        gzip.open(blob) as stream,
        tarfile.open(fileobj=stream) as before,
        tarfile.open(fileobj=out, mode="w") as after,
    ):
        for member in before:
            content = before.extractfile(member) if member.isreg() else None
            data = content.read() if content else b""
            if member.name == RECORD:
                rows = [row for row in data.decode().splitlines() if not row.startswith("tini=")]
                data = "\n".join(sorted([*rows, "tini=0.1"])).encode()
                member.size = len(data)
            after.addfile(member, io.BytesIO(data))
    target.write_bytes(gzip.compress(out.getvalue(), 1))
    raw = out.getvalue()
    plain = target.with_suffix(".tar")
    plain.write_bytes(raw)
    layer = Layer(sha256(target), sha256(plain), target.stat().st_size, len(raw), 0)
    plain.unlink()
    return {"layer": layer, "path": target}


def test_the_older_one_is_older(made: Made) -> None:
    assert system.versions(made.old.layers[0].path)["tini"] == "0.1" and made.old.digest != made.digest


def test_the_newest_packages_under_the_same_wheels(made: Made) -> None:
    """What comes out is what a build gives."""
    done = made.room.good("rebase", f"oci:old:{TAG}", "--output", "oci:rebased", "--fresh")
    assert made.digest in (made.room.folder / "rebased/index.json").read_text()
    assert "drift    tini 0.1 -> " in done.stderr and done.stderr.count(" -> ") == 1
    assert f"1 of {len(made.old.layers)} layers is new" in done.stderr and "static  19 pass" in done.stderr
    assert made.room.good("rebase", done.stdout.strip()).stdout == done.stdout
    again = made.room.good("rebase", f"oci:rebased:{TAG}", "--json")
    assert "nothing to do" in again.stderr and json.loads(again.stdout)["changed"] is False
    assert made.room.leftovers() == []


def large(registry: Path) -> set[str]:
    return {path.parent.name for path in registry.rglob("data") if path.stat().st_size > 1_000_000}


def test_in_a_registry_the_system_alone_is_sent(made: Made, tmp_path: Path) -> None:
    with registries.served(tmp_path / "registry") as host:
        name = reference.parse(f"{host}/ml/pytorch:{TAG}")
        push(made.old, Sending(connect.to(name)), [TAG])
        before = large(tmp_path / "registry")
        knows_no_proof = replace(made.room, extra={**made.room.extra, "XDG_STATE_HOME": str(tmp_path / "state")})
        bare = knows_no_proof.good("rebase", f"registry:{name}", "--no-test")
        assert "it gets no name: it is not proven" in bare.stderr
        assert connect.to(name).digest_of(TAG) == made.old.digest
        done = made.room.good("rebase", f"registry:{name}", "--no-test", "--output", f"registry:{name}")
        assert done.stdout.strip() == bare.stdout.strip() == f"{host}/ml/pytorch@{made.digest}"
        assert connect.to(name).digest_of(TAG) == made.digest
        longer = made.room.good("rebase", f"registry:{name}", "--no-test", "--output", f"registry:{host}/ml/pytorch2")
        assert longer.stdout.strip() == f"{host}/ml/pytorch2@{made.digest}"
        assert len(large(tmp_path / "registry") - before) == 1, "a layer; all else is small"
        elsewhere = replace(made.room, extra={**made.room.extra, "XDG_CACHE_HOME": str(tmp_path / "cache")})
        said = elsewhere.good("test", f"registry:{name}", "--stage", "static")
        assert "of layers that are not here" in said.stderr and "what was asked for passed" in said.stderr


def test_an_image_is_proven_where_it_is(made: Made) -> None:
    said = made.room.good("test", f"oci:new:{TAG}", "--json", "--stage", "static", "--stage", "deep", "--fresh")
    statuses = {check["check"]: check["status"] for check in json.loads(said.stdout)["checks"]}
    assert statuses["layers"] == statuses["installed-files"] == statuses["history"] == "PASS"
    for option in ("--keep", "--gpus=all"):
        refused = made.room.run("test", "oci:new", option)
        assert refused.returncode == 2 and "needs an engine" in refused.stderr


def test_what_differs(made: Made) -> None:
    said = json.loads(made.room.good("diff", f"oci:old:{TAG}", f"oci:new:{TAG}", "--json").stdout)
    assert said["packages"] == said["labels"] == [] and said["layers"] - said["shared"] == 1
    assert 0 < said["pull"] < 200_000_000 and said["compressed"]
    assert "the same image" in made.room.good("diff", f"oci:new:{TAG}", f"oci:new:{TAG}").stdout
    inspected = made.room.good("inspect", f"oci:new:{TAG}").stdout
    assert "profile   tiny" in inspected


@pytest.mark.parametrize(("arguments", "says"), [
    (("rebase", "tiny"), "is no image of a registry or layout"), (("rebase", "oci:nowhere"), "is no OCI layout"),
    (("rebase", "oci:new:other"), "has no image other"), (("rebase", "oci:new", "--base", "distro:trixie"), "not for distro:trixie"),
    (("test", "oci:nowhere"), "is no OCI layout"), (("diff", "oci:new", "oci:nowhere"), "is no OCI layout"),
    (("inspect", "oci:new:other"), "has no image other"), (("inspect", "registry:x"), "names no registry"),
])  # fmt: skip
def test_what_is_refused(made: Made, arguments: tuple[str, ...], says: str) -> None:
    done = made.room.run(*arguments)
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr, done.stderr


def variant(made: Made, folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    """The image with another configuration, in a layout of its own."""
    image = pulled.pulled(_at(made.room.folder / "new"), Kept(made.room.folder / "none"), lambda *_: None)
    config = json.loads(image.config)
    changed = change(config)
    text = json.dumps(config if changed is None else changed).encode()
    manifest = json.loads(image.manifest)
    manifest["config"] = descriptor(manifest["config"]["mediaType"], text)
    layout.write(Image(text, json.dumps(manifest).encode(), image.layers), folder, [TAG])
    return f"oci:{folder}:{TAG}"


@pytest.mark.parametrize("change", [
    lambda config: [], lambda config: {**config, "history": ["a"]}, lambda config: {**config, "config": "x"},
    lambda config: config["config"].update(Labels=["a"]), lambda config: config.pop("rootfs") and None,
    lambda config: config["rootfs"].update(diff_ids=["sha256:../../etc/passwd"]),
], ids=["list", "history", "config", "labels", "rootfs", "diff_ids"])  # fmt: skip
def test_configurations_of_anybody_are_an_error_and_no_traceback(
    made: Made, tmp_path: Path, request: pytest.FixtureRequest, change: Callable[[dict[str, Any]], object]
) -> None:
    name = variant(made, tmp_path / "odd", change)
    for call in (("inspect", name), ("test", name, "--stage", "static"), ("diff", name, name), ("rebase", name)):
        done = made.room.run(*call)
        reads_layers = call[0] in ("test", "rebase")
        if reads_layers or "diff_ids" not in request.node.name:
            assert done.returncode in (2, 4) and done.stderr.startswith("error: "), (call, done.stderr)
        assert "Traceback" not in done.stderr


def test_what_other_tools_leave_out_is_no_error(made: Made, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        env = [*config["config"]["Env"], "ODD"]
        config["config"].update(Entrypoint=None, WorkingDir="", Env=env, Volumes=None)

    done = made.room.run("test", variant(made, tmp_path / "odd", change), "--check", "pip-check", "--json")
    assert [check["status"] for check in json.loads(done.stdout)["checks"]] == ["PASS"], done.stderr


def test_a_layer_that_is_not_what_the_image_says(made: Made, tmp_path: Path) -> None:
    def change(config: dict[str, Any]) -> None:
        config["rootfs"]["diff_ids"][3] = f"sha256:{'0' * 64}"

    done = made.room.run("test", variant(made, tmp_path / "odd", change), "--stage", "static")
    assert done.returncode == 2 and "is damaged" in done.stderr


def test_nothing_to_do_is_still_written_where_it_is_to_go(made: Made) -> None:
    done = made.room.good("rebase", f"oci:new:{TAG}", "--no-test", "--output", "oci:copied")
    assert done.stdout.startswith("oci:copied:") and made.digest in (made.room.folder / "copied/index.json").read_text()


def test_a_layout_that_was_damaged_on_the_way(made: Made, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", str(made.room.folder / "new"), str(tmp_path / "copy")], check=True)
    largest = max((tmp_path / "copy/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.chmod(0o644)
    with largest.open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    elsewhere = replace(made.room, extra={**made.room.extra, "XDG_CACHE_HOME": str(tmp_path / "cache")})
    done = elsewhere.run("test", f"oci:{tmp_path / 'copy'}:{TAG}")
    assert done.returncode == 2 and "is damaged" in done.stderr
    largest.unlink()
    assert "lacks the blob" in elsewhere.run("test", f"oci:{tmp_path / 'copy'}:{TAG}").stderr
