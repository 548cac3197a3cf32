"""A base that only the engine has, as a folder that BuildKit takes in place of the image (a named context)."""

from __future__ import annotations

from pathlib import Path

from imagekit.compose import bases
from imagekit.locking import Say
from imagekit.oci import image, layout, tar
from imagekit.oci.image import Configuration
from imagekit.oci.kept import kept
from imagekit.resolution import Base
from imagekit.site import Site


def contexts(base: Base, reference: str, folder: Path, site: Site, say: Say) -> dict[str, str]:
    """Reference -> oci-layout://FOLDER@DIGEST; nothing for a base that a registry has. Raises Surroundings."""
    if base.kind == "image" and base.digest:
        return {}
    with kept().in_use():
        below = bases.of_image(Base(kind="image", name=reference), site, kept(), say)
        made = image.make(below.layers, Configuration(env=below.env, labels=below.labels, more=below.more), tar.EPOCH)
        layout.write(made, folder, ["base"])
    return {reference: f"oci-layout://{folder}@{made.digest}"}
