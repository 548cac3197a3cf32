from __future__ import annotations

from typing import Any

import click

from imagekit.cli.run import container_options, start


@click.command("shell")
@click.argument("image_or_profile")
@container_options
def command(image_or_profile: str, only_print: bool, **options: Any) -> None:
    """Open a shell in an image. A name with `:`, `/` or `@` is an image, else a profile."""
    from imagekit.running import SHELL

    start(image_or_profile, SHELL, only_print, options)
