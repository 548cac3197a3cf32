"""A base image out of distribution packages: no registry, no trace of the machine that made it."""

from __future__ import annotations

from collections.abc import Callable

from imagekit import bootstrap as bootstraps
from imagekit import contract, scratch
from imagekit.engines.docker_api import Engine
from imagekit.errors import Surroundings
from imagekit.files import sha256
from imagekit.site import Site

REPOSITORY = "imagekit/base"


def find(engine: Engine, suite: str) -> str:
    """The reference of the base of a suite, by content; empty when there is none yet."""
    image = engine.image(f"{REPOSITORY}:{suite}")
    if image is None:
        return ""
    named = [tag for tag in image["RepoTags"] if tag.startswith(f"{REPOSITORY}:{suite}-")]
    return named[0] if named else f"{REPOSITORY}:{suite}"


def bootstrap(engine: Engine, suite: str, packages: tuple[str, ...], say: Callable[[str], None], site: Site) -> str:
    """Make imagekit/base:<suite>-<12 hex of the tar> and point imagekit/base:<suite> at it; its reference.

    About 20 s. Raises Surroundings when mmdebstrap is missing or fails.
    """
    if not bootstraps.available():
        raise Surroundings(
            f"there is no {REPOSITORY}:{suite} yet, and mmdebstrap, which makes it, is not installed",
            hint="apt-get install mmdebstrap, or name an image: --base image:debian:bookworm",
        )
    say(f"making {REPOSITORY}:{suite} from distribution packages (once, about 20 s)")
    with scratch.folder("base") as folder:
        tar = folder / "base.tar"
        bootstraps.make(suite, packages, tar, site)
        tag = f"{suite}-{sha256(tar)[:12]}"
        if engine.image(f"{REPOSITORY}:{tag}") is None:
            engine.import_tar(tar, REPOSITORY, tag, [f"LABEL {contract.BASE}={suite}", 'CMD ["/bin/sh"]'])
    engine.tag(f"{REPOSITORY}:{tag}", f"{REPOSITORY}:{suite}")
    return f"{REPOSITORY}:{tag}"
