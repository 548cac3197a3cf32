from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("profiles")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
def command(as_json: bool, site: str | None) -> None:
    """What can I build: torch, CUDA, Python, size of the image (or of its wheels), last proof on this machine."""
    from imagekit import menu, pipeline
    from imagekit.engines.sizes import image_size

    entries = menu.menu(pipeline.the_site(site), image_size())
    if as_json:
        print(json.dumps([asdict(entry) for entry in entries], indent=1))
        return
    for entry in entries:
        print(menu.line(entry))
