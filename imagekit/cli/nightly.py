from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from imagekit.nightly.night import Call
    from imagekit.site import Site


@click.command("nightly")
@click.option("--file", "file", metavar="FILE", default="pipeline.yaml", show_default=True, help="The pipeline.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and why, and do nothing.")
@click.option("--only", multiple=True, metavar="TAG", help="Only this image, as 2.4.1-cuda12.1-vision; may repeat.")
@click.option("--promote-only", is_flag=True, help="Make nothing: what is proven by now goes where it may.")
@click.option("--wait", is_flag=True, help="Wait for another nightly of this pipeline, instead of leaving it to it.")
@click.option("--state", "folder", metavar="DIR", help="Where nights are on record, with the page of them.")
@click.option("--json", "as_json", is_flag=True, help="The record of the night as JSON on stdout.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
def command(
    file: str, dry_run: bool, only: tuple[str, ...], promote_only: bool, wait: bool, folder: str | None, as_json: bool,
    site: str | None,
) -> None:  # fmt: skip
    """Make again what must be made again of pipeline.yaml: build, prove, push, promote; and put it on record.

    Goes on past what fails, and after a kill where it was. Exit code: that of the first image that is bad. Prints the
    path of the page.
    """
    from imagekit import pipeline
    from imagekit.cli.output import Lines
    from imagekit.nightly import night, state

    call = night.Call(Path(file), site or "", Path(folder) if folder else None, wait, only, promote_only)
    the_site, say = pipeline.the_site(site), Lines()
    if dry_run:
        _dry(call, the_site, as_json)
        return
    done = night.run(call, the_site, say)
    page = (call.folder or state.usual(call.file)) / "index.html"
    say("done", f"night {done.number}: {night.summary(done)}")
    print(done.model_dump_json(indent=1) if as_json else page)
    bad = [cell for cell in done.cells if cell.state == "bad"]
    if bad:
        say("", f"bad: {', '.join(cell.tag for cell in bad)}; the logs are beside the page")
        raise click.exceptions.Exit(bad[0].code)


def _dry(call: Call, site: Site, as_json: bool) -> None:
    import json
    from datetime import datetime, timezone

    from imagekit.nightly import night

    decisions, impossible, unknown = night.plan(call, site, datetime.now(timezone.utc))
    rows = [
        {"tag": one.cell.tag, "action": one.action if not one.error else "error",
         "reasons": [one.error.message] if one.error else list(map(str, one.reasons)), "on": list(one.on)}
        for one in decisions
    ] + [
        {"tag": one.name, "action": "impossible", "reasons": list(one.why_not), "on": []} for one in impossible
    ]  # fmt: skip
    if as_json:
        print(json.dumps({"cells": rows, "unknown": list(unknown)}, indent=1))
        return
    width = max((len(str(row["tag"])) for row in rows), default=0)
    for row in rows:
        words = [*row["reasons"], *([f"then on {', '.join(row['on'])}"] if row["on"] else [])]
        print(f"{row['tag']:<{width}}  {row['action']:<10} {'; '.join(words)}".rstrip())
    for line in unknown:
        print(f"{'':<{width}}  {'unknown':<10} {line}")
