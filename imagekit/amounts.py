"""Bytes, seconds and figures as people read them."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes in powers of 1000, as disks and registries count: 6.1 GB, 123 MB, 45 kB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} GB" if name == "GB" else f"{count / unit:.0f} {name}"
    return f"{count:.0f} B"


def clock(seconds: float) -> str:
    """Minutes and seconds: 2:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def number(value: float) -> str:
    """Three digits, or all before the point: 35,600, 42.8, 0.967."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.3g}"
