"""An image as the engine gives it out (`docker save`), layer by layer. An engine gives out whole images only."""

from __future__ import annotations

import contextlib
import functools
import json
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import requests
from docker.errors import APIError

from imagekit import scratch
from imagekit.errors import Surroundings


@contextlib.contextmanager
def layers(api: Any, image: str) -> Iterator[list[Callable[[], tarfile.TarFile]]]:
    """The layers of an image, the lowest first, while this lasts. They are on the disk for that: about 10 s a gigabyte.

    Both forms are read, that of engines before 25 and the OCI layout. Raises Surroundings.
    """
    with scratch.folder("saved") as folder:
        path = folder / "image.tar"
        try:
            with path.open("wb") as file:
                for piece in api.get_image(image):
                    file.write(piece)
        except (APIError, requests.RequestException, OSError) as error:
            raise Surroundings(
                f"the layers of {image[:19]} could not be read: {error}",
                hint="is there room on the disk? The image is written to the cache folder for the time of the check",
            ) from None
        with tarfile.open(path) as archive:
            listed = archive.extractfile("manifest.json")
            names = json.loads(listed.read())[0]["Layers"] if listed else []
            yield [functools.partial(_open, archive, name) for name in names]


def _open(archive: tarfile.TarFile, name: str) -> tarfile.TarFile:
    return tarfile.open(fileobj=archive.extractfile(name))  # follows the links between equal layers
