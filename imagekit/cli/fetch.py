from __future__ import annotations

from typing import Any

import click

from imagekit.cli.options import locking, parse_locking, parse_wishes, wishes


@click.command("fetch")
@click.argument("profiles", nargs=-1, required=True, metavar="PROFILE...")
@wishes
@locking
@click.option("--to", "folder", required=True, metavar="DIR", help="The bundle: a new folder, or one to add to.")
@click.option("--newest", is_flag=True, help="The distribution packages of this moment, not of today.")
def command(profiles: tuple[str, ...], folder: str, newest: bool, **options: Any) -> None:
    """Put all that PROFILE is made of into a folder, for `imagekit build --offline` on a machine without a network.

    Prints the path of the bundle.
    """
    from pathlib import Path

    from imagekit import amounts, bundle, locking, pipeline
    from imagekit.bundle import pack
    from imagekit.cli.output import Lines
    from imagekit.errors import Error, UsageError

    say = Lines()
    wished, locks, site = parse_wishes(options), parse_locking(options), pipeline.the_site(options.pop("site"))
    if wished.allow_unknown:
        raise UsageError("--allow-unknown asks an index, which a build offline cannot",
                         hint="imagekit compat refresh puts a torch into the facts")  # fmt: skip
    found, problems = [], []
    for name in dict.fromkeys(profiles):
        try:
            found.append(pipeline.resolved(name, wished, site, say, upgrade=locks.upgrade))
        except Error as error:
            problems.append((name, error))
    if problems and len(profiles) > 1:
        lines = [line for name, error in problems for line in (f"{name}: {error.message}", *error.details)]
        raise type(problems[0][1])("nothing was fetched", details=lines, hint=problems[0][1].hint)
    if problems:
        raise problems[0][1]
    with pack.writing(Path(folder)) as held:
        for profile, resolution in found:
            lock, _ = locking.locked(profile, resolution, site, say, locks)
            held = pack.add(profile, lock, site, held, say, newest=newest)
    whole = bundle.opened(Path(folder))
    say("done", f"{len(whole.images)} in the bundle, {amounts.size(pack.size(whole))}")
    for profile, resolution in found:
        asked = locking.command(profile, resolution).removeprefix("imagekit lock ")
        say("", f"there: imagekit build {asked} --offline {folder} --output oci:DIR")
    print(folder)
