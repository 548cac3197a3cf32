"""Machines of a build farm on this one: each has a network, processes and mounts of its own, and a Docker engine.

They share a bridge, on which this machine has a registry, and reach the rest of the world by address translation, as
the engine of scripts/engine does. Root only. A machine is switched off by SIGKILL: its namespaces end with it, so no
container and no mount stays.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rooms import PATIENCE, Room

PREFIX = Path(os.environ.get("IMAGEKIT_ENGINE_PREFIX", "/opt/imagekit-engine"))
BRIDGE, NET = "imagekit1", "10.213.48"
HERE = f"{NET}.1"
"""This machine, as the others see it."""


@dataclass
class Machine:
    number: int
    room: Room
    """What is run there: its caches and records are its own."""
    place: Path
    """The engine's folder."""
    containerd: bool = False
    """Whether it keeps images in containerd's store; its BuildKit can do what a BuildKit of its own can, then."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def network(self) -> Path:
        return Path(f"/run/netns/imagekit-{self.number}")

    @property
    def socket(self) -> Path:
        return self.place / "docker.sock"

    @property
    def run_folder(self) -> Path:
        return Path(f"/run/imagekit-{self.number}")

    @property
    def environment(self) -> dict[str, str]:
        return {**self.room.environment, "DOCKER_HOST": f"unix://{self.socket}"}

    def start(self, *call: str) -> subprocess.Popen[str]:
        """A command there."""
        return subprocess.Popen(
            ["nsenter", f"--net={self.network}", *call], cwd=self.room.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *call: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*call)
        try:
            out, err = process.communicate(timeout=2 * PATIENCE)
        finally:
            process.kill()
        return subprocess.CompletedProcess(call, process.returncode, out, err)

    def good(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`imagekit` there."""
        done = self.run("imagekit", *arguments)
        assert done.returncode == 0, done.stderr
        return done

    def switch_on(self) -> None:
        self.place.mkdir(exist_ok=True)
        self.socket.unlink(missing_ok=True)
        (self.place / "docker.pid").unlink(missing_ok=True)
        shutil.rmtree(self.run_folder, ignore_errors=True)  # as a reboot does
        path = f"{PREFIX}/usr/sbin:{PREFIX}/usr/bin:{PREFIX}/usr/libexec/docker:{os.environ['PATH']}"
        engine = [
            "dockerd", "--pidfile", str(self.place / "docker.pid"), "--exec-root", str(self.run_folder),
            "--data-root", str(self.place / "data"), "--host", f"unix://{self.socket}", "--bridge=none",
            "--iptables=false", "--ip6tables=false", f"--insecure-registry={NET}.0/24",
            "--config-file", str(self.place / "daemon.json"),
        ]  # fmt: skip
        settings = {"features": {"containerd-snapshotter": self.containerd}}
        (self.place / "daemon.json").write_text(json.dumps(settings))
        apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net={self.network}", *apart, *engine], env={**os.environ, "PATH": path}, stdout=log,
                stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
        ends = time.monotonic() + PATIENCE
        while self.run("docker", "version").returncode:
            assert self.process.poll() is None and time.monotonic() < ends, (self.place / "log").read_text()[-2000:]
            time.sleep(0.2)

    def switch_off(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait(PATIENCE)
            self.process = None


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _rules(how: str) -> None:
    net = f"{NET}.0/24"
    for rule in (
        ["FORWARD", "-i", BRIDGE, "-j", "ACCEPT"], ["FORWARD", "-o", BRIDGE, "-j", "ACCEPT"],
        ["POSTROUTING", "-t", "nat", "-s", net, "!", "-o", BRIDGE, "-j", "MASQUERADE"],
    ):  # fmt: skip
        subprocess.run(["iptables", how, *rule], check=how != "-D", capture_output=True)


@contextlib.contextmanager
def machines(rooms: list[Room], folder: Path) -> Iterator[list[Machine]]:
    """One for each room, switched on; the third and all after it have containerd's store."""
    made = [Machine(number, room, folder / f"engine-{number}", number > 2) for number, room in enumerate(rooms, 1)]
    try:
        _ip("link", "add", BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{HERE}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        _rules("-I")
        for one in made:
            name, link = one.network.name, f"ik-{one.number}"
            _ip("netns", "add", name)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", link, "master", BRIDGE, "up")
            _ip("-n", name, "addr", "add", f"{NET}.{10 + one.number}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", name, "link", "set", device, "up")
            _ip("-n", name, "route", "add", "default", "via", HERE)
            one.switch_on()
        yield made
    finally:
        for one in made:
            one.switch_off()
            subprocess.run(["ip", "netns", "delete", one.network.name], capture_output=True, check=False)
            assert str(one.place) not in Path("/proc/self/mounts").read_text()
            for folder in (one.place, one.run_folder):
                shutil.rmtree(folder, ignore_errors=True)
        _rules("-D")
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)


@contextlib.contextmanager
def buildkit(machine: Machine) -> Iterator[str]:
    """The BuildKit of an engine as one that stands alone: unix://SOCKET for buildx's driver `remote`.

    An engine hands a connection over to its BuildKit after a request to /grpc, as buildx's driver for engines does it
    (buildx, driver/docker/driver.go).
    """
    place = machine.place / "buildkit.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(place))
    listening.listen()

    def pipe(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                engine = socket.socket(socket.AF_UNIX)
                engine.connect(str(machine.socket))
                engine.sendall(b"POST /grpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
                said = b""
                while not said.endswith(b"\r\n\r\n"):
                    said += engine.recv(1)
                assert b" 101 " in said.splitlines()[0], said
                for pair in ((client, engine), (engine, client)):
                    threading.Thread(target=pipe, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"unix://{place}"
    finally:
        listening.close()
        place.unlink()
