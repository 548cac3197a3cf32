"""plan -> Dockerfile and context. Pure: the same lock gives the same bytes, on any machine.

A dialect is a template for one builder. For BuildKit, wheels of the default index are fetched while building, by hash.
Wheels of other indexes (private, behind a password, on this machine) cannot be: no index or credential enters a stage,
so they are files of the context, named in `Context.wheels` for the caller to place. The classic builder has no secrets
at all, so for it every Python file is one of those.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from imagekit import __version__, contract, resources, scratch
from imagekit.contract import File
from imagekit.errors import UsageError
from imagekit.lock import standin
from imagekit.lock.model import Lock, Package, Tool
from imagekit.oci.tar import EPOCH
from imagekit.plan import Plan, group_of, plan, system_packages
from imagekit.resolution import AptSource

ABOUT = {
    "cuda": "The CUDA libraries: the largest part, and the one that changes least. No bytecode: they fit every Python.",
    "torch": "torch and what is built against it: changes with torch only.",
    "heavy": "Large libraries.",
    "rest": "Everything else: small, and what changes most often.",
    "wins": "What stands over other packages where both bring a file of one name.",
}


@dataclass(frozen=True)
class Context:
    dockerfile: str
    files: dict[str, File]
    wheels: dict[str, Package]
    """Path in the context -> the file of the wheel store that belongs there."""
    plan: Plan
    tools: dict[str, tuple[Tool, ...]] = field(default_factory=dict)
    """Folder in the context -> tools whose files belong there too: a lock has their hashes, an index their names."""
    pyc: bool = True
    """Whether the image has bytecode of its packages."""


def context(
    lock: Lock, *, dialect: str = "buildkit", link: bool = True, own: dict[str, File] | None = None, pyc: bool = True
) -> Context:
    """The whole build context of a lock.

    `dialect`: buildkit | classic; `link`: the engine knows COPY --link; `own`: the profile's own files; `pyc`: with
    bytecode of the packages.
    """
    offline = dialect == "classic"
    files = contract.files(lock, pyc=pyc)
    places = {_place(path, lock): file for path, file in (own or {}).items()}
    archives = lock.resolution.apt_sources
    places |= {f"apt/sources.list.d/{archive.name}.sources": File(_deb822(archive)) for archive in archives}
    hashes = {path: _sha256(file) for path, file in {**files, **places}.items()}
    the_plan = plan(lock, hashes)
    files |= places
    files["tools/tools.txt" if offline else "tools.txt"] = File(_requirements(lock.tools).encode())
    tools = {"tools": lock.tools} if offline else {}
    wheels: dict[str, Package] = {}
    for group in the_plan.groups:
        lines = []
        for package in the_plan.packages(group):
            place = f"wheels/{group}/{package.file}"
            if package.kind == "standin":
                files[place] = File(_standin(lock, package))
            elif package.kind == "wheel" and (offline or package.index != "pypi"):
                wheels[place] = package
            if package.kind != "sdist":
                lines.append(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
        files[f"wheels/{group}/requirements.txt"] = File("".join(lines).encode())
    for package in lock.packages:
        if package.kind == "sdist":
            # an index names a file by its version, an archive of a commit is named by the commit
            name, at = package.name, f" @ file:///build/{package.file}" if package.git else f"=={package.version}"
            files[f"sources/{name}/source.txt"] = File(f"{name}{at} --hash=sha256:{package.sha256}\n".encode())
            if package.git:
                wheels[f"sources/{package.name}/{package.file}"] = package
            beside = [
                row for row in lock.beside(package.name)  # without those that are there as layers
                if row.kind == "wheel" and group_of(row, lock.resolution.wins) not in ("cuda", "torch")
            ]  # fmt: skip
            pinned = "".join(f"{row.name}=={row.version} --hash=sha256:{row.sha256}\n" for row in beside)
            requires = _requirements(lock.build_requires[package.name]) + pinned + _pip(lock)
            files[f"sources/{package.name}/requires.txt"] = File(requires.encode())
            wheels |= {f"sources/{package.name}/{row.file}": row for row in beside if offline or row.index != "pypi"}
            if offline:
                pip = lock.package("pip")
                assert pip is not None
                wheels |= {f"sources/{package.name}/{file.file}": file for file in (package, pip)}
                tools[f"sources/{package.name}"] = lock.build_requires[package.name]
    ignore = "# everything here belongs to the image\n"
    files[".dockerignore"] = File(ignore.encode())
    copied = [path for path in places if path.startswith("files/")]
    return Context(_dockerfile(the_plan, dialect, link, copied, pyc), files, wheels, the_plan, tools, pyc)


def _place(path: str, lock: Lock) -> str:
    """Where a file of the image is in the context: what the system stage needs is apart."""
    r = lock.resolution
    early = {f"/usr/local/share/ca-certificates/{name}": f"trust/{name}" for name in r.trust}
    early |= {f"/etc/apt/keyrings/{source.key}": f"apt/keyrings/{source.key}" for source in r.apt_sources}
    return early.get(path, f"files{path}")


def _deb822(source: AptSource) -> bytes:
    """A file of /etc/apt/sources.list.d (sources.list(5)): this archive's packages by this key only."""
    components = f"Components: {' '.join(source.components)}\n" if source.components else ""
    head = f"Types: deb\nURIs: {source.uri}\nSuites: {' '.join(source.suites)}\n"
    return f"{head}{components}Signed-By: /etc/apt/keyrings/{source.key}\n".encode()


def write(rendered: Context, folder: Path, store_path: Any) -> None:
    """Write a context. `store_path(package)` gives the path of a wheel of the store.

    Refuses a folder that holds anything imagekit did not write, so that no one's work is mixed into an image.
    """
    marker = folder / ".imagekit"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", hint="-o names a folder")
    if folder.is_dir() and any(folder.iterdir()):
        if not marker.is_file():
            raise UsageError(f"{folder} is not empty and was not rendered by imagekit", hint="name a new folder")
        import shutil

        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text("rendered\n")
    for path, file in {"Dockerfile": File(rendered.dockerfile.encode()), **rendered.files}.items():
        target = folder / path
        _folders(folder, target.parent)
        if file.link:
            target.symlink_to(file.link)
        else:
            target.write_bytes(file.content)
            target.chmod(file.mode)
    for path, package in rendered.wheels.items():
        target = folder / path
        _folders(folder, target.parent)
        source = store_path(package)
        try:
            os.link(source, target)
        except OSError:
            import shutil

            shutil.copyfile(source, target)
    held = {folder / path for path in rendered.wheels}
    for place in [folder, *folder.rglob("*")]:
        if place not in held:  # may be a hard link into the store
            _date(place, EPOCH)


def _date(path: Path, epoch: int) -> None:
    """SOURCE_DATE_EPOCH in whole seconds, as layers keep it; the nanoseconds tell one content from another.

    BuildKit takes a file of the last context for this one when size and time are the same, and never looks inside.
    """
    plain = path.is_file() and not path.is_symlink()
    nanoseconds = int(hashlib.sha256(path.read_bytes()).hexdigest()[:16], 16) % 1_000_000_000 if plain else 0
    time = epoch * 1_000_000_000 + nanoseconds
    os.utime(path, ns=(time, time), follow_symlinks=False)


def _folders(top: Path, folder: Path) -> None:
    """Make a folder of the context with the modes that it has in the image, whatever this machine's umask is."""
    if folder == top or folder.is_dir():
        return
    _folders(top, folder.parent)
    folder.mkdir()
    place = "/".join(folder.relative_to(top).parts[1:])
    folder.chmod(0o2775 if place in contract.SHARED else 0o755)


def _dockerfile(the_plan: Plan, dialect: str, link: bool, own: list[str], pyc: bool) -> str:
    lock = the_plan.lock
    r = lock.resolution
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resources.templates()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=_compiled(),
    )
    env.filters["quoted"] = _quoted
    env.filters["shell"] = _shell
    sources = [
        (package, build)
        for package in lock.packages
        for build in r.builds
        if package.kind == "sdist" and package.name == build.package
    ]
    groups = [
        {
            "name": group,
            "about": ABOUT[group],
            "bytecode": pyc and group != "cuda",
            "sources": [
                {"package": package, "build": build} for package, build in sources if group_of(package, r.wins) == group
            ],
        }
        for group in the_plan.groups
    ]
    return env.get_template(f"{dialect}.Dockerfile.j2").render(
        name=r.profile, version=__version__, r=r, base=base_reference(lock), apt=system_packages(lock),
        epoch=EPOCH, groups=groups,
        link=" --link" if link and dialect == "buildkit" else "", files=own, env={**contract.ENV, **r.env},
        labels=contract.labels(lock),
    )  # fmt: skip


def _compiled() -> jinja2.BytecodeCache | None:
    """Where compiled templates are kept: compiling them is a tenth of the time of `imagekit render`."""
    folder = scratch.cache() / "templates"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return jinja2.FileSystemBytecodeCache(str(folder))


def base_reference(lock: Lock) -> str:
    base = lock.resolution.base
    if base.kind == "distro":
        return f"imagekit/base:{base.name}"
    return f"{base.name}@{base.digest}" if base.digest else base.name


def _standin(lock: Lock, package: Package) -> bytes:
    by = next(b for a, b in lock.resolution.replace.items() if a == package.name)
    replacement = lock.package(by)
    assert replacement is not None
    return standin.wheel(package.name, replacement.name, replacement.version)[1]


def _pip(lock: Lock) -> str:
    """pip builds wheels from source: the locked one, where it is not among the build requirements by itself."""
    pip = lock.package("pip")
    assert pip is not None  # the image contract
    return f"pip=={pip.version} --hash=sha256:{pip.sha256}\n"


def _requirements(tools: tuple[Tool, ...]) -> str:
    return "".join(f"{t.name}=={t.version} {' '.join(f'--hash=sha256:{h}' for h in t.hashes)}\n" for t in tools)


def _sha256(file: File) -> str:
    return hashlib.sha256(f"{file.mode:o} {file.link}\n".encode() + file.content).hexdigest()


def _quoted(text: str) -> str:
    """A Dockerfile string: no variable of the builder is expanded in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", " ")
    return f'"{escaped}"'


def _shell(text: str) -> str:
    import shlex

    return shlex.quote(text)
