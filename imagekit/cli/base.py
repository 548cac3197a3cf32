from __future__ import annotations

import click


@click.group("base")
def command() -> None:
    """Make a base image from distribution packages."""


@command.command("bootstrap")
@click.option("--suite", default="bookworm", show_default=True, help="Debian or Ubuntu suite.")
@click.option("--site", metavar="FILE", help="Site file; its apt mirror and proxies are used, and not kept.")
def bootstrap(suite: str, site: str | None) -> None:
    """Make imagekit/base:SUITE with mmdebstrap; no registry is asked. Prints its reference."""
    from imagekit import base, pipeline
    from imagekit.cli.output import Lines
    from imagekit.compat.bases import base_packages, known_suite
    from imagekit.engines.docker_api import Engine

    say, the_site = Lines(), pipeline.the_site(site)
    known_suite(suite)
    reference = base.bootstrap(Engine(), suite, base_packages(suite), lambda text: say("base", text), the_site)
    print(reference)
