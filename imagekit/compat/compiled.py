"""The code for GPUs that is in the libraries of an image, instead of what the facts say of its torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from imagekit.compat import nodes
from imagekit.compat.choose import Choice
from imagekit.compat.nodes import Node
from imagekit.compat.rows import FROM_IMAGE, Variant

TORCH = ("torch/lib/libtorch_cuda.so", "torch/lib/libtorch_cuda_cu.so")
"""Where the kernels of torch are; torch 1.13 has the second."""


@dataclass(frozen=True)
class Compiled:
    libraries: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    """Path in site-packages -> (machine code, PTX): (("sm_80", "sm_90"), ("compute_90",))."""

    def into(self, choice: Choice) -> Choice:
        """The choice with the architectures of the torch that is in the image; as it is, where that has none."""
        name = next((name for name in TORCH if name in self.libraries), "")
        return replace(choice, variant=self._variant(choice.variant, name)) if name else choice

    def lacking(self, variant: Variant, node: Node) -> Iterator[str]:
        """The libraries besides torch's own that have code for GPUs, and none for this one."""
        for name in self.libraries:
            of = self._variant(variant, name)
            if node.sm and name not in TORCH and not nodes.runs(of, node.sm):
                model = node.gpu.name if node.gpu else node.sm
                yield f"{name} has code for {nodes.span(of.gpu_architectures or ())}, and none for {model}"

    def _variant(self, variant: Variant, name: str) -> Variant:
        machine, ptx = self.libraries[name]
        return replace(variant, gpu_architectures=machine, ptx=ptx, sources=(FROM_IMAGE,))
