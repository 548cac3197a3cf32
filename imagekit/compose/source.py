"""Packages that have no wheel, built from their source once, in a root of their own with no network.

What the Dockerfile engines do in a stage (templates/base.Dockerfile.j2), with the same recipe. The wheel is kept by
what it was made from: source, recipe, and the versions of the distribution packages that it was built with.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from imagekit import namespaces, scratch
from imagekit.built import Shelf
from imagekit.compose import room, system, tree
from imagekit.diagnose import answer
from imagekit.errors import BuildFailed
from imagekit.lock.model import Lock, Package
from imagekit.oci import tar
from imagekit.oci.archive import pieces
from imagekit.oci.installed import SITE, VENV, files
from imagekit.oci.kept import Kept
from imagekit.render import Context
from imagekit.resolution import SourceBuild
from imagekit.scratch import cache
from imagekit.site import Site
from imagekit.wheels import Store

PATIENCE = 3600
"""Seconds for one build."""

NOBODY = 12345
"""Who a build runs as where root asks for it."""


def wheel(
    context: Context, lock: Lock, package: Package, made: system.System, store: Store,
    say: Callable[[str, str], None], fetched: Callable[[str], Mapping[str, Path]],
) -> tuple[Path, str]:  # fmt: skip
    """(path, sha256) of a wheel of `package`, built in what `around_it` gives.

    `fetched(folder)`: path in the context -> file, of what it is built from. Raises BuildFailed.
    """
    recipe = _recipe(lock, package)
    around = hashlib.sha256(json.dumps(sorted(made.packages.items())).encode()).hexdigest()
    built = Shelf(cache() / "built", store)
    found = built.find(lock, package, around)
    if not found:
        say("source", f"{package.name} {package.version}")
        with scratch.folder("source") as place:
            out = _build(context, lock, package, recipe, made, fetched(f"sources/{package.name}"), store, place)
            built.keep(lock, around, package, out)
        found = built.find(lock, package, around)
        assert found
    return found


def around_it(
    context: Context, lock: Lock, package: Package, site: Site, shelf: Kept, say: Callable[[str, str], None]
) -> system.System:
    """What a package is built in. Raises Surroundings where it cannot be had, BuildFailed."""
    recipe, r = _recipe(lock, package), lock.resolution
    names = {*recipe.apt_build, *recipe.apt_runtime}
    if on_the_image(lock, package):
        return system.make(lock, context.files, site, shelf, say, more=names)
    # fewer packages than the image has: an update of one of those builds nothing again
    return system.of_packages(r.base.name, {*r.base.packages, *names}, site, shelf, say, level=1)


def on_the_image(lock: Lock, package: Package) -> bool:
    """Whether it is built on all that the image has below its wheels: CUDA code takes the image's compiler."""
    r = lock.resolution
    return r.base.kind != "distro" or bool(r.apt_sources or r.trust or _recipe(lock, package).ops)


def _recipe(lock: Lock, package: Package) -> SourceBuild:
    return next(build for build in lock.resolution.builds if build.package == package.name)


def _build(
    context: Context, lock: Lock, package: Package, recipe: SourceBuild, made: system.System,
    inputs: Mapping[str, Path], store: Store, place: Path,
) -> Path:  # fmt: skip
    """The folder that holds nothing but the wheel."""
    root = place / "root"
    root.mkdir()
    for one in made.layers:
        tree.extract(one, root, keep_owners=False)
    for folder in ("build", "wheels"):
        (root / folder).mkdir()
    own = f"sources/{package.name}/"
    for path, file in context.files.items():
        if path.startswith(own):
            (root / "build" / path.removeprefix(own)).write_bytes(file.content)
    for path, source in inputs.items():
        if path.endswith(".whl"):
            _install(source, root, lock.resolution.python)
        (root / "build" / Path(path).name).write_bytes(source.read_bytes())
    environment = {
        "PATH": namespaces.PATH, **made.env, "HOME": "/home", "LANG": "C.UTF-8", "SOURCE_DATE_EPOCH": str(tar.EPOCH),
        "PYTHONHASHSEED": "0", "PYTHONPATH": f"/{SITE}", **recipe.env,
    }  # fmt: skip
    if recipe.ops:
        for row in lock.beside(package.name):
            if row.kind == "wheel" and not (root / "build" / row.file).exists():
                _install(store.path(row.file, row.sha256), root, lock.resolution.python)
        (root / VENV / "bin/python").symlink_to("/usr/bin/python3")
        environment |= {"CUDA_HOME": recipe.cuda_home, "PATH": f"/{VENV}/bin:{environment['PATH']}"}
        if recipe.cuda_home.startswith(f"/{VENV}/"):
            _as_a_toolkit(root / recipe.cuda_home.lstrip("/"))
    if package.git:
        environment["SETUPTOOLS_SCM_PRETEND_VERSION"] = package.version
    call = ["python3", "-m", "pip", "wheel", "-q", "--no-index", "--find-links", "/build", "--no-deps"]
    call += ["--no-build-isolation", "--no-cache-dir", "--no-binary", ":all:", "--require-hashes"]
    # root outside is nobody inside; whoever is root of his own users only stays that
    user = "0:0"
    if os.getuid() == 0:
        user = f"{NOBODY}:{NOBODY}"
        for folder in ("build", "wheels", "home"):
            (root / folder).mkdir(exist_ok=True)
            for place in (root / folder, *(root / folder).rglob("*")):
                os.chown(place, NOBODY, NOBODY)
    process = room.start(
        root, [*call, "-r", "/build/source.txt", "-w", "/wheels"], environment, user=user, workdir="/build"
    )
    try:
        _, complaint = process.communicate(timeout=PATIENCE)
    except BaseException as error:
        room.end(process)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise BuildFailed(f"{package.name} was not built from its source within {PATIENCE // 60} minutes") from None
        raise
    wheels = list((root / "wheels").glob("*.whl"))
    if process.returncode or len(wheels) != 1:
        text = complaint.decode("utf-8", "replace")
        raise BuildFailed(
            f"{package.name} could not be built from its source", details=text.strip().splitlines()[-12:],
            hint=answer.known([text]),
        )  # fmt: skip
    return root / "wheels"


def _as_a_toolkit(home: Path) -> None:
    """CUDA's wheels have `lib` with numbered libraries; who links asks for `lib64`, and for those without a number."""
    (home / "lib64").symlink_to("lib")
    for library in sorted((home / "lib").glob("*.so.*")):
        link = library.with_name(f"{library.name.partition('.so.')[0]}.so")
        link.unlink(missing_ok=True)
        link.symlink_to(library.name)


def _install(wheel: Path, root: Path, python: str) -> None:
    for file in files(wheel, python):
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            out.writelines((file.content,) if isinstance(file.content, bytes) else pieces(file.content))
        target.chmod(0o755 if file.executable else 0o644)
