from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("site")
@click.option("--site", metavar="FILE", help="Site file, above all others; default: imagekit.toml here and the user's.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(site: str | None, as_json: bool) -> None:
    """Show every setting, where it comes from, and what was ignored; logins are masked."""
    from imagekit import pipeline

    the_site = pipeline.the_site(site)
    if as_json:
        rows = {"applies": the_site.shown, "ignored": the_site.ignored}
        print(json.dumps({kind: [asdict(row) for row in some] for kind, some in rows.items()}, indent=1))
        return
    for row in the_site.shown:
        print(f"{row.name:<22} {row.value:<46} {row.origin}{f'  ({row.why})' if row.why else ''}")
    for row in the_site.ignored:
        print(
            f"ignored                {row.name + ' ' + row.value:<46} {row.origin}{f'  ({row.why})' if row.why else ''}"
        )
