from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from imagekit.cells.judged import Judged
    from imagekit.site import Site


@click.command("matrix")
@click.option("--file", "file", metavar="FILE", default="pipeline.yaml", show_default=True, help="The pipeline.")
@click.option(
    "--format", "form", type=click.Choice(["table", "json", "github", "bake", "images"]), default="table",
    help="For people; for scripts; for GitHub's strategy.matrix; for docker buildx bake; where they are pushed.",
)  # fmt: skip
@click.option("-o", "--output", metavar="DIR", help="bake: where docker-bake.json and the contexts are written.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
def command(file: str, form: str, output: str | None, site: str | None) -> None:
    """Show the images of pipeline.yaml: each combination with its versions and tag, or why it cannot be.

    Exit code 3 when there is none at all.
    """
    from imagekit import pipeline
    from imagekit.cells import document, expand, formats, judged
    from imagekit.errors import ImpossibleWish, UsageError

    if (form == "bake") != bool(output):
        raise UsageError("--format bake and -o DIR go together", hint="docker buildx bake reads files")
    the_site = pipeline.the_site(site)
    found = judged.judge(expand.cells(document.read(Path(file))), the_site)
    if output:
        print(_bake(found, Path(output), the_site))
    elif form == "images":
        if not the_site.settings.registry.push:
            raise UsageError("nobody says where images go", hint="[registry] push of imagekit.toml")
        print("\n".join(formats.images(found, the_site.settings.registry.push)))
    elif form == "table":
        print("\n".join(formats.table(found)))
    else:
        print(formats.as_json(found) if form == "json" else formats.github(found))
    if not any(one.tag for one in found):
        raise ImpossibleWish("no cell of the matrix can be had", details=[one.name for one in found])


def _bake(found: list[Judged], folder: Path, site: Site) -> Path:
    """Every context, and the file that names them. Raises what the first cell failed by, when all others are there."""
    from imagekit import locking, pipeline
    from imagekit.cells import formats
    from imagekit.cli.output import Lines
    from imagekit.errors import Error, Interrupted
    from imagekit.files import write

    say, rendered, failed = Lines(), [], dict[str, Error]()
    for one in found:
        if one.profile and one.resolution:
            say("render", one.tag)
            try:
                lock, _ = locking.locked(one.profile, one.resolution, site, say, locking.LockOptions())
                context = pipeline.rendered(one.profile, lock)
                pipeline.write_context(context, folder / "contexts" / formats.target(one), lock, site, say)
            except Interrupted:
                raise
            except Error as error:  # of one cell: others may have other packages, from other indexes
                failed[one.tag] = error
            else:
                rendered.append(one)
    path = folder / "docker-bake.json"
    write(path, f"{formats.bake(rendered, 'contexts')}\n".encode())
    say("", f"build them: cd {folder} && docker buildx bake --load")
    for first in failed.values():
        lines = [f"{tag}: {line}" for tag, error in failed.items() for line in (error.message, *error.details)]
        told = Error(
            f"not in {path}: {len(failed)} of {len(failed) + len(rendered)} images", details=lines, hint=first.hint
        )
        told.exit_code = first.exit_code
        raise told
    return path
