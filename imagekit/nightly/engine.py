"""An image in the engine of this machine: its proof there, on its GPUs, and its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from imagekit import files, remote, several
from imagekit.bench import measured
from imagekit.cells.document import Bench
from imagekit.engines.docker_api import Engine
from imagekit.errors import NotProven, Surroundings
from imagekit.nightly.state import kept
from imagekit.nightly.verdict import Verdict
from imagekit.oci import reference as references
from imagekit.proof import attached
from imagekit.site import Site


class Here:
    """One image. Raises Surroundings where no engine answers, or it can have no such image."""

    def __init__(self, reference: str, site: Site, site_file: str, say: Callable[[str], None]) -> None:
        """`reference`: HOST/REPOSITORY@DIGEST; `site_file`: as the command line names it; `say` gets each line that a
        call prints for people."""
        self._say, self._site = say, (("--site", site_file) if site_file else ())
        found = references.parse(reference)
        _, config = attached.names_of(remote.repository(found, site), found.digest)
        engine = Engine()
        if engine.image(config) is None:
            engine.pull(reference)
        held = engine.image(config) or engine.image(reference)
        if held is None:
            raise Surroundings(f"the engine cannot pull {reference}", hint="docker pull says why")
        self.image = str(held["Id"])

    def proven(self) -> int:
        """Exit code of the whole proof."""
        return self._call("test", self.image, "--fresh").code

    def measured(self, settings: Bench, baseline: Path, out: Path) -> Verdict:
        """`out`: the figures as a file.

        The first figures are the baseline, until somebody removes that file: one that went along would let an image get
        slower bit by bit. Raises Surroundings where they cannot be kept.
        """
        only = [part for name in settings.only for part in ("--only", name)]
        options = [*only, *(["--quick"] if settings.quick else []), "--max-regression", settings.max_regression]
        against = ["--against", str(baseline)] if baseline.is_file() else []
        done = self._call("bench", self.image, *options, *against, "--save", str(out))
        if done.code not in (0, NotProven.exit_code) or not out.is_file():
            return Verdict()
        run = measured.from_json(json.loads(out.read_text(encoding="utf-8")))
        if not against and not done.code:
            with kept("the baseline"):
                files.write(baseline, out.read_bytes())
        figures = {name: metric.median for name, metric in run.metrics()}
        return Verdict(not (run.bad or run.problem), tuple(self._slower if done.code else ()), figures)

    def _call(self, *arguments: str) -> several.Outcome:
        lines = list[str]()

        def said(_: str, line: str) -> None:
            lines.append(line)
            self._say(line)

        (done,) = several.run([several.Job("", (*arguments, *self._site))], at_once=1, free_disk=lambda: None, say=said)
        why = several.complaint(lines)[1:]
        self._slower = [line.strip() for line in why if line.strip()] or ["it could not be measured"]
        return done
