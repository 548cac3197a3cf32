from __future__ import annotations

import json
from typing import Any

import click

from imagekit.cli.options import locking, parse_locking, parse_wishes, wishes


@click.command("plan")
@click.argument("profile")
@wishes
@locking
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(profile: str, as_json: bool, **options: Any) -> None:
    """Show the units of an image of PROFILE: group, size of the wheel, key."""
    from dataclasses import asdict

    from imagekit import locking, pipeline
    from imagekit.cli.output import Lines

    say = Lines()
    wished, locks, site = parse_wishes(options), parse_locking(options), pipeline.the_site(options.pop("site"))
    the_profile, resolution = pipeline.resolved(profile, wished, site, say, upgrade=locks.upgrade)
    lock, _ = locking.locked(the_profile, resolution, site, say, locks)
    plan = pipeline.rendered(the_profile, lock).plan
    if as_json:
        print(json.dumps({"key": plan.key, "size": plan.size, "units": [asdict(u) for u in plan.units]}, indent=1))
        return
    for unit in plan.units:
        size = f"{unit.size / 1e6:9.1f} MB" if unit.size else " " * 12
        print(f"{unit.group:<7} {unit.name:<42} {size}  {unit.key[:12]}")
    print(f"{'total':<7} {len(plan.units):>3} units {plan.size / 1e6:>42.1f} MB  {plan.key[:12]}")
