"""The command line: parse, call one function, print. Verbs are loaded when they are used."""

from __future__ import annotations

import errno
import importlib
import os
import sys

import click

from imagekit import __version__
from imagekit.errors import Error, Surroundings, without_logins

GROUPS = {
    "Every day": {
        "profiles": "What can I build.",
        "build": "Build, prove and tag an image.",
        "run": "Run an image with what PyTorch needs.",
        "shell": "Open a shell in an image.",
        "test": "Prove an image from inside.",
        "inspect": "Tell what an image is, without starting it.",
        "init": "Write a first profile, or a Dockerfile on top of an image.",
    },
    "Understand": {
        "explain": "Why an image is what it is: versions, rules, facts.",
        "compat": "Which torch goes with which CUDA, Python, GPU and driver.",
        "diff": "What differs between two images, and what a node has to pull.",
        "doctor": "Examine this machine: what is wrong, and how to mend it.",
        "diagnose": "What an error text or a log means, and what mends it.",
    },
    "Platform": {
        "lock": "Pin every version of a profile.",
        "plan": "Show units, groups, sizes and keys.",
        "render": "Write a Dockerfile and its context.",
        "fetch": "All that an image is made of, for a machine without a network.",
        "publish": "Push a proven image, and give it its names in a registry.",
        "promote": "Copy a proven image into another repository.",
        "verify": "Compare an image of a registry with what is said of it.",
        "sbom": "What is in an image of a registry, as SPDX; its licences.",
        "scan": "Known vulnerabilities of an image of a registry, by trivy.",
        "rollback": "Put names back to the image before.",
        "matrix": "Show the images of pipeline.yaml, for people, GitHub or bake.",
        "nightly": "Make again what must be made again of pipeline.yaml, and why.",
        "rebase": "Put the newest distribution packages under an image.",
        "bench": "Measure an image from inside, and compare.",
        "evidence": "List what was proven of an image, where and when.",
    },
    "Housekeeping": {
        "site": "Show which indexes, CA and registry apply, and from where.",
        "base": "Make a base image from distribution packages.",
        "cache": "What is kept to be quick: list, prune, verify.",
        "registry": "What a registry holds of a team's images: prune.",
        "schema": "JSON Schema of profiles, overlays and site files.",
        "completion": "Completion of commands and profiles for a shell.",
    },
}
"""The verbs with their one line of help, here so that --help loads none of them."""


class Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [verb for verbs in GROUPS.values() for verb in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command = importlib.import_module(f"imagekit.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        if "_IMAGEKIT_COMPLETE" in os.environ:
            from imagekit.cli.completion import teach

            teach(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.list_commands(ctx):
            import difflib

            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f" Did you mean {near[0]}?" if near else " imagekit --help lists them."
            ctx.fail(f"there is no command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group, verbs in GROUPS.items():
            with formatter.section(group):
                formatter.write_dl(list(verbs.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="imagekit")
def imagekit() -> None:
    """PyTorch+CUDA images whose every version is chosen from facts, pinned, and proven from inside."""


def execute() -> int:
    """Run the command line; the exit code of errors.py."""
    # looking for plugins of pydantic in every installed distribution takes a tenth of the start-up time
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    from imagekit.cli.output import plain, settle

    try:
        try:
            # an Exit of a verb comes back as its code
            code = imagekit.main(prog_name="imagekit", standalone_mode=False)
        finally:
            settle()
            if "imagekit.scratch" in sys.modules:
                sys.modules["imagekit.scratch"].clean()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        print("\ninterrupted: nothing was tagged, what was started is stopped", file=sys.stderr)
        return 130
    except Error as error:
        print(f"error: {plain(without_logins(str(error)))}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f" for {error.filename}" if error.filename else ""
        print(f"error: no space left on this machine{where}\n  hint: free some disk", file=sys.stderr)
        return Surroundings.exit_code
    return code if isinstance(code, int) else 0
