"""Namespaces, by unshare(1): with users of one's own, whoever is not root makes and runs the files of other users."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from imagekit.errors import Surroundings

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@cache
def root() -> tuple[str, ...]:
    """What a command begins with to be root of namespaces, whose options follow; of users of its own, from /etc/subuid,
    where it is not root already.

    Raises Surroundings where that cannot be.
    """
    own = () if os.getuid() == 0 else ("--map-root-user", "--map-auto")
    call = ("unshare", *own)
    if shutil.which("unshare", path=PATH) is None:
        raise Surroundings("unshare, of util-linux, is not installed", hint="apt-get install util-linux")
    done = subprocess.run(
        [*call, "--mount", "true"], capture_output=True, text=True, check=False, env={"PATH": PATH, "LC_ALL": "C.UTF-8"}
    )
    if done.returncode and not own:
        raise Surroundings(
            "this root may make no namespaces", details=done.stderr.strip().splitlines()[-3:],
            hint="a container must be allowed to mount: docker run --privileged, or --cap-add SYS_ADMIN "
            "--security-opt apparmor=unconfined",
        )  # fmt: skip
    if done.returncode:
        raise Surroundings(
            "this user cannot have users of its own", details=done.stderr.strip().splitlines()[-3:],
            hint="apt-get install uidmap, a range for this user in /etc/subuid and /etc/subgid, and user namespaces",
        )  # fmt: skip
    return call
