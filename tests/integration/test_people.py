"""run, shell, inspect, init and profiles as people use them, against a real engine."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from rooms import PATIENCE, Room, docker, secret

Built = tuple[Room, "subprocess.CompletedProcess[str]"]
TAG = "pytorch:2.4.1-cuda12.1-tiny"
BASE = "imagekit/base:bookworm"


@pytest.fixture(scope="module", autouse=True)
def tiny_again(built: Built) -> None:
    """Other tests move the tag to images of their own; here it is the one of `built`."""
    docker("tag", built[1].stdout.strip(), TAG)


@pytest.fixture(scope="module", autouse=True)
def volumes(built: Built) -> Iterator[None]:
    """Volumes for caches that these tests made go with them."""
    before = docker("volume", "ls", "-q", "--filter", "name=imagekit-cache-").split()
    yield
    for volume in docker("volume", "ls", "-q", "--filter", "name=imagekit-cache-").split():
        if volume not in before:
            subprocess.run(["docker", "volume", "rm", volume], capture_output=True, check=False)


@pytest.fixture
def name() -> Iterator[str]:
    """A name for an image of this test's own."""
    made = f"imagekit-test-{uuid.uuid4().hex[:8]}:x"
    yield made
    subprocess.run(["docker", "rmi", made], capture_output=True, check=False)


def test_a_program_runs_in_a_profiles_image(built: Built) -> None:
    room, _ = built
    program = "import sys, torch; print(torch.__version__, sys.argv[1:])"
    done = room.good("run", "tiny", "--cache", "none", "--", "python", "-c", program, "--gpus", "a b")
    assert done.stdout == "2.4.1+cu121 ['--gpus', 'a b']\n"
    first = done.stderr.splitlines()[0]
    assert first.startswith("run ") and TAG in first and "profile tiny" in first


def test_an_image_is_taken_as_one(built: Built) -> None:
    room, done = built
    ran = room.good("run", "--cache", "none", done.stdout.strip(), "python", "-c", "print(1)")
    assert ran.stdout == "1\n" and "taken as an image" in ran.stderr


@pytest.mark.parametrize("code", [0, 7, 137])
def test_the_exit_code_is_passed_on(built: Built, code: int) -> None:
    done = built[0].run("run", TAG, "--cache", "none", "--", "python", "-c", f"import os; os._exit({code})")
    assert done.returncode == code, done.stderr


def test_what_is_set_for_pytorch(built: Built) -> None:
    room, _ = built
    program = (
        "import os, resource; f = os.statvfs('/dev/shm'); print(f.f_blocks * f.f_frsize >> 20, os.environ['A'],"
        " resource.getrlimit(resource.RLIMIT_STACK)[0], os.getgid(), os.getcwd(), os.path.ismount('/cache'))"
    )
    done = room.good("run", TAG, "-e", "A=b c", "--", "python", "-c", program)
    shm, a, c, stack, group, folder, cache = done.stdout.split()
    assert (
        int(shm) > 64
        and (a, c) == ("b", "c")
        and (stack, group, folder, cache) == ("67108864", "0", "/workspace", "True")
    )


def test_the_printed_command_is_what_a_shell_runs(built: Built) -> None:
    room, _ = built
    program = "open('it is made', 'w').write('$HOME \"quoted\" \\'twice\\''); print('a  b')"
    printed = room.good("run", TAG, "--print", "--", "python", "-c", program)
    assert printed.stdout.startswith("docker run --rm ") and len(printed.stdout.splitlines()) == 1
    assert not (room.folder / "it is made").exists(), "printing runs nothing"
    done = subprocess.run(
        ["sh", "-c", printed.stdout], cwd=room.folder, env=room.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "a  b\n"
    assert (room.folder / "it is made").read_text() == "$HOME \"quoted\" 'twice'"


def test_files_in_the_mounted_folder_belong_to_the_caller(built: Built) -> None:
    """As a user who is neither root nor the one of the image."""
    socket = Path("/var/run/docker.sock")
    uid, before = os.getuid(), []
    if uid == 0 and socket.exists():  # the interpreter may be root's own, so reading all is allowed
        uid, group = 4321, str(socket.stat().st_gid)
        before = ["setpriv", f"--reuid={uid}", f"--regid={group}", "--clear-groups", "--inh-caps=+dac_read_search"]
        before += ["--ambient-caps=+dac_read_search"]
    folder = Path(tempfile.mkdtemp(prefix="imagekit-test-"))
    try:
        os.chown(folder, uid, -1)
        folder.chmod(0o755)
        environment = {**built[0].environment, "HOME": str(folder), "XDG_CACHE_HOME": f"{folder}/cache"}
        environment |= {"XDG_STATE_HOME": f"{folder}/state", "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        program = "import os; open('made', 'w'); os.makedirs('/cache/torch/x', exist_ok=True); print(os.getuid(), os.getgid())"
        call = [*before, sys.executable, "-m", "imagekit", "run", TAG, "--", "python", "-c", program]
        done = subprocess.run(
            call, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"{uid} 0\n" and (folder / "made").stat().st_uid == uid
    finally:
        shutil.rmtree(folder)


def test_a_folder_as_cache_and_no_folder_as_workspace(built: Built) -> None:
    room, _ = built
    program = "import os; open('/cache/mine', 'w'); open('/workspace/lost', 'w'); print(os.listdir('/workspace'))"
    done = room.good("run", TAG, "--no-mount", "--cache", "caches/of mine", "--", "python", "-c", program)
    assert done.stdout == "['lost']\n" and not (room.folder / "lost").exists()
    assert (room.folder / "caches/of mine/mine").stat().st_uid == os.getuid()


def test_what_is_piped_in_arrives(built: Built) -> None:
    room, _ = built
    call = [sys.executable, "-m", "imagekit", "shell", TAG, "--cache", "none"]
    done = subprocess.run(
        call,
        cwd=room.folder,
        env=room.environment,
        input="echo $0; exit 3",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("bash\n", 3)


def test_interrupting_reaches_the_program(built: Built) -> None:
    room, _ = built
    program = "import time\ntry:\n    print('ready', flush=True); time.sleep(60)\nexcept KeyboardInterrupt:\n    print('stopped')\n"
    process = room.start("run", TAG, "--cache", "none", "--", "python", "-c", program)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert out == "stopped\n" and process.returncode == 0, err


def test_a_terminal_is_passed_on_with_what_is_typed_in_it(built: Built) -> None:
    room, _ = built
    program = "import sys, time; print('tty', sys.stdin.isatty(), 'rea' + 'dy', flush=True); time.sleep(60)"
    call = [sys.executable, "-m", "imagekit", "run", TAG, "--cache", "none", "--", "python", "-c", program]
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        call, cwd=room.folder, env=room.environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while b"ready" not in said:
            said += os.read(ours, 1000)
        os.write(ours, b"\x03")  # Ctrl-C
        process.wait(PATIENCE)
    finally:
        process.kill()
        os.close(ours)
    assert b"tty True ready" in said and process.returncode == 130


def test_a_profile_that_is_not_built_says_how(built: Built) -> None:
    room, _ = built
    profile, name = room.profile("about: never built\n")
    room.good("lock", profile)
    done = room.run("run", profile)
    assert done.returncode == 2 and f"imagekit build {profile} makes it" in done.stderr and done.stdout == ""


def test_inspect_tells_what_was_built(built: Built) -> None:
    room, done = built
    told = room.good("inspect", "tiny").stdout
    assert done.stdout.strip() in told and TAG in told
    assert "torch 2.4.1+cu121" in told and "Python 3.11" in told and "driver >= " in told
    assert "on this machine" in told and "on top" not in told
    layers = room.good("inspect", TAG, "--layers").stdout.splitlines()
    assert [line.split("  ")[-1].strip() for line in layers] == [
        "base", "system", "wheels: torch", "wheels: rest", "imagekit's own files",
    ]  # fmt: skip
    packages = room.good("inspect", TAG, "--packages").stdout
    assert " six " in packages and " tini " in packages


def test_inspect_as_json_agrees_with_the_engine_and_the_lock(built: Built) -> None:
    room, done = built
    answer = json.loads(room.good("inspect", TAG, "--json").stdout)
    size = int(docker("inspect", "-f", "{{.Size}}", done.stdout.strip()))
    assert answer["image"] == done.stdout.strip() and answer["size"] == size
    assert abs(sum(layer["size"] for layer in answer["layers"]) - size) < 10_000
    assert answer["packages"] == {package.name: package.version for package in room.lock().packages}
    assert answer["system"]["python3"] and answer["proven"] and answer["on_top"] == 0


def test_inspect_starts_no_container_and_leaves_none(built: Built) -> None:
    room, done = built
    since = docker("info", "-f", "{{.SystemTime}}")
    process = room.start("inspect", done.stdout.strip())
    process.communicate(timeout=PATIENCE)
    until = docker("info", "-f", "{{.SystemTime}}")
    label = f"label=io.imagekit.run={process.pid}"
    seen = docker("events", "--since", since, "--until", until, "--filter", label, "--format", "{{.Action}}").split()
    assert seen[0] == "create" and seen[-1] == "destroy" and "start" not in seen


def test_inspect_of_a_foreign_image(built: Built) -> None:
    room, _ = built
    told = room.good("inspect", BASE)
    assert "not built by imagekit" in told.stdout and "\nstack " not in told.stdout
    assert json.loads(room.good("inspect", BASE, "--json").stdout)["ours"] is False
    missing = room.run("inspect", "no-such-image:x")
    assert missing.returncode == 2 and "the engine has no image" in missing.stderr
    room.extra["DOCKER_HOST"] = f"unix://{room.folder}/no.sock"
    assert room.run("inspect", BASE).returncode == 4
    del room.extra["DOCKER_HOST"]


def test_profiles_tells_size_and_proof(built: Built) -> None:
    room, done = built
    found = {entry["name"]: entry for entry in json.loads(room.good("profiles", "--json").stdout)}["tiny"]
    assert (
        found["size"] == int(docker("inspect", "-f", "{{.Size}}", done.stdout.strip())) and found["size_of"] == "image"
    )
    assert found["proven"]


def test_a_dockerfile_on_top_builds_and_is_still_proven(room: Room, name: str) -> None:
    (room.folder / "requirements.txt").write_text("toolz\n")
    assert room.good("init", "--from", TAG).stdout == "Dockerfile\n"
    subprocess.run(
        ["docker", "build", "-q", "-t", name, *secret(), "."], cwd=room.folder, check=True, capture_output=True,
        env={**room.environment, "DOCKER_BUILDKIT": "1"},
    )  # fmt: skip
    assert docker("run", "--rm", "--network=none", name, "python", "-c", "import toolz; print('in')") == "in"
    assert docker("inspect", "-f", "{{.Config.User}}", name) == "1000:0"
    told = room.good("inspect", name).stdout
    assert "on top" in told and "FROM one" in told
    room.good("test", name, "--gpus", "none")
    again = room.run("init", "--from", TAG)
    assert again.returncode == 2 and "--force" in again.stderr


def test_a_dockerfile_without_requirements_builds_as_it_is(room: Room, name: str) -> None:
    room.good("init", "--from", TAG)
    subprocess.run(["docker", "build", "-q", "-t", name, "."], cwd=room.folder, check=True, capture_output=True)
    assert docker("inspect", "-f", "{{.Config.User}}", name) == "1000:0"


def test_nothing_is_built_on_an_image_of_others(room: Room) -> None:
    done = room.run("init", "--from", BASE)
    assert done.returncode == 2 and "was not built by imagekit" in done.stderr
    assert not (room.folder / "Dockerfile").exists()


def test_a_profile_from_requirements_locks_and_plans(room: Room) -> None:
    (room.folder / "requirements.txt").write_text(
        "--extra-index-url https://download.pytorch.org/whl/cu121\ntorch==2.4.1\ntoolz>=0.12  # small\n"
        "pywin32; sys_platform == 'win32'\nidna; python_version >= '3.8'\n-e .\n"
    )
    done = room.good("init", "requirements.txt", "--extends", "tiny")
    assert done.stdout == "imagekit.yaml\n"
    assert all(
        word in done.stderr for word in ("requirements.txt:1", "requirements.txt:4", "requirements.txt:6", "site file")
    )
    path = room.good("lock", ".").stdout.strip()
    lock = room.lock(path)
    assert lock.package("toolz") and lock.package("idna") and not lock.package("pywin32")
    assert lock.resolution.cuda == "12.1"
    assert "toolz" in room.good("plan", ".", "--locked").stdout


def test_a_profile_from_nothing_plans(room: Room) -> None:
    room.good("init", "--extends", "tiny")
    assert "torch 2.4.1" in room.good("plan", ".").stdout
