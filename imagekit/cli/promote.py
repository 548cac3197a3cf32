from __future__ import annotations

import click


@click.command("promote")
@click.argument("image", metavar="HOST/REPOSITORY@DIGEST")
@click.option("--to", required=True, metavar="NAME", help="prod, or another [promote.NAME] of the site.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(image: str, to: str, site: str | None, as_json: bool) -> None:
    """Copy an image into another repository, when its proof is what the site's [promote.NAME] asks for.

    Nothing is built again. Exit code 5, with all that is missing, when it is not. Prints HOST/REPOSITORY@DIGEST.
    """
    from imagekit import pipeline, promote, remote
    from imagekit.cli.output import Lines, names

    done = promote.promote(image.removeprefix(remote.REGISTRY), to, pipeline.the_site(site), Lines())
    names(done, as_json)
