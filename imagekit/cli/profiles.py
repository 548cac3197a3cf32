from __future__ import annotations

import click


@click.command("profiles")
def command() -> None:
    """List the built-in profiles: torch, CUDA, Python, what for."""
    from imagekit import profile

    for name in profile.names():
        entry = profile.load(name)
        print(f"{name:<14} torch {entry.torch:<8} CUDA {entry.cuda:<6} Python {entry.python:<6} {entry.about}")
