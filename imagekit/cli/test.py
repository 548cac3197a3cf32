from __future__ import annotations

import json

import click

from imagekit.errors import NotProven

STAGES = ("static", "cpu", "deep", "gpu", "multi-gpu")


@click.command("test")
@click.argument("image_or_profile")
@click.option("--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Only this stage; may repeat.")
@click.option("--check", "checks", multiple=True, metavar="NAME", help="Only this check; may repeat.")
@click.option("--gpus", default="auto", metavar="WHICH", help="all, none, auto, or indices: 0,1.  [default: auto]")
@click.option("--on", metavar="RUNNER", default="", help="On a node of [runners.RUNNER] of the site: registry:IMAGE.")
@click.option("--require-gpu", is_flag=True, help="A GPU check that cannot run is a failure.")
@click.option("--keep-going", is_flag=True, help="Run later stages although an earlier one failed.")
@click.option("--fresh", is_flag=True, help="Take nothing over from an earlier proof.")
@click.option("--foreign", is_flag=True, help="The image need not be one of imagekit's; it needs Python and torch.")
@click.option("--keep", is_flag=True, help="Keep the stopped container.")
@click.option("--timeout", type=click.FloatRange(min=0), default=0.0, help="Seconds for all checks.  [default: 900]")
@click.option("--model", metavar="FOLDER", default="", help="Run weights of your own instead: the check own-model.")
@click.option("--clip", metavar="FILE", default="", help="The video for --model.  [default: a generated one]")
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
@click.option("--junit", metavar="FILE", help="Write the report as JUnit XML.")
@click.option("--html", metavar="FILE", help="Write the report as one HTML page.")
@click.option("--overlay", multiple=True, metavar="FILE", help="The overlay of a profile's image; may repeat.")
@click.option("--site", metavar="FILE", help="Site file.")
def command(
    image_or_profile: str, on: str, as_json: bool, junit: str | None, html: str | None, overlay: tuple[str, ...],
    site: str | None, **wish: bool | str | float | tuple[str, ...],
) -> None:  # fmt: skip
    """Prove an image from inside. A name with `:`, `/` or `@` is an image, else a profile.

    `oci:DIR[:TAG]` and `registry:HOST/REPOSITORY:TAG` are proven without an engine, and without a GPU; with --on the
    second on a node of a cluster, with its GPUs.
    """
    from imagekit import remote, report
    from imagekit.cli.output import Lines, write
    from imagekit.proof import page, runner

    say, wanted, image = Lines(), runner.Wish(**wish), image_or_profile  # type: ignore[arg-type]
    if on:
        from imagekit import on_cluster, pipeline

        result = on_cluster.prove(image, on, wanted, pipeline.the_site(site), say)
    elif remote.is_remote(image):
        from imagekit import pipeline, without_engine

        result = without_engine.prove(remote.find(image, pipeline.the_site(site)), wanted, say)
    else:
        from imagekit import target
        from imagekit.engines.docker_api import Engine

        image = target.find(image, site, overlay).reference
        result = runner.prove(Engine(), image, wanted, lambda line: say("~", line))
    for number, line in enumerate(report.summary(result)):
        say("prove" if number == 0 else "", line)
    if result.note:
        say("note", result.note)
    write(junit, report.junit(result))
    write(html, page.of_test(result) if html else "")
    if as_json:
        print(json.dumps(report.as_json(result), indent=1))
    if not result.proven:
        raise NotProven(f"{image} is not proven", details=report.failures(result))
    say("done", f"{image} is proven" if not result.partial else f"{image}: what was asked for passed")
    if not as_json:
        print(result.image)
