"""The package indexes of the site, asked as a build asks them: with its CA, its proxy and its logins."""

from __future__ import annotations

from collections.abc import Iterator

from imagekit.compat import facts
from imagekit.doctor.check import Finding
from imagekit.doctor.host import Host

COMMON = "six"
"""A package of every copy of PyPI, with a small page."""


def check(host: Host) -> Iterator[Finding]:
    names = dict.fromkeys(("pypi", "pytorch", *host.site.settings.indexes))
    variant = facts.load().releases[-1].pypi_variant.name
    for name in names:
        package = {"pypi": COMMON, "pytorch": "torch"}.get(name) or _named(host, name)
        yield _index(host, name, package, variant)


def _named(host: Host, name: str) -> str:
    """A package that the site says is there; empty where it has patterns only."""
    only = host.site.settings.indexes[name].only
    return next((pattern for pattern in only if not any(c in pattern for c in "*?[")), "")


def _index(host: Host, name: str, package: str, variant: str) -> Finding:
    error = host.index(name, package, variant)
    ca = next((row.origin for row in host.site.shown if row.name == "tls.ca"), "")
    figures: dict[str, object] = {"index": name, "ca": host.site.ca}
    if error is None:
        trust = f"CA bundle of {ca}" if ca else "the CAs that come with Python's packages"
        return Finding("index", "OK", f"{name} answers; {trust}", "", figures)
    said = error.message if f"index {name}" in error.message else f"{name}: {error.message}"
    if name == "pytorch":  # most profiles do without
        said += f", asked for {variant}; only torch builds that PyPI does not have come from it"
    return Finding("index", "WARN" if name == "pytorch" else "FAIL", said, error.hint, figures)
