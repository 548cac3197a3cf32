from __future__ import annotations

import json

import click


@click.command("inspect")
@click.argument("image_or_profile")
@click.option("--remote", is_flag=True, help="The name is one in a registry: as with registry: before it.")
@click.option("--packages", is_flag=True, help="Every Python and distribution package with its version.")
@click.option("--layers", is_flag=True, help="Every layer with its size.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON on stdout.")
@click.option("--overlay", multiple=True, metavar="FILE", help="The overlay of a profile's image; may repeat.")
@click.option("--site", metavar="FILE", help="Site file.")
def command(
    image_or_profile: str, remote: bool, packages: bool, layers: bool, as_json: bool, overlay: tuple[str, ...],
    site: str | None,
) -> None:  # fmt: skip
    """Tell what an image is, without starting it. A name with `:`, `/` or `@` is an image, else a profile.

    `registry:HOST/REPOSITORY:TAG` is asked of its registry and not pulled, `oci:DIR[:TAG]` is in an OCI layout; their
    sizes are compressed.
    """
    from imagekit import inspection
    from imagekit import remote as remotes

    name = image_or_profile
    if remote and not remotes.is_remote(name):
        name = f"{remotes.REGISTRY}{name}"
    if remotes.is_remote(name):
        from imagekit import pipeline

        found = inspection.inspect(remotes.find(name, pipeline.the_site(site)), name)
    else:
        from imagekit import target
        from imagekit.engines.docker_api import Engine

        found = inspection.inspect(Engine(), target.find(name, site, overlay).reference)
    if as_json:
        print(json.dumps(inspection.as_json(found), indent=1))
        return
    wanted = [inspection.package_lines] * packages + [inspection.layer_lines] * layers
    for part in wanted or [inspection.lines]:
        print("\n".join(part(found)))
