"""What a name on the command line means: an image, or a profile and with it the image that has the profile's tag."""

from __future__ import annotations

from dataclasses import dataclass

from imagekit import locking, pipeline, tag
from imagekit.errors import UsageError
from imagekit.lock.model import read
from imagekit.profile import Wishes


@dataclass(frozen=True)
class Target:
    reference: str
    taken_as: str
    """For people: which of the two was taken."""
    profile: str = ""
    """The name as it was given; empty for an image."""


def is_path(name: str) -> bool:
    """Whether the name is one of a file or folder: no reference of an image begins with . or / or ends in .yaml."""
    return name.startswith((".", "/", "~")) or name.endswith((".yaml", ".yml"))


def find(name: str, site: str | None, overlays: tuple[str, ...] = ()) -> Target:
    """A name with `:`, `/` or `@` is an image, unless it is written as a path; anything else is a profile.

    `overlays`: the overlays that the profile's image was built with, files.

    Raises UsageError for a profile that does not exist, or that was never locked and so cannot have been built.
    """
    if not is_path(name) and any(letter in name for letter in ":/@"):
        return Target(name, f"{name}, taken as an image")
    the_site = pipeline.the_site(site)
    try:
        profile, resolution = pipeline.resolved(name, Wishes(overlays=overlays), the_site, lambda *_: None)
    except UsageError as error:
        if error.message == f"there is no profile {name!r}":
            raise UsageError(error.message, hint=f"{error.hint}; an image is named with its tag: {name}:TAG") from None
        raise
    path = locking.path_of(profile, resolution)
    if not path.is_file():
        raise UsageError(f"{name} was taken as a profile, and it has no lock", hint=f"imagekit build {name}")
    found = tag.of_profile(read(path).resolution, the_site.settings.tags)
    return Target(found, f"{found}, the tag of profile {profile.name}", name)
