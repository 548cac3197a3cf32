from __future__ import annotations

import click


@click.command("sbom")
@click.argument("image", metavar="HOST/REPOSITORY[:TAG|@DIGEST]")
@click.option("--licenses", is_flag=True, help="A table: which packages are under which licence.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
def command(image: str, licenses: bool, site: str | None) -> None:
    """Print what is in an image of a registry, as SPDX 2.3: packages, hashes, licences."""
    import json

    from imagekit import pipeline, remote
    from imagekit.cli.output import plain
    from imagekit.oci import reference as references
    from imagekit.proof import attached
    from imagekit.supply import sbom, verified

    asked = references.parse(image.removeprefix(remote.REGISTRY))
    the_site = pipeline.the_site(site)
    there = remote.repository(asked, the_site)
    digest, _ = attached.names_of(there, asked.digest or asked.tag or "latest")
    document = verified.document(asked, there, digest, the_site)
    if not licenses:
        print(json.dumps(document, indent=1))
        return
    for name, packages in sbom.by_license(document).items():
        print(
            plain(
                f"{len(packages):>4}  {name[:60]:<60}  {', '.join(packages[:4])}{' ...' if len(packages) > 4 else ''}"
            )
        )
