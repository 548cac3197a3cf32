from __future__ import annotations

from typing import Any

import click

from imagekit.cli.options import locking, parse_locking, parse_wishes, wishes


@click.command("lock")
@click.argument("profile")
@wishes
@locking
def command(profile: str, **options: Any) -> None:
    """Pin every version of PROFILE. Prints the path of the lock."""
    from imagekit import locking, pipeline
    from imagekit.cli.output import Lines

    say = Lines()
    wished, locks, site = parse_wishes(options), parse_locking(options), pipeline.the_site(options.pop("site"))
    the_profile, resolution = pipeline.resolved(profile, wished, site, say, upgrade=locks.upgrade)
    _, path = locking.locked(the_profile, resolution, site, say, locks)
    print(path)
