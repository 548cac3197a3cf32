from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from imagekit.errors import UsageError


@click.group("compat", invoke_without_command=True)
@click.option("--torch", default="", metavar="VERSION", help="Only this release or minor, as 2.9.")
@click.option("--cuda", default="", metavar="VERSION", help="Only builds for this CUDA, as 12.1 or cu121.")
@click.option("--python", default="", metavar="VERSION", help="Only what has wheels for this Python.")
@click.option("--gpu", "gpus", multiple=True, metavar="MODEL", help="Only builds that run on it, as H100, 3090, sm_86.")
@click.option("--driver", "drivers", multiple=True, metavar="VERSION", help="Only builds that run on this driver.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.pass_context
def command(
    context: click.Context, torch: str, cuda: str, python: str, gpus: tuple[str, ...], drivers: tuple[str, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Which torch goes with which CUDA, Python, GPU and driver: the facts as a table; `check` judges a combination."""
    if context.invoked_subcommand:
        if torch or cuda or python or gpus or drivers or as_json:
            raise UsageError("these options are those of the table", hint="imagekit compat check: options after check")
        return
    from imagekit.compat import asking, facts, matrix

    known = facts.load()
    question = asking.question(known, torch=torch, cuda=cuda, python=python, gpus=gpus, drivers=drivers)
    rows = matrix.rows(question, known)
    print(json.dumps(matrix.as_json(rows), indent=1) if as_json else "\n".join(matrix.lines(rows, known)))
    if not rows:
        sys.exit(3)


@command.command("check")
@click.argument("image", required=False)
@click.option("--torch", default="", metavar="VERSION", help="2.9, v2.9, 2.9.1 or 2.9.1+cu128.")
@click.option("--cuda", default="", metavar="VERSION", help="12.1, cu121 or 121.")
@click.option("--python", default="", metavar="VERSION", help="3.11, py311 or cp311.")
@click.option("--os", "system", default="", metavar="NAME", help="Distribution: bookworm, debian:12, ubuntu22.04.")
@click.option("--base", default="", metavar="IMAGE", help="Base image, as nvidia/cuda:12.1.1-devel-ubuntu22.04.")
@click.option("--torchvision", default="", metavar="VERSION", help="Does it go with this torch?")
@click.option("--torchaudio", default="", metavar="VERSION", help="Does it go with this torch?")
@click.option("--package", "packages", multiple=True, metavar="NAME==VERSION", help="Any package; may be repeated.")
@click.option(
    "--gpu", "gpus", multiple=True, metavar="MODEL", help="H100, RTX 3090, 3090, sm_86, 8.6; may be repeated."
)
@click.option("--driver", "drivers", multiple=True, metavar="VERSION", help="Of all GPUs, or one for each --gpu.")
@click.option("-r", "--requirements", multiple=True, metavar="FILE", help="Judge the pins of a requirements.txt.")
@click.option("--dockerfile", metavar="FILE", help="Judge a Dockerfile: its base, and what pip installs.")
@click.option("--freeze", is_flag=True, help="Judge the output of `pip freeze` on stdin.")
@click.option("--nodes", "inventory", metavar="FILE", help="`kubectl get nodes -o json`, or `nvidia-smi -q -x`.")
@click.option("--fleet", is_flag=True, help="Also the pools of the site's fleet.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def check(
    image: str | None, torch: str, cuda: str, python: str, system: str, base: str, torchvision: str, torchaudio: str,
    packages: tuple[str, ...], gpus: tuple[str, ...], drivers: tuple[str, ...], requirements: tuple[str, ...],
    dockerfile: str | None, freeze: bool, inventory: str | None, fleet: bool, site: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Can this combination be had, and why not. Exit code 0: it can; 3: it cannot, and what works nearest is told.

    IMAGE, built by imagekit, stands for all it holds: does it run on this GPU and driver. What its libraries are
    compiled for is read out of them, in a container without a network.
    """
    from imagekit.compat import asking, facts, verdict
    from imagekit.compat.question import answer

    known = facts.load()
    _no_empty(click.get_current_context())
    pools: tuple[Any, ...] = ()
    if fleet or site:
        from imagekit import pipeline

        pools = pipeline.fleet(pipeline.the_site(site)) if fleet else ()
        if fleet and not pools:
            raise UsageError(
                "--fleet: the site names no fleet", hint="[fleet.NAME] of imagekit.toml: gpu, driver, nodes"
            )
    if inventory:
        from imagekit.compat import inventory as inventories

        pools += inventories.read(Path(inventory), known)
    read = []
    if requirements or dockerfile or freeze or image:
        from imagekit.compat import dockerfile as dockerfiles
        from imagekit.compat import documents

        read += [_image(image, look=bool(gpus or pools))] if image else []
        version = asking.python_of(known, python, system, base) if requirements else ""
        read += [documents.of_requirements(Path(name), version) for name in requirements]
        read += [dockerfiles.read(Path(dockerfile))] if dockerfile else []
        read += [documents.of_freeze(sys.stdin)] if freeze else []
    found = answer(
        asking.question(
            known, torch=torch, cuda=cuda, python=python, os=system, base=base, torchvision=torchvision,
            torchaudio=torchaudio, packages=packages, gpus=gpus, drivers=drivers, fleet=pools, documents=read,
            today=date.today().isoformat(),
        ),
        known,
    )  # fmt: skip
    print(json.dumps(verdict.as_json(found, known), indent=1) if as_json else "\n".join(verdict.lines(found, known)))
    if not found.possible:
        sys.exit(3)


@command.command("refresh")
@click.option("--index", "indexes", multiple=True, type=click.Choice(["pypi", "pytorch"]), help="Only this index.")
@click.option("--all", "thorough", is_flag=True, help="Read the metadata of builds that the facts have, too.")
@click.option("--dry-run", is_flag=True, help="Say what is new and write nothing.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def refresh(indexes: tuple[str, ...], thorough: bool, dry_run: bool, site: str | None, as_json: bool) -> None:
    """What the package indexes have that the facts do not: new releases and builds of torch go into torch.yaml.

    Names of files and metadata are read, no wheels. What an index contradicts or no longer has is told, not changed.
    """
    from imagekit import pipeline, refresh
    from imagekit.compat import facts
    from imagekit.refresh import data_file, report

    asked = tuple(dict.fromkeys(indexes)) or ("pypi", "pytorch")
    found = refresh.refresh(
        facts.load(), pipeline.the_site(site), facts.DATA, asked, date.today().isoformat(), thorough
    )
    written = bool(found.diff) and not dry_run
    if written:
        data_file.write(facts.DATA, found.after)
    if as_json:
        print(json.dumps(report.as_json(found, written), indent=1))
        return
    for line in (*report.lines(found.changes), *found.diff):
        print(line)
    print(report.summary(found, asked, written), file=sys.stderr)


def _no_empty(context: click.Context) -> None:
    """An option with nothing in it is a variable that was not set, and no answer to it should be a yes."""
    given = [
        name for name, value in context.params.items() if value == "" or (isinstance(value, tuple) and "" in value)
    ]
    typed = [name for name in given if context.get_parameter_source(name) == ParameterSource.COMMANDLINE]
    if typed:
        names = ", ".join(option.opts[-1] for option in context.command.params if option.name in typed)
        raise UsageError(f"{names}: is empty", hint="give it a value or leave it out")


def _image(reference: str, look: bool) -> Any:
    """`look`: into its libraries, for the code that they have for GPUs."""
    from imagekit import gpu_code, inspection
    from imagekit.compat import documents
    from imagekit.engines.docker_api import Engine

    engine = Engine()
    found = inspection.inspect(engine, reference)
    code = gpu_code.of_image(engine, found) if look and found.ours else None
    return documents.of_image(reference, found.labels, found.packages, code)
