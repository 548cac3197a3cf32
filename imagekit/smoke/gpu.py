"""Which GPUs are here? Asked of the driver, so that the answer does not depend on the torch under test."""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
from dataclasses import dataclass
from functools import cache
from typing import Any

from .check import Failure, Image

NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE"""

COMPUTE_MAJOR, COMPUTE_MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR"""


PATIENCE = 60.0
"""Seconds for the driver to answer: one with a broken GPU may never."""


@dataclass(frozen=True)
class Gpus:
    absent: str = ""
    """Why none can be used; empty when one can."""
    names: tuple[str, ...] = ()
    """As the driver names them, with their architecture: NVIDIA H100 80GB HBM3 (sm_90)."""
    driver: str = ""
    """550.54.15; empty when NVML does not tell."""


def promised(image: Image) -> bool:
    """Whether the image claims to compute on one."""
    return image.real_torch and bool(image.cuda)


def stays(values: Any, device: str, what: str) -> Any:
    """The tensor as it is, or a Failure: what falls back to the CPU gives right numbers and takes a hundred times as
    long, so that only its device tells."""
    if values.device.type != device.partition(":")[0]:
        raise Failure(found=f"{what} is on {values.device}", expected=f"on {device}, where its inputs are")
    return values


@cache
def here() -> Gpus:
    """Asked once, in a process of its own: after CUDA has been started in a process, its forks cannot use it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(_ask_driver().__dict__).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb", buffering=0) as answer:
        ready, _, _ = select.select([answer], [], [], PATIENCE)
        said = answer.read(2**16) if ready else b""
    if not ready:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return Gpus(f"no GPU here (the driver did not answer within {PATIENCE:.0f} s)")
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) or not said:
        return Gpus("no GPU here (the driver library crashed)")
    found = json.loads(said)
    return Gpus(found["absent"], tuple(found["names"]), found["driver"])


def uuid(index: int) -> str:
    """What the driver calls this GPU and no other one, be it a part of one (MIG). Starts CUDA in this process."""
    cuda = ctypes.CDLL("libcuda.so.1")
    device, number = ctypes.c_int(), ctypes.create_string_buffer(16)
    # the second version tells the parts of one GPU apart; drivers before 470 do not have it
    ask = cuda.cuDeviceGetUuid_v2 if hasattr(cuda, "cuDeviceGetUuid_v2") else cuda.cuDeviceGetUuid
    code = cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), index) or ask(number, device)
    if code:
        raise Failure(found=f"the driver returned {code} for the name of GPU {index}", expected="its UUID")
    return number.raw.hex()


def _ask_driver() -> Gpus:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return Gpus("no GPU here")
    code = cuda.cuInit(0)
    if code == NO_DEVICE:
        return Gpus("no GPU here")
    if code:
        return Gpus(f"no GPU here (cuInit returned {code})")
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    names = tuple(_name(cuda, number) for number in range(count.value))
    return Gpus("" if names else "no GPU here", names, _driver())


def _name(cuda: ctypes.CDLL, number: int) -> str:
    device, text = ctypes.c_int(), ctypes.create_string_buffer(128)
    cuda.cuDeviceGet(ctypes.byref(device), number)
    cuda.cuDeviceGetName(text, len(text), device)
    numbers = []
    for attribute in (COMPUTE_MAJOR, COMPUTE_MINOR):
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(str(value.value))
    return f"{text.value.decode(errors='replace')} (sm_{''.join(numbers)})"


def _driver() -> str:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return ""
    text = ctypes.create_string_buffer(96)
    told = nvml.nvmlInit_v2() == 0 and nvml.nvmlSystemGetDriverVersion(text, len(text)) == 0
    return text.value.decode(errors="replace") if told else ""
