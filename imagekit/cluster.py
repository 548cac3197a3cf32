"""The proof on a node of a Kubernetes cluster: a Job with GPUs, started and read through kubectl.

kubectl knows the cluster and who may do what there; imagekit renders a manifest, waits for the pod, reads its log and
removes the Job. Nothing is installed in the cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from imagekit import scratch
from imagekit.engines.result import STDERR, STDOUT, Result
from imagekit.errors import Surroundings, UsageError
from imagekit.remote import Remote
from imagekit.site.model import Runner

PENDING = 900
"""Seconds that a pod may wait for its node and its image: GPU nodes may have to be started, images are gigabytes."""

LOOK = 2.0
"""Seconds between two looks at a pod."""

SETTLES = 10
"""Looks at a pod whose log has ended, before it is taken to run on."""

CALL = 60
"""Seconds for one call of kubectl."""

HOPELESS = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
)
"""Why a container waits that will not start by itself."""

OURS = "app.kubernetes.io/managed-by"


def manifest(
    name: str, image: str, args: list[str], env: Mapping[str, str], user: str, timeout: float, runner: Runner
) -> dict[str, Any]:  # fmt: skip
    """A Job that runs once. `user`: UID:GID; `timeout`: seconds that its pod may run."""
    uid, _, gid = user.partition(":")
    limits = {"memory": runner.memory} | ({runner.resource: str(runner.gpus)} if runner.gpus else {})
    container = {
        "name": "proof", "image": image, "args": args,
        "env": [{"name": key, "value": text} for key, text in sorted(env.items())],
        "resources": {"limits": limits, "requests": limits},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    pod = {
        "restartPolicy": "Never", "automountServiceAccountToken": False, "enableServiceLinks": False,
        "nodeSelector": dict(runner.selector),
        "tolerations": [{"key": key, "operator": "Exists"} for key in runner.tolerate],
        "securityContext": {
            "runAsUser": int(uid), "runAsGroup": int(gid or 0), "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        # counts as memory of the pod
        "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}],
    } | ({"imagePullSecrets": [{"name": runner.pull_secret}]} if runner.pull_secret else {})  # fmt: skip
    labels = {OURS: "imagekit", "app.kubernetes.io/name": "imagekit-proof"}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": 0, "ttlSecondsAfterFinished": 3600, "activeDeadlineSeconds": int(timeout + PENDING),
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }  # fmt: skip


def available() -> bool:
    return shutil.which("kubectl") is not None


def is_of(host: str, name: str) -> bool:
    """Whether a report with this host comes from a runner (Cluster.host)."""
    return host.endswith(f" by {name}")


@dataclass
class Cluster:
    """What the proof asks of an engine (proof.runner), for an image in a registry."""

    remote: Remote
    reference: str
    """HOST/REPOSITORY@DIGEST: the very image that is proven."""
    name: str
    """Of the runner."""
    runner: Runner
    say: Callable[[str], None] = lambda _: None
    node: str = ""

    @property
    def host(self) -> str:
        return f"{self.node} by {self.name}" if self.node else self.name

    def image(self, reference: str) -> dict[str, Any] | None:
        return self.remote.image(reference)

    def history(self, image: str) -> list[dict[str, Any]]:
        return self.remote.history(image)

    @contextlib.contextmanager
    def layers(self, image: str) -> Iterator[list[Callable[[], tarfile.TarFile]]]:
        raise UsageError("the layers of an image are read without a cluster", hint="imagekit test registry:IMAGE")
        yield []

    def has_gpu(self) -> bool:
        return self.runner.gpus > 0

    def run(
        self, image: str, command: list[str], *, timeout: float, user: str | None = None,
        environment: dict[str, str] | None = None, entrypoint: list[str] | None = None, memory: str | None = None,
        gpus: str = "", files: Mapping[str, bytes] | None = None, folders: Mapping[str, str] | None = None,
        each: Callable[[str], None] = lambda _: None, keep: bool = False,
    ) -> Result:  # fmt: skip
        """As Engine.run, in a Job that is gone at the end. Raises Surroundings, UsageError for what it cannot bring."""
        if files or folders or entrypoint is not None:
            raise UsageError(
                "a Job has nothing but its image", hint="an image of imagekit, without --model and --foreign"
            )
        name = f"imagekit-proof-{uuid.uuid4().hex[:10]}"
        job = manifest(name, self.reference, command, environment or {}, user or "12345:0", timeout, self.runner)
        self._kubectl(["create", "--validate=false", "-f", "-"], json.dumps(job))  # the server looks, too
        try:
            pod = self._started(name)
            self.node = str(pod["spec"].get("nodeName", ""))
            self.say(f"runs on {self.node}")
            code, out, err = self._followed(name, str(pod["metadata"]["name"]), timeout, each)
            return Result(137 if code is None else code, out, err, timed_out=code is None)
        finally:
            if not keep:
                with contextlib.suppress(Surroundings):
                    self._kubectl(["delete", "job", name, "--ignore-not-found", "--wait=false"])

    def _started(self, job: str) -> dict[str, Any]:
        """The pod of a Job, once it runs or has run."""
        ends, said = time.monotonic() + PENDING, ""
        while True:
            pod = self._pod(job)
            phase, why = _state(pod)
            if phase in ("Running", "Succeeded", "Failed"):
                return pod
            if why and why != said:
                self.say(f"waits: {why}")
                said = why
            if any(why.startswith(word) for word in HOPELESS):
                raise Surroundings(
                    f"the image does not start on {self.name}: {why}", hint="kubectl describe pod says more"
                )
            if time.monotonic() > ends:
                raise Surroundings(
                    f"no node of {self.name} has taken the proof in {PENDING // 60} min: {said or 'no word why'}",
                    hint=f"[runners.{self.name}] selector, tolerate and gpus; is a node of this kind free?",
                )
            time.sleep(LOOK)

    def _pod(self, job: str) -> dict[str, Any]:
        found = json.loads(self._kubectl(["get", "pods", "-l", f"job-name={job}", "-o", "json"]) or "{}")
        rows = found.get("items") or []
        return dict(rows[-1]) if rows else {}

    def _followed(self, job: str, pod: str, timeout: float, each: Callable[[str], None]) -> tuple[int | None, str, str]:
        """(exit code of the program, None where it was late; its lines; what else it printed).

        A log does not tell stdout from stderr. One that breaks off while its pod goes on (load balancers end quiet
        connections) is followed once more, from where it was. Raises Surroundings where the pod is gone.
        """
        ends, seen = time.monotonic() + timeout, 0
        out, err, size = list[str](), "", 0

        def take(line: str) -> None:
            nonlocal err, size
            if _is_row(line) and size < STDOUT:
                out.append(line)
                size += len(line)
                each(line.rstrip("\n"))
            else:
                err = (err + line)[-STDERR:]

        while True:
            rest = ""
            with self._log(pod, ends - time.monotonic()) as (log, said, late):
                for number, line in enumerate(log):
                    if not line.endswith("\n"):
                        rest = line  # its end, or it broke off in the middle of a line
                    elif number >= seen:
                        seen += 1
                        take(line)
                err = (err + said.read())[-STDERR:]  # kubectl's own words: that nobody may read it, or that it broke
            code = None if late.is_set() else self._ended(job)
            if code is not None or late.is_set() or time.monotonic() > ends:
                if rest:
                    take(rest)
                return code, "".join(out), err

    @contextlib.contextmanager
    def _log(self, pod: str, seconds: float) -> Iterator[tuple[IO[str], IO[str], threading.Event]]:
        """A log as it comes, what kubectl says besides, and whether they were cut off after so many seconds."""
        process = subprocess.Popen(
            self._call(["logs", "-f", pod]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", preexec_fn=scratch.die_with_parent,
        )  # fmt: skip
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        alarm = threading.Timer(seconds, stop)
        alarm.daemon = True
        alarm.start()
        assert process.stdout and process.stderr
        try:
            yield process.stdout, process.stderr, late
        finally:
            alarm.cancel()
            process.kill()
            process.wait()

    def _ended(self, job: str) -> int | None:
        """Exit code of the program, None while it runs; a pod is not over at the very moment when its log is.

        Raises Surroundings for a pod that has gone without one.
        """
        for look in range(SETTLES):
            if look:
                time.sleep(LOOK / 4)
            pod = self._pod(job)
            for row in (pod.get("status") or {}).get("containerStatuses") or []:
                over = (row.get("state") or {}).get("terminated")
                if over:
                    return int(over.get("exitCode", 1))
            status = pod.get("status") or {"reason": "it was deleted"}
            if not pod or status.get("phase") == "Failed":
                why = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
                raise Surroundings(
                    f"the pod on {self.node or self.name} did not end: {why or 'nobody says why'}"[:300],
                    hint="evicted, or its node was taken away: ask again",
                )
        return None

    def _call(self, arguments: list[str]) -> list[str]:
        where = [*(["--context", self.runner.context] if self.runner.context else [])]
        return ["kubectl", *where, *(["-n", self.runner.namespace] if self.runner.namespace else []), *arguments]

    def _kubectl(self, arguments: list[str], text: str = "") -> str:
        if not shutil.which("kubectl"):
            raise Surroundings(
                "kubectl, which reaches the cluster, is not installed", hint="and a kubeconfig that it reads"
            )
        try:
            done = subprocess.run(
                self._call(arguments), input=text, capture_output=True, text=True, timeout=CALL, check=False,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Surroundings(f"the cluster of {self.name} does not answer in {CALL} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()][-3:]
            what = f"kubectl could not {arguments[0]} for {self.name}"
            raise Surroundings(what, details=lines, hint="kubectl auth can-i create jobs")
        return done.stdout


def _is_row(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _state(pod: Mapping[str, Any]) -> tuple[str, str]:
    """(phase, why it does not run yet)."""
    status = pod.get("status") or {}
    for row in status.get("containerStatuses") or []:
        waiting = (row.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason"):
            text = f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
            return str(status.get("phase", "")), text[:300]
    for row in status.get("conditions") or []:
        if row.get("type") == "PodScheduled" and row.get("status") == "False":
            return str(status.get("phase", "")), f"{row.get('reason', '')}: {row.get('message', '')}"[:300]
    return str(status.get("phase", "")), ""
