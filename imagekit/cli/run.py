from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--gpus", type=click.Choice(["auto", "all", "none"]), default="auto", show_default=True,
        help="auto: all where the engine has any.",
    ),
    click.option("--cache", metavar="DIR|none", help="What is mounted at /cache; default: a named volume per user."),
    click.option("--mount/--no-mount", default=True, help="The current folder at /workspace, or the image's own."),
    click.option("-p", "--port", "ports", multiple=True, metavar="HOST:PORT", help="Publish a port; may repeat."),
    click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable; may repeat."),
    click.option("-u", "--user", metavar="UID[:GID]", help="Default: your own UID with group 0."),
    click.option("--print", "only_print", is_flag=True, help="Print the docker command instead of running it."),
    click.option("--overlay", multiple=True, metavar="FILE", help="The overlay of a profile's image; may repeat."),
    click.option("--site", metavar="FILE", help="Site file."),
)  # fmt: skip


def container_options(function: F) -> F:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


class Run(click.Command):
    """Options may stand before and after IMAGE; the first other word, or all after `--`, is the container's."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allow_interspersed_args = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._sorted(ctx, args))

    def _sorted(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Options, IMAGE, words: so that no option of the container's command is taken for one of ours."""
        head, image, words = self._split(ctx, args)
        if words[:1] == ["--"]:
            return [*head, image, *words[1:]]
        if not words or not words[0].startswith("-"):
            return args
        options, first, rest = self._split(ctx, words)
        options = [word for word in options if word != "--"]
        return [*head, *options, image, *([first] if first else []), *rest]

    def _split(self, ctx: click.Context, args: list[str]) -> tuple[list[str], str, list[str]]:
        found = self.make_parser(ctx).parse_args(list(args))[0]
        image, words = found.get("image_or_profile"), found.get("words")
        if not isinstance(image, str):
            return args, "", []
        given = list(words) if isinstance(words, (tuple, list)) else []
        return args[: len(args) - len(given) - 1], image, given


def start(name: str, words: tuple[str, ...], only_print: bool, options: dict[str, Any]) -> None:
    from imagekit import pipeline, running, target
    from imagekit.cli.output import Lines
    from imagekit.engines.docker_api import Engine
    from imagekit.errors import Surroundings

    say = Lines()
    site = options.pop("site")
    found = target.find(name, site, options.pop("overlay"))
    hub = pipeline.the_site(site).settings.hub.endpoint
    engine: Engine | None = None
    try:
        engine = Engine()
    except Surroundings as error:
        if not only_print:
            raise
        say("run", f"{error.message}: GPUs and ports of the image are not known")
    container = running.prepared(found, words, running.Options(**options, hub=hub), engine, say)
    call = running.command(container)
    if only_print:
        print(shlex.join(call))
        return
    running.execute(call, container)


@click.command("run", cls=Run)
@click.argument("image_or_profile")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[COMMAND]...")
@container_options
def command(image_or_profile: str, words: tuple[str, ...], only_print: bool, **options: Any) -> None:
    """Run an image with what PyTorch needs. A name with `:`, `/` or `@` is an image, else a profile."""
    start(image_or_profile, words, only_print, options)
