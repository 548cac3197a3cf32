"""A cluster that gives every pod a user id of its own, and a program that asks who it is: "getpwuid(): uid not found"
in torch.compile, in a logger or in a cache, before the first step."""

from __future__ import annotations

import getpass
import importlib
import os
import pwd
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..check import Check, Failure, Figures, Image

CACHE_DIRS = (
    "torch._inductor.runtime.cache_dir_utils",
    "torch._inductor.runtime.runtime_utils",
    "torch._inductor.codecache",
)
"""Where `cache_dir` was, newest first (2.6, 2.4, 2.0). 1.13 has no inductor."""


def run(image: Image) -> Figures:
    name = ask("getpass.getuser()", getpass.getuser)
    home = ask("pathlib.Path.home()", lambda: str(Path.home()))
    if not Path(home).is_absolute():
        _fail("pathlib.Path.home()", f"{home!r}, which is no folder")
    temporary = ask("tempfile", _temporary)
    figures: Figures = {"uid": os.getuid(), "passwd_entry": has_entry(os.getuid()), "user": name}
    figures.update(home=home, home_writable=os.access(home, os.W_OK | os.X_OK), temporary=temporary)
    if image.real_torch and (cache := _inductor()):
        figures["inductor_cache"] = cache
    return figures


def has_entry(uid: int) -> bool:
    """With an entry nothing here can fail for want of one: the figure says how much this run proves."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _temporary() -> str:
    """The folder that a user's program gets: that of this check is another one."""
    mine, tempfile.tempdir = tempfile.tempdir, None
    variable = os.environ.pop("TMPDIR", None)
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "probe").write_text("written", encoding="utf-8")
        return str(Path(folder).parent)
    finally:
        tempfile.tempdir = mine
        if variable is not None:
            os.environ["TMPDIR"] = variable


def _inductor() -> str:
    """The folder that torch.compile takes when no variable names one: it has the user's name in it."""
    os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
    for place in CACHE_DIRS:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("torch._inductor"):
                continue
            raise
        if hasattr(module, "cache_dir"):
            return ask(f"{place}.cache_dir()", module.cache_dir)
    return ""


def ask(what: str, question: Callable[[], str]) -> str:
    try:
        return question()
    except Exception as error:  # KeyError, OSError since Python 3.13, RuntimeError of Path.home
        _fail(what, f"{type(error).__name__}: {error}")
        raise


def _fail(what: str, found: str) -> None:
    raise Failure(
        found=f"{what}: {found}",
        expected=f"an answer for uid {os.getuid()}, {'with' if has_entry(os.getuid()) else 'without'} a passwd entry",
        because="HOME, USER or LOGNAME is not set, or the folder of temporary files cannot be written",
        fix="keep the image's HOME, USER and LOGNAME; mount no /tmp that this user cannot write",
    )


CHECK = Check("user-id", "static", run, covers=("torch",))
