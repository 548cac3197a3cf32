"""Is there a GPU here? Asked of the driver, so that the answer does not depend on the torch under test."""

from __future__ import annotations

import ctypes
import os

NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE"""


def absent() -> str:
    """Why no GPU can be used here; empty when one can.

    Asked in a process of its own: once CUDA has been started in a process, its forks cannot use it.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, _ask_driver().encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        reason = answer.read().decode()
    _, status = os.waitpid(pid, 0)
    return "no GPU here (the driver library crashed)" if os.WIFSIGNALED(status) else reason


def _ask_driver() -> str:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no GPU here"
    code = driver.cuInit(0)
    if code == NO_DEVICE:
        return "no GPU here"
    if code:
        return f"no GPU here (cuInit returned {code})"
    count = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(count))
    return "" if count.value else "no GPU here"
