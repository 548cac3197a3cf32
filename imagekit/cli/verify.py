from __future__ import annotations

import click


@click.command("verify")
@click.argument("image", metavar="HOST/REPOSITORY[:TAG|@DIGEST]")
@click.option("--key", metavar="KEY", default="", help="The public key of its signature; default: [sign] public.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(image: str, key: str, site: str | None, as_json: bool) -> None:
    """Compare an image of a registry with what is said of it: bytes, name, record, SBOM, provenance, proof, signature.

    Exit code 5 when something is wrong. Prints HOST/REPOSITORY@DIGEST.
    """
    import json
    from dataclasses import asdict

    from imagekit import pipeline
    from imagekit.cli.output import Lines
    from imagekit.errors import NotProven
    from imagekit.supply import verified

    reference, found = verified.verify(image, key, pipeline.the_site(site))
    say = Lines()
    for one in found:
        say(one.status, f"{one.what:<10} {one.text}")
    print(json.dumps([asdict(one) for one in found], indent=1) if as_json else reference)
    bad = [f"{one.what}: {one.text}" for one in found if one.status == verified.FAIL]
    if bad:
        raise NotProven(f"{reference} is not what it is said to be", details=bad)
