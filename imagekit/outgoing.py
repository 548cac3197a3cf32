"""An image that was proven, out of an engine or a layout into a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from imagekit import amounts, contract, papers, publish, pulled, record, remote, tag
from imagekit.errors import NotProven, UsageError
from imagekit.locking import Say
from imagekit.oci import cosign, push
from imagekit.oci import reference as references
from imagekit.oci.image import Image
from imagekit.oci.kept import kept
from imagekit.oci.reference import Reference
from imagekit.oci.registry import Repository
from imagekit.oci.sending import Sending
from imagekit.proof import attached, evidence
from imagekit.proof.evidence import Kept
from imagekit.publish import Done
from imagekit.remote import Remote
from imagekit.report import failing
from imagekit.site import Site
from imagekit.supply import beside, contents
from imagekit.supply.contents import Contents
from imagekit.tag import Names


def send(name: str, to: str, site: Site, say: Say) -> Done:
    """`name`: of an engine's image, oci:DIR[:TAG] or registry:REFERENCE.

    `to`: HOST/REPOSITORY, or empty for the site's `registry.push`.

    Raises NotProven for an image whose last proof failed, or that has none; UsageError for one of somebody else.
    """
    away = remote.find(name, site) if remote.is_remote(name) else None
    if away:
        image = away.image(name)
    else:
        from imagekit.engines.docker_api import Engine

        engine = Engine()
        image = engine.image(engine.known_as(name)) or {}
    names, proofs = _names(image, name, site), _proofs(str(image["Id"]), name)
    place = _place(to, names, site)
    there = remote.repository(place, site)
    if site.settings.sign.key:
        cosign.needed()
    sent = _from_layout(away, there, say) if away else None
    digest = sent.digest if sent else _from_engine(engine, image, there, place, names, say)
    if str(image["Id"]) in attached.names_of(there, digest):
        word = publish.told(there, digest, proofs)
        if word:
            say("", word)
        _beside(away or engine, sent, image, place, there, digest, site, say)
    else:
        say("", "made from the same plan by another build, and proven: that one has the names, this one stays here")
    settled = publish.settle(there, digest, names, datetime.now(timezone.utc))
    publish.say(place, settled.outcomes, say)
    return Done(f"{place}@{settled.digest}", settled.outcomes)


def _from_layout(away: Remote, there: Repository, say: Say) -> Image:
    with kept().in_use():
        image = pulled.pulled(away, kept(), say)
        sending = Sending(there)
        try:
            done = push.push(
                image, sending, [], progress=lambda sent, of: say("~", f"push {sent * 100 // max(of, 1)}%")
            )
        finally:
            sending.give_up()
    known = done.there + done.mounted
    say("push", f"{amounts.size(done.bytes)} sent" + (f", {known} blobs there" if known else ""))
    return image


def _from_engine(
    engine: Any, image: Mapping[str, Any], there: Repository, place: Reference, names: Names, say: Say
) -> str:
    """By the engine, under a name that is free: what it makes of an image it says only when it has pushed it."""
    from imagekit.engines import push as by_engine

    ours = str(image["Id"])
    name, digest = publish.place_for(there, names, lambda other: ours in attached.names_of(there, other))
    if digest:
        say("push", f"nothing: {place}:{name} is there")
        return digest
    digest = by_engine.push(
        engine, ours, f"{place}:{name}", lambda sent, of: say("~", f"push {sent * 100 // max(of, 1)}%")
    )
    say("push", f"by the engine, {place}@{digest[:19]}")
    return digest


def _beside(
    source: Any, sent: Image | None, image: Mapping[str, Any], place: Reference, there: Repository, digest: str,
    site: Site, say: Say,
) -> None:  # fmt: skip
    """What it was made from, as far as this machine has built it or the image tells."""
    name = str(image["Id"])
    ours = record.of_image(name)
    label = str(((image.get("Config") or {}).get("Labels") or {}).get("io.imagekit.lock", ""))
    lock = papers.lock_in(source.files(name, [papers.LOCK]).get(papers.LOCK, b""), label)
    if not ours or lock is None:
        beside.attach(place, there, digest, None, Contents(), site, say)
        return
    if sent:
        licenses = Contents(contents.of_lock(lock, kept()), *contents.of_layers(sent.layers[:1], kept()))
    else:
        asked = source.run(name, ["/usr/bin/python3", "-I", "-c", contents.SCRIPT], entrypoint=[], timeout=120)
        licenses = contents.told(asked.stdout)
    beside.attach(place, there, digest, (lock, ours[-1]), licenses, site, say)


def _names(image: Mapping[str, Any], name: str, site: Site) -> Names:
    """By its labels, and the record of its build where this machine has it."""
    labels = contract.told((image.get("Config") or {}).get("Labels") or {})
    ours = record.of_image(str(image["Id"]))
    key = ours[-1].key if ours else str(image["Id"]).removeprefix("sha256:")
    day = ours[-1].created if ours else str(image.get("Created", ""))[:10].replace("-", "")
    return tag.of_labels(name, labels, site.settings.tags, key, day)


def _proofs(image: str, name: str) -> Sequence[Kept]:
    """All that is known of it, bad reports too: whoever reads them elsewhere is to know what was known here."""
    found = evidence.of(image)
    if not any(not one.report.partial for one in found):
        raise NotProven(f"no proof of {name} is on record here", hint=f"imagekit test {name}")
    bad = failing([one.report for one in found])
    if bad or not evidence.good(found):
        raise NotProven(f"the last proof of {name} failed", details=bad, hint=f"imagekit test {name}")
    return found


def _place(to: str, names: Names, site: Site) -> Reference:
    repository = names.profile.rpartition(":")[0]
    stem = site.settings.registry.push
    if not to and not stem:
        raise UsageError(
            "nobody says where images go", hint="[registry] push of imagekit.toml, or --to HOST/REPOSITORY"
        )
    found = references.parse(to or f"{stem}/{repository}")
    if found.tag or found.digest:
        raise UsageError(f"--to {to!r} has a tag", hint="an image gets its own: HOST/REPOSITORY")
    return found
