"""plan -> Dockerfile and context. Pure: the same lock gives the same bytes, on any machine.

A dialect is a template for one builder. For BuildKit, wheels of the default index are fetched while building, by hash.
Wheels of other indexes (private, behind a password, on this machine) cannot be: no index or credential enters a stage,
so they are files of the context, named in `Context.wheels` for the caller to place. The classic builder has no secrets
at all, so for it every Python file is one of those.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from imagekit import __version__, resources, scratch
from imagekit.errors import UsageError
from imagekit.lock import standin
from imagekit.lock.model import Lock, Package, Tool, dump
from imagekit.plan import Plan, group_of, plan, system_packages
from imagekit.resolution import AptSource

ABOUT = {
    "cuda": "The CUDA libraries: the largest part, and the one that changes least. No bytecode: they fit every Python.",
    "torch": "torch and what is built against it: changes with torch only.",
    "heavy": "Large libraries.",
    "rest": "Everything else: small, and what changes most often.",
}

ENV = {
    "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    # an arbitrary UID has no passwd entry; torch.compile asks getpass, which reads these first
    "HOME": "/home/imagekit",
    "USER": "imagekit",
    "LOGNAME": "imagekit",
    "VIRTUAL_ENV": "/opt/venv",
    "PYTHONUNBUFFERED": "1",
    "TORCH_HOME": "/cache/torch",
    "HF_HOME": "/cache/huggingface",
    "TORCHINDUCTOR_CACHE_DIR": "/cache/inductor",
    "TRITON_CACHE_DIR": "/cache/triton",
    "XDG_CACHE_HOME": "/cache/xdg",
    "PIP_CONSTRAINT": "/opt/imagekit/constraints.txt",
    "UV_CONSTRAINT": "/opt/imagekit/constraints.txt",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
}
"""The image contract (docs/image.md). A profile's env comes on top."""

EPOCH = 1735689600
"""SOURCE_DATE_EPOCH of all layers, 2025-01-01. Not the day of the lock: a lock made a day later would change every
layer. The image's own creation time is the lock's."""

CACHES = ("TORCH_HOME", "HF_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")


@dataclass(frozen=True)
class File:
    content: bytes
    mode: int = 0o644
    link: str = ""
    """Target, for a symbolic link."""


@dataclass(frozen=True)
class Context:
    dockerfile: str
    files: dict[str, File]
    wheels: dict[str, Package]
    """Path in the context -> the file of the wheel store that belongs there."""
    plan: Plan
    tools: dict[str, tuple[Tool, ...]] = field(default_factory=dict)
    """Folder in the context -> tools whose files belong there too: a lock has their hashes, an index their names."""


def context(lock: Lock, *, dialect: str = "buildkit", link: bool = True, own: dict[str, File] | None = None) -> Context:
    """The whole build context of a lock.

    `dialect`: buildkit | classic; `link`: the engine knows COPY --link; `own`: the profile's own files.
    """
    offline = dialect == "classic"
    files = _rootfs(lock)
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
            source = f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n"
            files[f"sources/{package.name}/source.txt"] = File(source.encode())
            requires = _requirements(lock.build_requires[package.name]) + _pip(lock)
            files[f"sources/{package.name}/requires.txt"] = File(requires.encode())
            if offline:
                pip = lock.package("pip")
                assert pip is not None
                wheels |= {f"sources/{package.name}/{file.file}": file for file in (package, pip)}
                tools[f"sources/{package.name}"] = lock.build_requires[package.name]
    ignore = "# everything here belongs to the image\n"
    files[".dockerignore"] = File(ignore.encode())
    copied = [path for path in places if path.startswith("files/")]
    return Context(_dockerfile(the_plan, dialect, link, copied), files, wheels, the_plan, tools)


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
    for place in [folder, *folder.rglob("*")]:
        if place.suffix != ".whl":  # may be a hard link into the store
            _date(place, EPOCH)


def _date(path: Path, epoch: int) -> None:
    """SOURCE_DATE_EPOCH in whole seconds, as layers keep it; the nanoseconds tell one content from another.

    BuildKit takes a file of the last context for this one when size and time are the same, and never looks inside.
    """
    plain = path.is_file() and not path.is_symlink()
    nanoseconds = int(hashlib.sha256(path.read_bytes()).hexdigest()[:16], 16) % 1_000_000_000 if plain else 0
    time = epoch * 1_000_000_000 + nanoseconds
    os.utime(path, ns=(time, time), follow_symlinks=False)


_SHARED = ("/workspace", "/cache", "/home/imagekit")
"""Folders that group 0 writes to: a layer that lists one sets its mode anew."""


def _folders(top: Path, folder: Path) -> None:
    """Make a folder of the context with the modes that it has in the image, whatever this machine's umask is."""
    if folder == top or folder.is_dir():
        return
    _folders(top, folder.parent)
    folder.mkdir()
    place = "/" + "/".join(folder.relative_to(top).parts[1:])
    folder.chmod(0o2775 if place in _SHARED else 0o755)


def _dockerfile(the_plan: Plan, dialect: str, link: bool, own: list[str]) -> str:
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
            "bytecode": group != "cuda",
            "sources": [package for package, _ in sources if group_of(package) == group],
        }
        for group in the_plan.groups
    ]
    return env.get_template(f"{dialect}.Dockerfile.j2").render(
        name=r.profile, version=__version__, r=r, base=base_reference(lock), apt=system_packages(lock),
        epoch=EPOCH, sources=[{"package": package, "build": build} for package, build in sources], groups=groups,
        link=" --link" if link and dialect == "buildkit" else "", files=own, env={**ENV, **r.env}, labels=labels(lock),
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


def labels(lock: Lock) -> dict[str, str]:
    """What the image tells of itself, readable without running it (`docker inspect`, a registry)."""
    r = lock.resolution
    facts = {
        "profile": r.profile, "lock": f"sha256:{lock.digest}", "torch": r.torch, "cuda": r.cuda, "variant": r.variant,
        "python": r.python, "gpu-architectures": " ".join(r.gpu_architectures), "min-driver": r.min_driver,
        "glibc": r.glibc, "cpu-level": r.cpu_level, "os": r.os, "features": " ".join(r.features),
        "version": __version__,
        "suffix": " ".join(r.differs), "overlays": " ".join(r.overlays),
        "trust": " ".join(f"{name}=sha256:{digest}" for name, digest in sorted(r.trust.items())),
    }  # fmt: skip
    own = {f"io.imagekit.{key}": value for key, value in facts.items() if value}
    title = {"org.opencontainers.image.title": f"pytorch {r.torch} CUDA {r.cuda} {r.profile}"}
    return {**r.labels, **title, **own}


def _rootfs(lock: Lock) -> dict[str, File]:
    """/opt/venv's own files and /opt/imagekit: the lock, the facts for preflight and proof, the smoke program."""
    r = lock.resolution
    home = "rootfs/opt/imagekit"
    constraints = "".join(f"{p.name}=={p.version}\n" for p in lock.packages)
    files = {
        "rootfs/opt/venv/pyvenv.cfg": File(b"home = /usr/bin\ninclude-system-site-packages = false\n"),
        "rootfs/opt/venv/bin/python": File(b"", link="/usr/bin/python3"),
        "rootfs/opt/venv/bin/python3": File(b"", link="python"),
        f"rootfs/opt/venv/bin/python{r.python}": File(b"", link="python"),
        f"rootfs/opt/venv/lib/python{r.python}": File(b"", link="python"),
        f"{home}/lock.json": File(_image_lock(lock)),
        f"{home}/image.json": File(_image_facts(lock)),
        f"{home}/constraints.txt": File(constraints.encode()),
    }
    smoke = resources.smoke()
    for path in sorted(smoke.rglob("*")):
        name = path.relative_to(smoke).as_posix()
        left_out = ("runner.py", "__init__.py", *_not_for(r.features))
        if path.is_file() and "__pycache__" not in name and name not in left_out:
            program = name in _PROGRAMS
            place = f"{home}/{name}" if program else f"{home}/smoke/{name}"
            files[place] = File(path.read_bytes(), 0o755 if program else 0o644)
    return files


_PROGRAMS = {"start": "", "sshd": "dev"}
"""What is run by its name, and the feature that it belongs to."""


def _not_for(features: tuple[str, ...]) -> list[str]:
    return [name for name, feature in _PROGRAMS.items() if feature and feature not in features]


def _image_lock(lock: Lock) -> bytes:
    """The lock as it is, and for each package what the proof asks: its group, whether it has files of its own."""
    raw = json.loads(dump(lock))
    for entry, package in zip(raw["packages"], lock.packages, strict=True):
        entry |= {"group": group_of(package), "standin": package.kind == "standin", "source": package.kind == "sdist"}
    r = lock.resolution
    raw |= {"torch": r.torch, "cuda": r.cuda, "variant": r.variant, "python": r.python, "replace": r.replace}
    return (json.dumps(raw, indent=1, sort_keys=True) + "\n").encode()


def _image_facts(lock: Lock) -> bytes:
    r = lock.resolution
    torch = lock.package("torch")
    formats = [form for build in r.builds for form in build.formats if lock.package(build.package)]
    facts = {
        "profile": r.profile, "torch": r.torch, "cuda": r.cuda or None, "python": r.python, "glibc": r.glibc,
        "gpu_architectures": r.gpu_architectures, "min_driver": r.min_driver, "cpu_level": r.cpu_level,
        "features": r.features, "expects": {**r.expects, "formats": formats}, "user": "1000:0",
        "caches": ["/cache", *(ENV[name] for name in CACHES)],
        "standin_torch": torch is not None and torch.size < 1_000_000,
    }  # fmt: skip
    facts |= {"trust": sorted(r.trust)} if r.trust else {}
    facts |= {"starts": r.starts} if r.starts else {}
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()


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
