from __future__ import annotations

from pathlib import Path

import click


@click.command("init")
@click.argument("requirements", required=False)
@click.option("--extends", default="base", show_default=True, metavar="PROFILE", help="The profile to start from.")
@click.option("--from", "image", metavar="IMAGE", help="Write a Dockerfile on top of an image of imagekit instead.")
@click.option("-o", "--output", metavar="FILE", help="Default: imagekit.yaml; with --from Dockerfile.")
@click.option("--github", is_flag=True, help="init ci: a workflow of GitHub Actions.")
@click.option("--gitlab", is_flag=True, help="init ci: a pipeline of GitLab.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def command(
    requirements: str | None, extends: str, image: str | None, output: str | None, github: bool, gitlab: bool,
    force: bool,
) -> None:  # fmt: skip
    """Write a first profile, from REQUIREMENTS or from nothing; or, --from IMAGE, a Dockerfile. Prints its path.

    `imagekit init ci --github` or `--gitlab` writes what builds the images of pipeline.yaml every night.
    """
    from imagekit import starter
    from imagekit.cli.output import Lines
    from imagekit.errors import UsageError

    say = Lines()
    if requirements == "ci" or github or gitlab:
        if requirements != "ci" or github == gitlab or image:
            raise UsageError("imagekit init ci takes --github or --gitlab", hint="one of the two, and no image")
        path = Path(output or starter.CI["github" if github else "gitlab"])
        if not output:
            path.parent.mkdir(parents=True, exist_ok=True)
        starter.write(starter.for_ci("github" if github else "gitlab"), path, force, check=lambda _: None)
        say("done", f"{path} is written")
        say("", "what is to be set in the repository is said in its head")
        print(path)
        return
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
