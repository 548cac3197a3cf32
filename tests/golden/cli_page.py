"""docs/cli.md: every verb with every option, out of the verbs themselves. tests/golden/update.py writes it."""

from __future__ import annotations

from pathlib import Path

import click

from imagekit import cli

FILE = Path(__file__).parents[2] / "docs/cli.md"

HEAD = """\
# Commands

Every verb and every option. This page is written by `make golden` from the verbs themselves.

- PROFILE is a built-in name, a YAML file, or a folder with an `imagekit.yaml`. IMAGE is what `docker run` takes.
- Where both are taken, a name with `:`, `/` or `@` is an image; a name that begins with `.` or `/`, or ends in `.yaml`, is the path of a profile; any other is a built-in profile. An answer says which was taken.
- stdout is one line that another program takes, a table, or JSON with `--json`. stderr is for people; the first word of a line is the stage.
- Exit codes are in the [README](../README.md#exit-codes). `run` and `shell` end with the code of the container.
- `imagekit VERB --help` says the same in a terminal. [Completion](#completion) knows verbs, options and profiles.
"""


def page() -> str:
    parts = [HEAD]
    group = cli.imagekit
    assert isinstance(group, cli.Verbs)
    for title, verbs in cli.GROUPS.items():
        parts.append(f"## {title}\n")
        for verb in verbs:
            command = group.get_command(click.Context(group), verb)
            assert command is not None
            parts += _verb(f"imagekit {verb}", verb, command)
    return "\n".join(parts)


def _verb(path: str, heading: str, command: click.Command) -> list[str]:
    if isinstance(command, click.Group):
        parts = [f"### {heading}\n", f"{command.help}\n"]
        for name, child in sorted(command.commands.items()):
            parts += _verb(f"{path} {name}", f"{heading} {name}", child)
        return parts
    with click.Context(command, info_name=path) as context:
        usage = " ".join(command.collect_usage_pieces(context))
        rows = [_row(option, context) for option in command.params if isinstance(option, click.Option)]
    table = ["| option | |\n|---|---|\n" + "".join(rows)] if rows else []
    return [f"### {heading}\n", f"`{path} {usage}`\n", f"{_flat(command.help or '')}\n", *table]


def _row(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    if record is None:
        return ""
    names, text = record
    return f"| `{names.replace('|', chr(92) + '|')}` | {_flat(text)} |\n"


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
