"""torch and numpy that were compiled for different ABIs: "Numpy is not available" or a crash at the first array that a
data loader hands over, while both import with no more than a warning."""

from __future__ import annotations

import warnings

from ..check import Check, Failure, Figures, Image, import_torch, shorten


def run(image: Image) -> Figures:
    import numpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of what is judged here
        torch = import_torch()
        try:
            there = torch.from_numpy(numpy.arange(6, dtype="float32").reshape(2, 3))
            back = (there * 2).numpy()
        except Exception as error:  # RuntimeError: Numpy is not available; SystemError, AttributeError of broken ABIs
            raise Failure(
                found=shorten(f"torch {torch.__version__}, numpy {numpy.__version__}: {type(error).__name__}: {error}"),
                expected="an array becomes a tensor and an array again",
                because="this torch was compiled for another numpy: up to 2.2 for numpy 1",
                fix="numpy <2 with torch before 2.3",
            ) from error
    if back.tolist() != [[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]]:
        raise Failure(found=f"{back.tolist()}", expected="the array times two")
    return {"torch": str(torch.__version__), "numpy": numpy.__version__}


CHECK = Check(
    "numpy",
    "static",
    run,
    covers=("torch", "numpy"),
    applies=lambda image: image.has("numpy") and image.real_torch,
)
