from __future__ import annotations

import json

import click


@click.group("cache", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """What imagekit keeps on this machine to be quick: list, prune, verify.

    All of it can be fetched or made again. Locks, records and evidence are elsewhere.
    """
    if not context.invoked_subcommand:
        _show(as_json)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON on stdout.")
def listed(as_json: bool) -> None:
    """What there is of each kind, and how large it is. `imagekit cache` alone does the same."""
    _show(as_json)


def _show(as_json: bool) -> None:
    from imagekit import amounts, caches, scratch

    rows = caches.kinds()
    engine = _engine()
    if as_json:
        own = {row.name: {"count": row.count, "bytes": row.size} for row in rows}
        print(json.dumps({**own, **({"engine": {"bytes": engine}} if engine is not None else {})}, indent=1))
        return
    print(f"{scratch.cache()}")
    for row in rows:
        print(f"{row.name:<8} {amounts.size(row.size):>8}  {row.count:>6}  {row.what}")
    if engine is not None:
        print(f"{'engine':<8} {amounts.size(engine):>8}          build cache of the engine: docker builder prune")


@command.command("prune")
@click.option("--to", "limit", metavar="SIZE", help="What may stay; default: build.cache_gb of the site.")
@click.option("--site", metavar="FILE", help="Site file.")
def prune(limit: str | None, site: str | None) -> None:
    """Remove what was used longest ago until wheels, layers and roots take at most SIZE. `--to 0` removes all."""
    from imagekit import amounts, caches, pipeline

    most = caches.amount(limit) if limit else pipeline.the_site(site).settings.build.cache
    print(f"{amounts.size(caches.prune(most))} removed")


@command.command("verify")
def verify() -> None:
    """Read every wheel and layer. Damaged ones are removed; exit code 4 where there were any."""
    from imagekit import caches
    from imagekit.errors import Surroundings

    bad = caches.verify()
    if bad:
        raise Surroundings(f"{len(bad)} damaged files were removed", details=bad, hint="is the disk failing?")
    print("all are what they were")


def _engine() -> int | None:
    """Bytes of the engine's build cache; None without an engine."""
    from imagekit.engines.docker_api import Engine
    from imagekit.errors import Surroundings

    try:
        return Engine().build_cache()
    except Surroundings:
        return None
