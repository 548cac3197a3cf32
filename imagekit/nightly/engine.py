"""An image in the engine of this machine: its proof there, on its GPUs, and its figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from imagekit import remote, several
from imagekit.bench import measured
from imagekit.cells.document import Bench
from imagekit.engines.docker_api import Engine
from imagekit.errors import Surroundings
from imagekit.oci import reference as references
from imagekit.proof import attached
from imagekit.site import Site


class Here:
    """One image. Raises Surroundings where no engine answers, or it can have no such image."""

    def __init__(self, reference: str, site: Site, say: Callable[[str], None]) -> None:
        """`reference`: HOST/REPOSITORY@DIGEST; `say` gets each line that a call prints for people."""
        self._say = say
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

    def measured(self, settings: Bench, baseline: Path, out: Path) -> tuple[dict[str, float], list[str]]:
        """(median of each figure, what is worse than it may be). `out`: the figures as a file.

        The first figures are the baseline, until somebody removes that file: one that went along would let an image get
        slower bit by bit.
        """
        only = [part for name in settings.only for part in ("--only", name)]
        options = [*only, *(["--quick"] if settings.quick else []), "--max-regression", settings.max_regression]
        against = ["--against", str(baseline)] if baseline.is_file() else []
        done = self._call("bench", self.image, *options, *against, "--save", str(out))
        figures: dict[str, float] = {}
        if out.is_file():
            run = measured.from_json(json.loads(out.read_text(encoding="utf-8")))
            figures = {name: metric.median for name, metric in run.metrics()}
            if not against and not done.code:
                baseline.parent.mkdir(parents=True, exist_ok=True)
                out.replace(baseline)
        return figures, self._slower if done.code else []

    def _call(self, *arguments: str) -> several.Outcome:
        lines = list[str]()

        def said(_: str, line: str) -> None:
            lines.append(line)
            self._say(line)

        (done,) = several.run([several.Job("", arguments)], at_once=1, free_disk=lambda: None, say=said)
        start = next((number for number, line in enumerate(lines) if line.startswith("error:")), len(lines))
        self._slower = [line.strip() for line in lines[start + 1 :] if line.strip()] or ["it could not be measured"]
        return done
