"""For which GPUs the libraries of an image hold code: read by a container of it, nothing is imported."""

from __future__ import annotations

import json
from typing import Any

from imagekit import resources
from imagekit.errors import Surroundings
from imagekit.inspection import Inspection


def of_image(engine: Any, of: Inspection) -> dict[str, tuple[list[str], list[str]]]:
    """Library in site-packages -> (machine code, PTX) for GPUs that it has: ({"sm_80", "sm_90"}, {"compute_90"}).

    A container reads its own files; nothing of them is imported. Raises Surroundings.
    """
    program = (resources.smoke() / "fatbin.py").read_text(encoding="utf-8")
    said = engine.run(of.image, ["-I", "-c", program], entrypoint=["/opt/venv/bin/python"], timeout=300)
    try:
        found: dict[str, tuple[list[str], list[str]]] = json.loads(said.stdout)
    except ValueError:
        raise Surroundings(
            f"the libraries of {of.reference} could not be read", details=said.stderr.splitlines()[-3:]
        ) from None
    return found
