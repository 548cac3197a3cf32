from __future__ import annotations

import json
from pathlib import Path

import click

from imagekit.errors import NotProven, Surroundings


@click.command("test")
@click.argument("image_or_profile")
@click.option("--gpus", type=click.Choice(["auto", "all", "none"]), default="auto", help="GPUs for the container.")
@click.option("--require-gpu", is_flag=True, help="A GPU check that cannot run is a failure.")
@click.option("--check", multiple=True, metavar="NAME", help="Only this check; may repeat.")
@click.option("--keep-going", is_flag=True, help="Run later stages although an earlier one failed.")
@click.option("--timeout", type=float, default=900, show_default=True, help="Seconds for all checks.")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
@click.option("--junit", metavar="FILE", help="Write the report as JUnit XML.")
@click.option("--overlay", multiple=True, metavar="FILE", help="The overlay of a profile's image; may repeat.")
@click.option("--site", metavar="FILE", help="Site file.")
def command(
    image_or_profile: str, gpus: str, require_gpu: bool, check: tuple[str, ...], keep_going: bool, timeout: float,
    as_json: bool, junit: str | None, overlay: tuple[str, ...], site: str | None,
) -> None:  # fmt: skip
    """Prove an image from inside. A name with `:`, `/` or `@` is an image, else a profile."""
    from imagekit import report, target
    from imagekit.cli.output import Lines
    from imagekit.engines.docker_api import Engine
    from imagekit.smoke import runner

    say = Lines()
    engine = Engine()
    image = target.find(image_or_profile, site, overlay).reference
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
