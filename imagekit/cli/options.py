"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_WISHES = (
    click.option("--torch", metavar="VER", help="torch version, as 2.9, v2.9 or 2.9.1."),
    click.option("--cuda", metavar="VER", help="CUDA version, as 12.1, cu121 or 121."),
    click.option("--python", metavar="VER", help="Python version, as 3.11."),
    click.option("--base", metavar="BASE", help="distro:SUITE or image:REFERENCE."),
    click.option("--with", "with_", multiple=True, metavar="PKG", help="One more package (PEP 508); may repeat."),
    click.option("--overlay", multiple=True, metavar="FILE", help="A layer on top, such as company.yaml; may repeat."),
    click.option("--feature", multiple=True, metavar="NAME", help="One more feature, such as dev; may repeat."),
    click.option("--allow-unknown", is_flag=True, help="Take a torch that is not in the facts as its index has it."),
)
_SITE = click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
_LOCK = (
    click.option("--locked", is_flag=True, help="A missing or stale lock is an error."),
    click.option("--frozen", is_flag=True, help="Trust the lock as it is."),
    click.option("--upgrade", is_flag=True, help="Newest versions that fit."),
    click.option("--upgrade-package", multiple=True, metavar="PKG", help="Newest version of one package."),
)


engine_option = click.option(
    "--engine", type=click.Choice(["auto", "buildkit", "classic", "compose"]), default="auto",
    help="What builds: BuildKit; the classic builder, for which every Python file is in the context; or compose, "
    "which needs no engine.",
)  # fmt: skip

pyc_option = click.option(
    "--no-pyc", is_flag=True,
    help="No bytecode in the image: it is smaller and sooner there, and every process compiles what it imports.",
)  # fmt: skip


def wishes(function: F) -> F:
    for option in reversed(_WISHES):
        function = option(function)
    return _SITE(function)


def locking(function: F) -> F:
    for option in reversed(_LOCK):
        function = option(function)
    return function


def parse_wishes(options: dict[str, Any]) -> Any:
    from imagekit import profile

    return profile.wish(
        torch=options.pop("torch"), cuda=options.pop("cuda"), python=options.pop("python"), base=options.pop("base"),
        packages=options.pop("with_"), features=options.pop("feature"), overlays=options.pop("overlay"),
        allow_unknown=options.pop("allow_unknown"),
    )  # fmt: skip


def parse_locking(options: dict[str, Any]) -> Any:
    from imagekit.locking import LockOptions

    return LockOptions(
        locked=options.pop("locked"), frozen=options.pop("frozen"), upgrade=options.pop("upgrade"),
        upgrade_packages=options.pop("upgrade_package"),
    )  # fmt: skip


def arguments(context: click.Context) -> tuple[str, ...]:
    """The options that a command was called with, to call it again for one of several."""
    given: list[str] = []
    for option in context.command.params:
        value: Any = context.params.get(option.name or "")
        if not isinstance(option, click.Option) or option.name == "jobs" or value is None:
            continue
        if option.is_flag:
            given += [option.opts[0]] if value else []
        else:
            given += [part for one in (value if option.multiple else [value]) for part in (option.opts[0], str(one))]
    return tuple(given)
