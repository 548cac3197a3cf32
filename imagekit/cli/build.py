from __future__ import annotations

import json
import sys
from typing import Any

import click

from imagekit.cli.options import arguments, engine_option, locking, parse_locking, parse_wishes, pyc_option, wishes


@click.command("build")
@click.argument("profiles", nargs=-1, required=True, metavar="PROFILE...")
@wishes
@locking
@click.option("--no-test", is_flag=True, help="Do not prove the image.")
@click.option("--gpus", type=click.Choice(["auto", "all", "none"]), default="auto", help="GPUs for the proof.")
@click.option("--require-gpu", is_flag=True, help="A GPU check that cannot run is a failure.")
@click.option("--fresh", is_flag=True, help="The proof takes nothing over from an earlier one.")
@engine_option
@click.option("--builder", default="", metavar="NAME", help="buildkit: a builder of buildx, in a cluster or elsewhere.")
@pyc_option
@click.option("--newest", is_flag=True, help="compose: the distribution packages of this moment, not of today.")
@click.option(
    "--output",
    multiple=True,
    metavar="WHERE",
    help="compose: oci:DIR, archive:FILE, engine, or registry:HOST/REPOSITORY; may repeat.",
)
@click.option("--offline", metavar="DIR", help="compose: all out of a bundle of `imagekit fetch`; asks no network.")
@click.option("--jobs", type=click.IntRange(1), metavar="N", help="Builds side by side; default: one per two CPUs.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def command(profiles: tuple[str, ...], jobs: int | None, **options: Any) -> None:
    """Build, prove and tag an image of each PROFILE.

    Prints what each is called, in their order: its id in an engine, HOST/REPOSITORY@DIGEST in a registry, oci:DIR:TAG
    in a layout.
    """
    if len(profiles) > 1:
        _several(profiles, jobs, options)
    else:
        _one(profiles[0], **options)


def _one(profile: str, no_test: bool, gpus: str, require_gpu: bool, fresh: bool, as_json: bool, **options: Any) -> None:
    from imagekit import locking, pipeline
    from imagekit.cli.output import Lines
    from imagekit.proof import runner

    say, wanted, output, pyc = Lines(), options.pop("engine"), options.pop("output"), not options.pop("no_pyc")
    newest, offline, elsewhere = options.pop("newest"), options.pop("offline"), options.pop("builder")
    places = _places(wanted, output, gpus, offline, elsewhere, newest)
    wished, locks, site = parse_wishes(options), parse_locking(options), pipeline.the_site(options.pop("site"))
    held = None
    if offline is None:
        the_profile, resolution = pipeline.resolved(profile, wished, site, say, upgrade=locks.upgrade)
    else:
        the_profile, lock, held = _held(profile, offline, wished, locks, site, say, newest)
    targets = pipeline.targets(the_profile, site)
    wish = runner.Wish(gpus="none" if places else gpus, require_gpu=require_gpu, fresh=fresh, targets=targets)
    if not places:
        by: dict[str, Any] = {"wanted": wanted, "elsewhere": elsewhere, "locks": locks}
        _in_an_engine(the_profile, resolution, site, say, as_json, **by, prove=not no_test, wish=wish, pyc=pyc)
        return
    if held is None:
        lock, _ = locking.locked(the_profile, resolution, site, say, locks)
    how = {"prove": not no_test, "wish": wish, "pyc": pyc, "newest": newest, "held": held}
    _composed(the_profile, lock, site, places, say, as_json, **how)


def _in_an_engine(
    profile: Any, resolution: Any, site: Any, say: Any, as_json: bool, *, wanted: str, elsewhere: str, locks: Any,
    **how: Any,
) -> None:  # fmt: skip
    from imagekit import amounts, assemble, locking, report  # docker, which no image without an engine needs
    from imagekit.engines import choice
    from imagekit.engines import elsewhere as builders
    from imagekit.engines.docker_api import Engine

    engine = Engine()
    if elsewhere:
        builders.check(elsewhere)
    builder, why = choice.builder("buildkit" if elsewhere else wanted, engine)
    if not engine.at.usual:
        say("engine", f"Docker {engine.version} at {engine.at}")
    if why:
        say("engine", f"the classic builder, as the last resort: {why}")
    lock, _ = locking.locked(profile, resolution, site, say, locks)
    done = assemble.assemble(profile, lock, site, engine, say, builder=builder, elsewhere=elsewhere, **how)
    say("done", f"{amounts.size(done.size):<58} {amounts.clock(done.seconds)}")
    name = done.names.moving[0]
    say("", f"try it: imagekit run {name}      inside: imagekit inspect {name}")
    if as_json:
        result = {"image": done.image, "tags": [*done.names.moving, done.names.immutable], "size": done.size}
        proof = report.as_json(done.report) if done.report else None
        print(json.dumps({**result, "record": done.record.model_dump(), "proof": proof}, indent=1))
    else:
        print(done.image)


def _places(
    wanted: str, output: tuple[str, ...], gpus: str, offline: str | None, elsewhere: str, newest: bool
) -> list[Any]:
    """Where a composed image goes; empty for the other engines, which keep theirs. Raises UsageError for options that
    do not go together."""
    from imagekit.errors import UsageError

    if offline is not None and wanted not in ("auto", "compose"):
        raise UsageError(f"--offline composes, and --engine {wanted} does not", hint="leave --engine out")
    if elsewhere and (output or offline is not None or wanted not in ("auto", "buildkit")):
        raise UsageError("--builder is for BuildKit, whose image comes back into the engine",
                         hint="without --output, --offline and another --engine")  # fmt: skip
    if output and wanted not in ("compose", "auto"):
        raise UsageError(f"--output is for --engine compose, not {wanted}", hint="the image is in the engine")
    if (wanted == "compose" or offline is not None) and not output:
        raise UsageError("where does the image go?", hint="--output oci:DIR")
    if not output:
        if newest:
            hint = "imagekit base bootstrap makes a base anew"
            raise UsageError("--newest is for images that are composed", hint=hint)
        return []
    if gpus == "all":
        raise UsageError("--gpus all needs an engine", hint="imagekit test proves an image in one")
    from imagekit.compose import outputs  # requests, which no other build needs this early

    return [outputs.parse(one) for one in output]


def _held(name: str, folder: str, wished: Any, locks: Any, site: Any, say: Any, newest: bool) -> tuple[Any, Any, Any]:
    """(profile, lock, bundle and what it has of it)"""
    from pathlib import Path

    from imagekit import bundle, pipeline
    from imagekit.errors import UsageError

    if not folder:
        raise UsageError("--offline names no bundle", hint="imagekit fetch makes one")
    asking = ("newest", newest), ("upgrade", locks.upgrade), ("upgrade-package", locks.upgrade_packages)
    wrong = [
        f"--{option} asks a network" for option, given in (*asking, ("allow-unknown", wished.allow_unknown)) if given
    ]
    if wrong:
        raise UsageError("--offline takes all out of a bundle", details=wrong)
    opened = bundle.opened(Path(folder))
    profile, resolution = pipeline.resolved(name, wished, site, say, given=(opened.facts(), opened.look))
    held, lock = opened.answer(resolution)
    say("lock", f"{held.lock} of the bundle; {len(lock.packages)} packages")
    return profile, lock, (opened, held)


def _composed(
    profile: Any, lock: Any, site: Any, places: list[Any], say: Any, as_json: bool, **how: Any
) -> None:  # fmt: skip
    from imagekit import amounts, composed, report

    done = composed.build(profile, lock, site, places, say, **how)
    say("done", f"{amounts.size(done.image.size):<58} {amounts.clock(done.seconds)}")
    if as_json:
        proof = report.as_json(done.report) if done.report else None
        names = [*done.names.moving, done.names.immutable]
        result: dict[str, Any] = {"image": done.image.id, "digest": done.image.digest, "reference": done.reference}
        result |= {"tags": names, "size": done.image.size}
        print(json.dumps({**result, "record": done.record.model_dump(), "proof": proof}, indent=1))
    else:
        print(done.reference)


def _several(profiles: tuple[str, ...], jobs: int | None, options: dict[str, Any]) -> None:
    from imagekit import pipeline, several
    from imagekit.engines.docker_api import Engine
    from imagekit.errors import UsageError

    twice = sorted({name for name in profiles if profiles.count(name) > 1})
    if twice:
        raise UsageError(f"named twice: {', '.join(twice)}", hint="each profile once")
    if options["output"] or options["engine"] == "compose" or options["offline"] is not None:
        raise UsageError(
            "--engine compose, --offline and --output build one profile at a time", hint="a command for each"
        )
    given = arguments(click.get_current_context())
    wished, site = parse_wishes(dict(options)), pipeline.the_site(options["site"])
    # all are resolved first: what is wrong with one is known before another has built for an hour
    needs = pipeline.disk_needed(profiles, wished, site)
    engine = Engine()
    work = [several.Job(name, ("build", name, *given), needs[name]) for name in profiles]
    width = max(map(len, profiles))

    def say(name: str, line: str) -> None:
        print(f"{name:<{width}}  {line}", file=sys.stderr, flush=True)

    budget = site.settings.build

    def free_disk() -> int | None:
        free, limit = engine.free_disk(), budget.disk_gb * 10**9
        return min(limit, limit if free is None else free) if limit else free

    at_once = several.jobs_at_once(jobs or budget.jobs or None)
    done = several.run(work, at_once=at_once, free_disk=free_disk, say=say)
    if options["as_json"]:
        print(json.dumps([json.loads(entry.stdout) if entry.stdout else None for entry in done], indent=1))
    else:
        print("".join(entry.stdout for entry in done), end="")
    failed = [entry for entry in done if entry.code]
    if failed:
        names = ", ".join(f"{entry.name} ({entry.code})" for entry in failed)
        print(f"error: {len(failed)} of {len(done)} builds failed: {names}", file=sys.stderr)
        raise click.exceptions.Exit(failed[0].code)
