from __future__ import annotations

import json

import click


@click.command("inspect")
@click.argument("image_or_profile")
@click.option("--remote", is_flag=True, help="An image in a registry, which is not pulled.")
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

    With --remote it is asked of its registry and not pulled; sizes are compressed then.
    """
    from imagekit import inspection

    if remote:
        from imagekit import pipeline
        from imagekit.oci import reference
        from imagekit.remote import Remote

        name = reference.parse(image_or_profile)
        found = inspection.inspect(Remote(name, pipeline.the_site(site)), image_or_profile)
    else:
        from imagekit import target
        from imagekit.engines.docker_api import Engine

        found = inspection.inspect(Engine(), target.find(image_or_profile, site, overlay).reference)
    if as_json:
        print(json.dumps(inspection.as_json(found), indent=1))
        return
    wanted = [inspection.package_lines] * packages + [inspection.layer_lines] * layers
    for part in wanted or [inspection.lines]:
        print("\n".join(part(found)))
