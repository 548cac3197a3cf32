from __future__ import annotations

import json
from typing import Any

import click

from imagekit.errors import NotProven


@click.command("bench")
@click.argument("image_or_profile")
@click.option("--only", multiple=True, metavar="NAME", help="Only this benchmark; may repeat.")
@click.option("--quick", is_flag=True, help="Fewer repetitions: a minute instead of several.")
@click.option("--device", type=click.Choice(["cpu", "cuda", "all"]), default="all", help="Where to measure.")
@click.option("--gpus", default="auto", metavar="WHICH", help="all, none, auto, or indices: 0,1.  [default: auto]")
@click.option("--timeout", type=click.FloatRange(min=1), default=3600, show_default=True, help="Seconds for all.")
@click.option("--save", metavar="FILE", help="Write the figures as a baseline for --against.")
@click.option("--against", metavar="FILE", help="Compare with what --save wrote.")
@click.option("--max-regression", default="10%", show_default=True, help="How much worse than the baseline is allowed.")
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON on stdout.")
@click.option("--html", metavar="FILE", help="Write the figures as one HTML page with bars.")
@click.option("--overlay", multiple=True, metavar="FILE", help="The overlay of a profile's image; may repeat.")
@click.option("--site", metavar="FILE", help="Site file; its bench.floors must be reached.")
def command(
    image_or_profile: str, save: str | None, against: str | None, max_regression: str, as_json: bool,
    html: str | None, overlay: tuple[str, ...], site: str | None, **wish: Any,
) -> None:  # fmt: skip
    """Measure an image from inside: training, video, pictures, loading, copies, start."""
    from imagekit import pipeline, target
    from imagekit.bench import compare, measured, page, runner
    from imagekit.cli.output import Lines, write
    from imagekit.engines.docker_api import Engine
    from imagekit.proof import evidence

    say, allowed = Lines(), compare.share(max_regression)
    before, floors = compare.read(against) if against else None, pipeline.the_site(site).settings.bench.floors
    image = target.find(image_or_profile, site, overlay).reference
    run = runner.measure(Engine(), image, runner.Wish(**wish), lambda line: say("~", line))
    raw = measured.as_json(run)
    evidence.keep(raw)
    write(save, json.dumps(raw, indent=1) + "\n")  # before anything can be said against it: it took long
    changes = compare.changes(before, run, allowed) if before else []
    reached = compare.floors(floors, run)
    for number, line in enumerate(page.lines(run, changes)):
        say("bench" if number == 0 else "", line)
    write(html, page.html(run, before, changes, reached) if html else "")
    print(json.dumps(raw, indent=1) if as_json else run.image)
    lost = compare.lost(before, run) if before else []
    bad = [*run.bad, *([run.problem] if run.problem else []), *(c.text() for c in changes if c.regressed),
           *(f.text() for f in reached if f.missed), *(x.text() for x in lost)]  # fmt: skip
    if bad:
        raise NotProven(f"{image} is slower than it may be, or could not be measured", details=bad)
