"""Attention without its flash kernels: right numbers, memory that grows with the square of a video's length, and a
model that no longer fits."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image, progress, shorten

BACKENDS = ("FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION", "MATH")
"""Names of torch.nn.attention.SDPBackend; what this torch does not know is left out."""

OLD = {"FLASH_ATTENTION": "enable_flash", "EFFICIENT_ATTENTION": "enable_mem_efficient", "MATH": "enable_math"}
"""The same in torch 2.0 to 2.2."""

TOLERANCE = {"float16": 3e-3, "float32": 1e-5}
SHAPE = (2, 4, 256, 64)
"""Batch, heads, tokens, width of a head: what every backend accepts."""


def run(image: Image) -> Figures:
    import torch

    capability, compiled = torch.cuda.get_device_capability(0), highest(torch.cuda.get_arch_list())
    figures: Figures = attend("cuda", "float16")
    if not hasattr(torch.nn.functional, "scaled_dot_product_attention"):
        return {**figures, "flash": "not in this torch"}
    # A GPU newer than all that is compiled in runs older code; whether flash is among it is the wheel's business.
    if (8, 0) <= capability <= compiled and not isinstance(figures.get("FLASH_ATTENTION"), float):
        raise Failure(
            found=f"flash attention on {torch.cuda.get_device_name(0)}: {figures.get('FLASH_ATTENTION')}",
            expected="its kernels run from sm_80 on",
            because="a torch that was built without them",
            fix="the wheel of the index that the facts name",
        )
    progress("profiling the choice that torch makes")
    return {**figures, "default_kernels": _kernels(torch)}


def highest(compiled: list[str]) -> tuple[int, int]:
    """The newest architecture in torch.cuda.get_arch_list(): sm_90, sm_90a, compute_90."""
    numbers = ["".join(filter(str.isdigit, name)) for name in compiled]
    return max(((int(number[:-1]), int(number[-1])) for number in numbers if len(number) > 1), default=(0, 0))


def attend(device: str, kind: str) -> Figures:
    """For each backend its error against float64, or why it does not run on this device."""
    import torch

    torch.manual_seed(0)
    query, key, value = (torch.randn(SHAPE, dtype=torch.float64) for _ in range(3))
    exact = torch.softmax(query @ key.transpose(-1, -2) / SHAPE[-1] ** 0.5, dim=-1) @ value
    small = [part.to(device, getattr(torch, kind)) for part in (query, key, value)]
    attention = getattr(torch.nn.functional, "scaled_dot_product_attention", None)
    if attention is None:  # torch 1.13
        return {"MATH": _error(_by_hand(*small), exact, device, kind, "attention by hand")}
    figures: Figures = {"default": _error(attention(*small), exact, device, kind, "attention")}
    for name in BACKENDS:
        progress(f"attention by {name}")
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                with only(torch, name):
                    got = attention(*small)
            except (LookupError, RuntimeError) as error:  # LookupError: this torch does not know it
                # torch names the backend in one warning and says why in the next
                reasons = [str(warning.message) for warning in said if "not used because" not in str(warning.message)]
                figures[name] = shorten(" / ".join(reasons) or str(error), 120)
                continue
        figures[name] = _error(got, exact, device, kind, name)
    return figures


@contextlib.contextmanager
def only(torch: Any, name: str) -> Iterator[None]:
    """No other backend may run meanwhile: torch raises where it would fall back in silence."""
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # before torch 2.3
        if name not in OLD:
            raise LookupError("not in this torch") from None
        with torch.backends.cuda.sdp_kernel(**{option: known == name for known, option in OLD.items()}):
            yield
        return
    if not hasattr(SDPBackend, name):
        raise LookupError("not in this torch")
    with sdpa_kernel(getattr(SDPBackend, name)):
        yield


def _by_hand(query: Any, key: Any, value: Any) -> Any:
    return (query @ key.transpose(-1, -2) / SHAPE[-1] ** 0.5).softmax(dim=-1) @ value


def _error(got: Any, exact: Any, device: str, kind: str, name: str) -> float:
    gpu.stays(got, device, f"the result of {name}")
    off = float((got.double().cpu() - exact).abs().max() / exact.abs().max())
    if not off <= TOLERANCE[kind]:
        raise Failure(
            found=f"{name} in {kind} on {device}: off by {off:.1e} of its largest value",
            expected=f"at most {TOLERANCE[kind]:.0e} against float64",
        )
    return off


def _kernels(torch: Any) -> list[str] | str:
    """The GPU's own names of what runs when nothing is said; a figure, as a container may not be allowed to look."""
    parts = [torch.randn(SHAPE, dtype=torch.float16, device="cuda") for _ in range(3)]
    try:
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            torch.nn.functional.scaled_dot_product_attention(*parts, is_causal=True)
            torch.cuda.synchronize()
        names = {event.name for event in profiled.events() if not event.name.startswith(("cuda", "cu", "Memcpy"))}
    except Exception as error:  # CUPTI: no rights, another profiler, another version
        return shorten(f"{type(error).__name__}: {error}", 120)
    return [shorten(name, 80) for name in sorted(names)]


CHECK = Check("gpu-attention", "gpu", run, covers=("torch",), applies=gpu.promised, limit=120)
