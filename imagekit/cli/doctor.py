from __future__ import annotations

import json

import click


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Findings and verdict as JSON on stdout.")
@click.option("--site", metavar="FILE", help="Site file; default: imagekit.toml here, if there is one.")
@click.option("--script", is_flag=True, help="Print the preflight of the images instead, for the start of a service.")
@click.pass_context
def command(context: click.Context, as_json: bool, site: str | None, script: bool) -> None:
    """Examine this machine: what is wrong with it, and how to mend it. Ends with 4 when something fails."""
    from imagekit.doctor import preflight

    if script:
        print(preflight.path().read_text(encoding="utf-8"), end="")
        return
    from imagekit import pipeline
    from imagekit.cli.output import Lines, settle
    from imagekit.doctor import examination
    from imagekit.doctor.host import Host

    say = Lines()
    findings = list(examination.examine(Host(pipeline.the_site(site)), say=lambda text: say("~", text)))
    settle()
    told = json.dumps(examination.document(findings), indent=1) if as_json else "\n".join(examination.answer(findings))
    print(told)
    context.exit(4 if examination.failed(findings) else 0)
