from __future__ import annotations

import json

import click


@click.command("schema")
@click.argument("kind", type=click.Choice(["profile", "overlay", "site"]), default="profile")
def command(kind: str) -> None:
    """Print the JSON Schema of a profile, an overlay or a site file, for an editor."""
    from imagekit.schema import schema

    print(json.dumps(schema(kind), indent=1))
