from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from imagekit.cli.options import engine_option, locking, parse_locking, parse_wishes, pyc_option, wishes


@click.command("render")
@click.argument("profile")
@wishes
@locking
@engine_option
@pyc_option
@click.option("-o", "--output", metavar="DIR", help="Write the whole context there; without it, only the Dockerfile.")
def command(profile: str, output: str | None, **options: Any) -> None:
    """Write a Dockerfile of PROFILE that builds without imagekit."""
    from imagekit import locking, pipeline
    from imagekit.cli.output import Lines

    say = Lines(quiet=output is None)
    pyc = not options.pop("no_pyc")
    dialect = "classic" if options.pop("engine") == "classic" else "buildkit"
    wished, locks, site = parse_wishes(options), parse_locking(options), pipeline.the_site(options.pop("site"))
    the_profile, resolution = pipeline.resolved(profile, wished, site, say, upgrade=locks.upgrade)
    lock, _ = locking.locked(the_profile, resolution, site, say, locks)
    context = pipeline.rendered(the_profile, lock, dialect=dialect, pyc=pyc)
    if output is None:
        print(context.dockerfile, end="")
        return
    pipeline.write_context(context, Path(output), lock, site, say)
    say("render", f"{output}: Dockerfile and {len(context.files) + len(context.wheels)} files")
    ways = {"buildkit": "(behind a private CA: --secret id=ca,src=BUNDLE)", "classic": "(with or without BuildKit)"}
    say("", f"build it: docker build {output}   {ways[dialect]}")
    print(output)
