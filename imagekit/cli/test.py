from __future__ import annotations

import json
from pathlib import Path

import click

from imagekit.errors import NotProven, Surroundings, UsageError


@click.command("test")
@click.argument("image_or_profile")
@click.option("--gpus", type=click.Choice(["auto", "all", "none"]), default="auto", help="GPUs for the container.")
@click.option("--require-gpu", is_flag=True, help="A GPU check that cannot run is a failure.")
@click.option("--check", multiple=True, metavar="NAME", help="Only this check; may repeat.")
@click.option("--keep-going", is_flag=True, help="Run later stages although an earlier one failed.")
@click.option("--timeout", type=float, default=900, show_default=True, help="Seconds for all checks.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
@click.option("--junit", metavar="FILE", help="Write the report as JUnit XML.")
@click.option("--site", metavar="FILE", help="Site file.")
def command(
    image_or_profile: str, gpus: str, require_gpu: bool, check: tuple[str, ...], keep_going: bool, timeout: float,
    as_json: bool, junit: str | None, site: str | None,
) -> None:  # fmt: skip
    """Prove an image from inside. A name with `:`, `/` or `@` is an image, else a profile."""
    from imagekit import report
    from imagekit.cli.output import Lines
    from imagekit.engines.docker_api import Engine
    from imagekit.smoke import runner

    say = Lines()
    engine = Engine()
    image = _image(image_or_profile, site)
    result = runner.prove(
        engine, image, gpus=gpus, require_gpu=require_gpu, checks=check, keep_going=keep_going, timeout=timeout
    )
    for number, line in enumerate(report.summary(result)):
        say("prove" if number == 0 else "", line)
    if junit:
        try:
            Path(junit).write_text(report.junit(result), encoding="utf-8")
        except OSError as error:
            raise Surroundings(f"{junit} cannot be written: {error.strerror}") from None
    if as_json:
        print(json.dumps(report.as_json(result), indent=1))
    if not result.proven:
        raise NotProven(f"{image} is not proven", details=report.failures(result))
    say("done", f"{image} is proven")
    if not as_json:
        print(result.image)


def _image(name: str, site: str | None) -> str:
    if any(letter in name for letter in ":/@"):
        return name
    from imagekit import pipeline, tag
    from imagekit.profile import Wishes

    the_site = pipeline.the_site(site)
    profile, resolution = pipeline.resolved(name, Wishes(), the_site, lambda *_: None)
    path = pipeline.lock_path(profile, resolution)
    if not path.is_file():
        raise UsageError(f"{name} was taken as a profile, and it has no lock", hint=f"imagekit build {name}")
    from imagekit.lock.model import read

    return tag.names(read(path), the_site.settings.tags, "0" * 64, "0" * 8).profile
