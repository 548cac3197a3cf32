"""Users of one's own, by unshare(1): what whoever is not root needs to make and to run the files of other users."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

from imagekit.errors import Surroundings

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@cache
def root() -> tuple[str, ...]:
    """What a command begins with to be root of users of its own, from /etc/subuid; nothing for root.

    Raises Surroundings where that cannot be.
    """
    if os.getuid() == 0:
        return ()
    call = ("unshare", "--map-root-user", "--map-auto")
    if shutil.which("unshare", path=PATH) is None:
        raise Surroundings("unshare, of util-linux, is not installed", hint="apt-get install util-linux")
    done = subprocess.run(
        [*call, "--mount", "true"], capture_output=True, text=True, check=False, env={"PATH": PATH, "LC_ALL": "C.UTF-8"}
    )
    if done.returncode:
        raise Surroundings(
            "this user cannot have users of its own", details=done.stderr.strip().splitlines()[-3:],
            hint="apt-get install uidmap, a range for this user in /etc/subuid and /etc/subgid, and user namespaces",
        )  # fmt: skip
    return call
