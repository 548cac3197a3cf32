from __future__ import annotations

import json
from typing import Any

import click

from imagekit.cli.options import parse_wishes, wishes


@click.command("explain")
@click.argument("profile")
@wishes
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(profile: str, as_json: bool, **options: Any) -> None:
    """Why an image of PROFILE is what it is: every version, who asked for it, and the rule and fact behind it.

    Nothing is locked or built; packages that nobody named are known where there is a lock.
    """
    from imagekit import explain, locking, pipeline
    from imagekit.compat import facts
    from imagekit.lock.model import read, stale

    wished, site = parse_wishes(options), pipeline.the_site(options.pop("site"))
    the_profile, resolution = pipeline.resolved(profile, wished, site, lambda *_: None)
    path, known = locking.path_of(the_profile, resolution), facts.load()
    lock = read(path) if path.is_file() else None
    lock = None if lock and stale(lock, resolution) else lock
    tree = explain.tree(resolution, lock, known, pipeline.fleet(site))
    print(json.dumps(explain.as_json(tree), indent=1) if as_json else "\n".join(explain.lines(tree)))
