from __future__ import annotations

import json
from typing import Any

import click

from imagekit.cli.options import locking, parse_locking, parse_wishes, wishes


@click.command("build")
@click.argument("profile")
@wishes
@locking
@click.option("--no-test", is_flag=True, help="Do not prove the image.")
@click.option("--gpus", type=click.Choice(["auto", "all", "none"]), default="auto", help="GPUs for the proof.")
@click.option("--require-gpu", is_flag=True, help="A GPU check that cannot run is a failure.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def command(profile: str, no_test: bool, gpus: str, require_gpu: bool, as_json: bool, **options: Any) -> None:
    """Build, prove and tag an image of PROFILE. Prints the image id."""
    from imagekit import assemble, pipeline, report
    from imagekit.cli.output import Lines
    from imagekit.engines.docker_api import Engine

    say = Lines()
    wished, locks, site = parse_wishes(options), parse_locking(options), pipeline.the_site(options.pop("site"))
    the_profile, resolution = pipeline.resolved(profile, wished, site, say, upgrade=locks.upgrade)
    engine = Engine()
    lock, _ = pipeline.locked(the_profile, resolution, site, say, locks)
    done = assemble.assemble(
        the_profile, lock, site, engine, say, prove=not no_test, gpus=gpus, require_gpu=require_gpu
    )
    took = int(done.seconds)
    say("done", f"{done.size / 1e9:.1f} GB{'':<52} {took // 60}:{took % 60:02}")
    say("", f"try it: docker run --rm -it {'--gpus all ' if engine.has_gpu() else ''}{done.names.moving[0]}")
    if as_json:
        result = {"image": done.image, "tags": [*done.names.moving, done.names.immutable], "size": done.size}
        proof = report.as_json(done.report) if done.report else None
        print(json.dumps({**result, "record": done.record.model_dump(), "proof": proof}, indent=1))
    else:
        print(done.image)
