from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.group("registry")
def command() -> None:
    """What a registry holds of a team's images."""


@command.command("prune")
@click.argument("repository", metavar="[HOST/REPOSITORY]", default="")
@click.option("--keep", type=click.IntRange(1), default=10, show_default=True, metavar="N", help="Of each profile tag.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def prune(repository: str, keep: int, dry_run: bool, site: str | None, as_json: bool) -> None:
    """Remove old images: those of which N newer ones have the same profile tag.

    What a moving name leads to stays, and so does what was promoted. Default: registry.push of the site.
    """
    from imagekit import pipeline, retention
    from imagekit.cli.output import Lines, plain

    place, found = retention.prune(repository, keep, pipeline.the_site(site), dry=dry_run)
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        for one in found:
            print(plain(f"{one.digest}  {' '.join(one.tags)}"))
    Lines()("prune", f"{place}: {len(found)} images {'would go' if dry_run else 'removed'}")
