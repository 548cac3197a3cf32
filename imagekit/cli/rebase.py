from __future__ import annotations

import json

import click


@click.command("rebase")
@click.argument("image")
@click.option("--base", metavar="BASE", default="", help="distro:SUITE or image:REFERENCE.  [default: its own]")
@click.option("--output", multiple=True, metavar="WHERE", help="As of build; may repeat.  [default: where it is]")
@click.option("--no-test", is_flag=True, help="Do not prove the image.")
@click.option("--fresh", is_flag=True, help="The proof takes nothing over from an earlier one.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
@click.option("--site", metavar="FILE", help="Site file.")
def command(
    image: str, base: str, output: tuple[str, ...], no_test: bool, fresh: bool, as_json: bool, site: str | None
) -> None:
    """Put the newest distribution packages, or a newer base image, under an image; its wheels stay as they are.

    IMAGE is registry:HOST/REPOSITORY:TAG or oci:DIR[:TAG], composed by `build --engine compose`. Prints its name.
    """
    from imagekit import amounts, pipeline, rebased, remote, report
    from imagekit.cli.output import Lines
    from imagekit.compose import outputs
    from imagekit.errors import UsageError
    from imagekit.proof import runner

    if not remote.is_remote(image):
        raise UsageError(
            f"{image!r} is no image of a registry or layout", hint="registry:HOST/REPOSITORY:TAG or oci:DIR[:TAG]"
        )
    say, places, the_site = Lines(), [outputs.parse(one) for one in output], pipeline.the_site(site)
    wish = runner.Wish(gpus="none", fresh=fresh)
    there = remote.find(image, the_site)
    done = rebased.rebase(there, base, the_site, places, say, prove=not no_test, wish=wish)
    say("done", f"{amounts.size(done.image.size):<58} {amounts.clock(done.seconds)}")
    if as_json:
        proof = report.as_json(done.report) if done.report else None
        told = {"image": done.image.id, "digest": done.image.digest, "changed": done.changed, "tags": done.tags}
        print(json.dumps({**told, "drift": done.drift, "proof": proof}, indent=1))
    else:
        print(done.reference)
