from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("requirements", required=False)
@click.option("--extends", default="base", show_default=True, metavar="PROFILE", help="The profile to start from.")
@click.option("--from", "image", metavar="IMAGE", help="Write a Dockerfile on top of an image of imagekit instead.")
@click.option("-o", "--output", metavar="FILE", help="Default: imagekit.yaml; with --from Dockerfile.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(requirements: str | None, extends: str, image: str | None, output: str | None, force: bool) -> None:
    """Write a first profile, from REQUIREMENTS or from nothing; or, --from IMAGE, a Dockerfile. Prints its path."""
    from imagekit import starter
    from imagekit.cli.output import Lines

    say = Lines()
    path = Path(output or ("Dockerfile" if image else "imagekit.yaml"))
    source = Path(requirements) if requirements else None
    if source is None and (path.parent / "requirements.txt").is_file():
        source = path.parent / "requirements.txt"
        say("init", f"{source} is here and was taken")
    if image:
        from imagekit.engines.docker_api import Engine

        started = starter.on_top(Engine(), image, source, path)
    elif source:
        started = starter.from_requirements(source, extends, str(path))
    else:
        started = starter.from_nothing(extends, str(path))
    starter.write(started.text, path, force, check=(lambda _: None) if image else starter.loads)
    for line in started.said:
        say("", line)
    say("done", f"{path} is written")
    say("", "build it: see its head" if image else f"next: imagekit plan {starter.called(str(path))}")
    print(path)
