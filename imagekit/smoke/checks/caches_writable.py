"""A cache that the pod's user cannot write: models are downloaded again at every start, or torch.compile fails."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..check import Check, Failure, Figures, Image

VARIABLES = (
    ("XDG_CACHE_HOME", ()),
    ("TORCH_HOME", ("torch",)),
    ("HF_HOME", ("transformers", "huggingface-hub")),
)
"""Variables that say where a cache is, and the packages that read them (none: always)."""

OF_COMPILE = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def required(image: Image) -> list[str]:
    names = [name for name, readers in VARIABLES if not readers or any(image.has(reader) for reader in readers)]
    return names + (list(OF_COMPILE) if "compile" in image.features else [])


def run(image: Image) -> Figures:
    bad = [f"{name} is not set" for name in required(image) if not os.environ.get(name)]
    folders = [*(image.facts.get("caches") or ()), os.environ.get("HOME", ""), "/workspace"]
    folders += [os.environ[name] for name in required(image) if os.environ.get(name)]
    for folder in dict.fromkeys(filter(None, folders)):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder) as probe:
                probe.write(b"written")
        except OSError as error:
            bad.append(f"{folder}: {error.strerror}")
    if bad:
        raise Failure(
            found="; ".join(bad),
            expected=f"uid {os.getuid()} with group 0 can write there",
            because="the folder is not of group 0 with g+rwX, or is a mount with other owners",
            fix="chgrp -R 0 and chmod -R g+rwX the folder in the image; for a mount, set fsGroup: 0",
        )
    return {"folders": len(set(folders)), "uid": os.getuid()}


CHECK = Check("caches-writable", "static", run, needs=("lock",))
