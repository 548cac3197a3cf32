from __future__ import annotations

from typing import Any

import click


@click.command("scan")
@click.argument("image", metavar="HOST/REPOSITORY[:TAG|@DIGEST]")
@click.option(
    "--fail", type=click.Choice(["critical", "high", "medium", "low", "unknown", "never"]),
    help="The least severity that counts; default: [scan] fail of the site.",
)  # fmt: skip
@click.option("--unfixed", is_flag=True, help="What there is no fix for counts too.")
@click.option("--allow", metavar="FILE", help="The allowlist; default: [scan] allow of the site.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def command(
    image: str, fail: str | None, unfixed: bool, allow: str | None, site: str | None, as_json: bool
) -> None:  # fmt: skip
    """Look for known vulnerabilities in an image of a registry, by trivy, with an allowlist. Nothing is pulled.

    Exit code 5 when there are some that count. Prints HOST/REPOSITORY@DIGEST.
    """
    import json

    from imagekit import pipeline, remote
    from imagekit.cli.output import Lines
    from imagekit.errors import NotProven
    from imagekit.oci import reference as references
    from imagekit.proof import attached
    from imagekit.supply import scan

    the_site = pipeline.the_site(site)
    given = {"fail": fail and fail.replace("never", ""), "unfixed": unfixed or None, "allow": allow}
    settings = the_site.settings.scan.model_copy(update={key: to for key, to in given.items() if to is not None})
    asked = references.parse(image.removeprefix(remote.REGISTRY))
    there = remote.repository(asked, the_site)
    digest, _ = attached.names_of(there, asked.digest or asked.tag or "latest")
    done = scan.scan(asked, there, digest, the_site, settings)
    say = Lines()
    for one in done.found:
        if one in done.counts:
            say(one.severity, f"{one.id:<20} {one.package} {one.version}, {one.fixed or 'no fix yet'}  {one.title}")
    for one, by in done.allowed:
        say("allowed", f"{one.id:<20} {one.package}, until {by.until}: {by.reason}")
    for entry in done.expired:
        say("expired", f"{entry.id:<20} on {entry.until}: {entry.reason}")
    for entry in done.unused:
        say("unused", f"{entry.id:<20} nothing has it any more")
    told = ", ".join(f"{count} {name}" for name, count in done.numbers.items()) or "none"
    say("found", f"{told}; {len(done.counts)} count, {len(done.allowed)} are allowed")
    print(json.dumps(_row(done), indent=1) if as_json else f"{asked.place}@{digest}")
    if done.counts:
        raise NotProven(f"{asked} has vulnerabilities that count", details=[str(one) for one in done.counts[:20]])


def _row(done: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "found": [asdict(one) for one in done.found],
        "counts": [one.id for one in done.counts],
        "allowed": [{"id": one.id, "package": one.package, "until": str(by.until), "reason": by.reason}
                    for one, by in done.allowed],
        "expired": [one.id for one in done.expired],
        "unused": [one.id for one in done.unused],
    }  # fmt: skip
