from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("site")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(site: str | None, as_json: bool) -> None:
    """Show what applies and from where; passwords are masked."""
    from imagekit import pipeline

    the_site = pipeline.the_site(site)
    if as_json:
        rows = {"applies": the_site.shown, "ignored": the_site.ignored}
        print(json.dumps({kind: [asdict(row) for row in some] for kind, some in rows.items()}, indent=1))
        return
    for row in the_site.shown:
        print(f"{row.name:<16} {row.value:<52} {row.origin}")
    for row in the_site.ignored:
        print(f"ignored          {row.name + ' ' + row.value:<52} {row.origin}")
