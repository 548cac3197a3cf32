"""build -> prove -> tag: from a lock to an image whose tags are true."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagekit import amounts, base, pipeline, record, scope, scratch, sent_base, tag, wheels
from imagekit import report as reports
from imagekit.built import Shelf, sources, stage
from imagekit.diagnose import answer
from imagekit.engines import buildkit, classic
from imagekit.engines.docker_api import Engine
from imagekit.engines.steps import Built
from imagekit.errors import BuildFailed, NotProven, Surroundings
from imagekit.lock.model import Lock
from imagekit.locking import Say
from imagekit.profile import Profile
from imagekit.proof import runner
from imagekit.record import Record
from imagekit.render import Context
from imagekit.scratch import cache
from imagekit.site import Site

_ASK = """
import glob, json, runpy, sys
site = '/opt/venv/lib/python/site-packages'
v = runpy.run_path(site + '/torch/version.py')
def lines(name, sep):
    rows = [row for f in glob.glob('/opt/imagekit/record/' + name) for row in open(f).read().split('\\n')]
    return dict(row.split(sep, 1) for row in rows if sep in row)
print(json.dumps({'torch': v['__version__'], 'cuda': v['cuda'], 'python': '%d.%d' % sys.version_info[:2],
    'system': lines('system.txt', '='), 'built': {f: h for h, f in lines('built-*.txt', '  ').items()}}))
"""


MEANWHILE = "imagekit-building"
"""Repository of the names of images that are not proven yet."""

SETTLE = 0.3
"""Seconds in which an engine, told to stop, may still finish writing an image."""

ALL = runner.Wish()
"""Every usual check, on the GPUs that there are."""


@dataclass(frozen=True)
class Done:
    image: str
    """Image id."""
    names: tag.Names
    record: Record
    report: reports.Report | None
    size: int
    """Bytes of all layers, unpacked."""
    seconds: float


def assemble(
    profile: Profile, lock: Lock, site: Site, engine: Engine, say: Say, *, prove: bool = True,
    wish: runner.Wish = ALL, builder: str = "buildkit", elsewhere: str = "", pyc: bool = True,
) -> Done:  # fmt: skip
    """Build, prove, tag. Raises BuildFailed, or NotProven after leaving the image under its -failed tag.

    `builder`: buildkit | classic; `elsewhere`: a builder of buildx that is not the engine's own; `pyc`: with bytecode
    of the packages.
    """
    started = time.monotonic()
    profile_tag = tag.of_profile(lock.resolution, site.settings.tags)
    with pipeline.build_lock(profile_tag, say), _named_meanwhile(engine) as meanwhile:
        context = pipeline.rendered(profile, lock, dialect=builder, link=engine.links, pyc=pyc)
        _announce(context, say)
        base_image = ensure_base(lock, engine, site, say)
        build = _build_classic if builder == "classic" else functools.partial(_build, elsewhere)
        build(context, lock, site, engine, base_image, meanwhile, say)
        details = engine.image(meanwhile) or {}
        image = str(details["Id"])
        asked = _ask(engine, image)
        tag.check(lock, tag.Found(asked["torch"], asked["cuda"] or "", asked["python"]))
        base_id = str((engine.image(base_image) or {}).get("Id", ""))
        new = _record(profile_tag, context, lock, image, base_image, asked)
        new = new.model_copy(update={"scope": scope.of(context, base_id, context.dockerfile.splitlines())})
        for line in record.drift(new):
            say("drift", line)
        names = tag.names(lock.resolution, site.settings.tags, new.key, new.created)
        report = None
        if prove:
            report = runner.prove(engine, image, replace(wish, scope=new.scope), lambda step: say("~", step))
            for number, line in enumerate(reports.summary(report)):
                say("prove" if number == 0 else "", line)
            if not report.proven:
                engine.tag(image, names.failed)
                raise _not_proven(report, names, engine)
            new = new.model_copy(update={"proven": pipeline.today()})
        else:
            say("prove", f"not run (--no-test)          imagekit test {names.profile}")
        _tag(engine, image, names, say)
        record.save(new)
    return Done(image, names, new, report, int(details["Size"]), time.monotonic() - started)


@contextlib.contextmanager
def _named_meanwhile(engine: Engine) -> Iterator[str]:
    """A name for the image until it has earned its own; with the name goes an image that earned none.

    A folder of that name is left by a killed imagekit, or where the engine went away, and tells the next one to remove
    the image.
    """
    engine.sweep()  # a container holds its image
    for folder in scratch.left(scratch.IMAGE):
        if engine.untag(f"{MEANWHILE}:{folder.name}"):
            shutil.rmtree(folder, ignore_errors=True)
    removed = True
    try:
        with scratch.folder(scratch.IMAGE) as place:
            name = f"{MEANWHILE}:{place.name}"
            try:
                yield name
            except KeyboardInterrupt:
                time.sleep(SETTLE)
                raise
            finally:
                removed = engine.untag(name)
    finally:
        if not removed:  # the engine is gone: when it is back, the next imagekit finds the name
            place.mkdir()


def ensure_base(lock: Lock, engine: Engine, site: Site, say: Say) -> str:
    """The base's reference, made on first use for `distro:` bases."""
    wanted = lock.resolution.base
    if wanted.kind == "distro":
        return base.find(engine, wanted.name) or base.bootstrap(
            engine, wanted.name, wanted.packages, lambda text: say("base", text), site
        )
    reference = f"{wanted.name}@{wanted.digest}" if wanted.digest else wanted.name
    here = engine.image(reference)
    if here is None and engine.pull(reference):
        here = engine.image(reference)
    if here is None:
        raise Surroundings(
            f"the base image {reference} is not here and cannot be pulled",
            hint="--base distro:bookworm makes one from distribution packages",
        )
    if wanted.found and not wanted.digest and here["Id"] != wanted.found.id:
        raise Surroundings(
            f"the base image {reference} is another one than when it was locked",
            details=[f"locked  {wanted.found.id}", f"here    {here['Id']}"],
            hint="imagekit lock --upgrade takes the new one; an image with a registry's digest cannot move",
        )
    return reference


def _announce(context: Context, say: Say) -> None:
    groups = [
        f"{group} {amounts.size(sum(package.size for package in context.plan.packages(group)))}"
        for group in context.plan.groups
    ]
    steps = [unit.name for unit in context.plan.units if unit.kind == "steps"]
    layers = ["system", *groups, "own files", *steps]
    say("plan", f"{len(context.plan.units)} units in {len(layers)} layers: {', '.join(layers)}")


def _log(lock: Lock) -> Path:
    return cache() / "logs" / f"{lock.resolution.profile}-{time.strftime('%Y%m%d-%H%M%S')}.log"


def _check_disk(lock: Lock, engine: Engine, wheels: int = 0) -> None:
    """`wheels`: how often the engine holds all wheels besides what they become."""
    if not engine.client.images.list(filters={"label": f"io.imagekit.lock=sha256:{lock.digest}"}):
        pipeline.needs_disk(lock, engine.free_disk(), wheels)


def _say_built(built: Built, log: Path, started: float, say: Say) -> None:
    took = amounts.clock(time.monotonic() - started)
    say("build", f"{built.steps - built.cached} steps run, {built.cached} cached; log {log.name:<30} {took}")


def _build_classic(
    context: Context, lock: Lock, site: Site, engine: Engine, base_image: str, name: str, say: Say
) -> None:
    log, started = _log(lock), time.monotonic()
    _check_disk(lock, engine, wheels=2)  # in the context, and in the stages that install them
    with scratch.folder("context") as top:
        pipeline.write_context(context, top / "context", lock, site, say)
        built = classic.build(
            top / "context", engine, tag=name, log=log, arguments={"BASE": base_image},
            network=site.settings.build.network, proxies=site.build_proxies(), hide=site.hosts,
            progress=lambda step: say("~", step),
        )  # fmt: skip
    _say_built(built, log, started, say)


def _build(
    elsewhere: str, context: Context, lock: Lock, site: Site, engine: Engine, base_image: str, name: str, say: Say
) -> None:
    log = _log(lock)
    _check_disk(lock, engine)
    started = time.monotonic()
    shelf = Shelf(cache() / "built", wheels.store())
    arguments = {"BASE": base_image, "SOURCE_DATE_EPOCH": str(lock.epoch)}
    with scratch.folder("context") as top, pipeline.secrets(site) as secrets:
        folder, images = top / "context", dict[str, str]()
        if elsewhere:
            images = sent_base.contexts(lock.resolution.base, base_image, top / "base", site, say)
        build = functools.partial(
            buildkit.build, network=site.settings.build.network, proxies=site.build_proxies(), hide=site.hosts,
            builder=elsewhere, images=images,
        )  # fmt: skip
        pipeline.write_context(context, folder, lock, site, say)
        replaceable = engine.links and buildkit.has_buildx()
        stages = shelf.take(lock, base_image, top) if replaceable else {}
        built = build(
            folder, tag=name, log=log, secrets=secrets, arguments=arguments, stages=stages,
            progress=lambda step: say("~", step),
        )  # fmt: skip
        for package in sources(lock) if replaceable else []:
            if stage(package) not in stages:  # the build just made it, so this only copies it out of the build cache
                out = top / "out" / package.name
                build(
                    folder, log=top / "export.log", secrets=secrets, arguments=arguments,
                    target=stage(package), output=f"type=local,dest={out}",
                )  # fmt: skip
                shelf.keep(lock, base_image, package, out)
    _say_built(built, log, started, say)


def _ask(engine: Engine, image: str) -> dict[str, Any]:
    """What the image itself says: torch, cuda, python; system packages and built wheels with versions and hashes."""
    result = engine.run(image, ["/usr/bin/python3", "-I", "-c", _ASK], entrypoint=[], timeout=120, user=runner.UID)
    try:
        return dict(json.loads(result.stdout))
    except ValueError:
        raise BuildFailed(
            "the image cannot say which torch it has", details=result.stderr.strip().splitlines()[-5:],
            hint=answer.known([result.stderr]),
        ) from None  # fmt: skip


def _record(
    profile_tag: str, context: Context, lock: Lock, image: str, base_image: str, asked: dict[str, Any]
) -> Record:
    text = json.dumps(
        [context.plan.key, context.dockerfile, base_image, asked["system"], asked["built"]], sort_keys=True
    )
    key = hashlib.sha256(text.encode()).hexdigest()
    first = next((old.created for old in record.all_of(profile_tag) if old.key == key), pipeline.today())
    return Record(
        tag=profile_tag, key=key, created=first, image=image, lock=lock.digest, base=base_image, torch=asked["torch"],
        cuda=asked["cuda"] or "", python=asked["python"], system=asked["system"], built=asked["built"],
        packages={package.name: package.version for package in lock.packages}, trust=lock.resolution.trust,
        parts=context.plan.parts,
    )  # fmt: skip


def _tag(engine: Engine, image: str, names: tag.Names, say: Say) -> None:
    first = True
    for name in names.moving:
        old = engine.image(name)
        word = "new" if old is None else "unchanged" if old["Id"] == image else "moved"
        engine.tag(image, name)
        say("tag" if first else "", f"{name:<56} {word}")
        first = False
    old = engine.image(names.immutable)
    if old is None:
        engine.tag(image, names.immutable)
        say("", f"{names.immutable:<56} new, never moves")
    else:
        say("", f"{names.immutable:<56} {'unchanged' if old['Id'] == image else 'kept: same plan, other bytes'}")
    engine.untag(names.failed)


def _not_proven(report: reports.Report, names: tag.Names, engine: Engine) -> NotProven:
    still = engine.image(names.profile)
    was = f"{names.profile} is still {still['Id'][:19]}" if still else f"there is no {names.profile} yet"
    bad = [check.name for check in report.checks if check.bad]
    check = f" --check {bad[0]}" if bad else ""
    return NotProven(
        "the image is not proven",
        details=[*reports.failures(report), "", f"tag   none moved; {was}", f"kept  {names.failed}"],
        hint=f"again: imagekit test {names.failed}{check}",
    )
