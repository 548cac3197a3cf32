"""A mirror of a distribution's archive, while building only.

The base's own sources are read, not changed: a step that installs packages gets a copy with other addresses, in memory.
Which address is the archive's is seen by its path (/debian, /ubuntu, /debian-security), so that a private source in the
same list stays as it is.
"""

from __future__ import annotations

from imagekit.site.model import Apt

CA = "/dev/ca"
"""Where a build step finds the CA bundle for apt."""

_SCRIPT = """\
# Sourced by the steps that install distribution packages. Everything here is in memory and ends with the step.
mkdir -p /dev/shm/apt/parts
: >/dev/shm/apt/sources.list
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    if [ -f "$file" ]; then
        copy="parts/${{file##*/}}"
        if [ "$file" = /etc/apt/sources.list ]; then copy=sources.list; fi
        sed -E {program} "$file" >"/dev/shm/apt/$copy"
    fi
done
cat >/dev/shm/apt/apt.conf <<'END'
{options}
END
export APT_CONFIG=/dev/shm/apt/apt.conf
"""


def program(apt: Apt) -> str:
    """Arguments of sed -E, quoted for a shell, that turn lines of sources to the mirror."""
    security = apt.security or f"{apt.mirror.rstrip('/')}-security"
    start, end = "(^|[[:space:]])[a-z]+://[^/[:space:]]+/", "/?([[:space:]]|$)"
    rules = [
        f"s#{start}(debian)-security{end}#\\1{_to(security)}\\3#g",
        f"s#{start}(debian|ubuntu){end}#\\1{_to(apt.mirror)}\\3#g",
    ]
    # twice: two addresses in one line share the space between them
    return f"-e '{rules[0]}' -e t -e '{rules[1]}' -e '{rules[1]}'"


def _to(url: str) -> str:
    return url.rstrip("/").replace("{distribution}", r"\2")


def script(apt: Apt, ca: bool) -> str:
    options = ['Dir::Etc::sourcelist "/dev/shm/apt/sources.list";', 'Dir::Etc::sourceparts "/dev/shm/apt/parts";']
    options += [f'Acquire::https::CaInfo "{CA}";'] if ca and apt.mirror.startswith("https") else []
    return _SCRIPT.format(program=program(apt), options="\n".join(options))
