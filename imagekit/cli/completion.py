from __future__ import annotations

import click
from click.shell_completion import CompletionItem

VARIABLE = "_IMAGEKIT_COMPLETE"
"""With it in the environment, click completes instead of running."""

_NAMES = ("profile", "profiles", "image_or_profile", "extends")
"""Parameters that take a profile."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes SHELL complete commands, options and profiles of imagekit.

    bash, in ~/.bashrc, and zsh, in ~/.zshrc: eval "$(imagekit completion bash)", or zsh.
    fish: imagekit completion fish > ~/.config/fish/completions/imagekit.fish
    """
    from click.shell_completion import get_completion_class

    from imagekit.cli import imagekit

    kind = get_completion_class(shell)
    assert kind is not None
    # not .source(): click's one for bash would run bash to ask for its version
    print(kind.source_template % kind(imagekit, {}, "imagekit", VARIABLE).source_vars())


def teach(command: click.Command) -> None:
    """Let the parameters of a verb that take a profile complete its name."""
    for parameter in command.params:
        if parameter.name in _NAMES:
            parameter.shell_complete = _profiles  # type: ignore[method-assign]


def _profiles(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    from imagekit import profile

    if incomplete.startswith((".", "/", "~")):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in profile.names() if name.startswith(incomplete)]
