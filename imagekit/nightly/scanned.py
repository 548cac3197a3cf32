"""What is known against the packages of an image, by tonight: advisories appear when nothing else has moved."""

from __future__ import annotations

from pathlib import Path

from imagekit import remote
from imagekit.errors import Error, UsageError
from imagekit.nightly.before import Before
from imagekit.site import Site
from imagekit.supply import allowed, scan
from imagekit.supply.scan import Scan


def scanned(image: Before, site: Site) -> Scan | str:
    """Or why it could not be looked at, which holds it back as well."""
    try:
        return scan.scan(image.place, remote.repository(image.place, site), image.digest, site, site.settings.scan)
    except Error as error:
        return f"it could not be scanned: {error.message}"


def trouble(site: Site) -> str:
    """What will keep every image from being scanned, before hours of work; empty when nothing does."""
    if not scan.available():
        return "trivy is not installed; without `scan: true` nothing is scanned"
    try:
        _ = allowed.read(Path(site.settings.scan.allow)) if site.settings.scan.allow else ()
    except UsageError as error:
        return "; ".join([error.message, *error.details])
    return ""
