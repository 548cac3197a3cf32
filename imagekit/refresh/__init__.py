"""What package indexes have that the facts do not: names of files and metadata of wheels, and nothing else of them.

listing.py reads a page, metadata.py a wheel's METADATA, reading.py makes rows of both, compare.py says what is new in
them, data_file.py writes that into torch.yaml. An index is a witness: it adds to the facts, and what it contradicts is
told and left to a person.
"""

from __future__ import annotations

from pathlib import Path

from imagekit.compat.facts import Facts
from imagekit.refresh import compare, data_file
from imagekit.refresh.reading import Reader
from imagekit.refresh.report import Refreshed
from imagekit.site import Site


def refresh(known: Facts, site: Site, folder: Path, indexes: tuple[str, ...], day: str, thorough: bool) -> Refreshed:
    """What the indexes have that `known` does not, and the text of `folder`'s torch.yaml with it. Nothing is written.

    An installed imagekit has its facts compiled and no torch.yaml: then there is no text.

    `day` (ISO) is cited as the source of what is new. Raises Surroundings where an index does not answer.
    """
    reader = Reader(site, known)
    found = tuple(compare.changes(reader, indexes, thorough))
    file = folder / data_file.FILE
    if not file.exists():
        return Refreshed(found, "", "", reader.builds)
    before = file.read_text(encoding="utf-8")
    return Refreshed(found, before, data_file.updated(before, found, day, indexes), reader.builds)
