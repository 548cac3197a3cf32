from __future__ import annotations

import click


@click.command("rollback")
@click.argument("name", metavar="NAME")
@click.option(
    "--tag",
    "tags",
    multiple=True,
    metavar="TAG",
    help="Which name goes back; may repeat. Default: all that the last promotion moved.",
)
@click.option(
    "--to", "digest", metavar="DIGEST", default="", help="Which image; default: the one before, that has its proof."
)
@click.option("--repository", metavar="REPOSITORY", default="", help="Default: tags.repository of the site.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(name: str, tags: tuple[str, ...], digest: str, repository: str, site: str | None, as_json: bool) -> None:
    """Put names of NAME (prod, or another [promote.NAME]) back to the image before. Prints HOST/REPOSITORY@DIGEST.

    One that was taken back before is passed over, and so is one without its proof.
    """
    from imagekit import pipeline, promote
    from imagekit.cli.output import Lines, names

    the_site = pipeline.the_site(site)
    done = promote.rollback(name, repository or the_site.settings.tags.repository, tags, digest, the_site, Lines())
    names(done, as_json)
