"""An operator that is wrong by a little on this kind of CPU: oneDNN, MKL or OpenBLAS picks its code by the instructions
it finds, and a model then trains to something else on one node than on another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..check import Check, Failure, Figures, Image, import_torch, progress

SIZES = (5, 32, 67)
"""Below, at and beside the width of vectors and blocks."""

EXACT, CLOSE, SUMS, SOLVED, PLACES = 0.0, 2e-6, 2e-5, 1e-4, 1e-4
"""What may be lost against float64, as a part of the largest value: nothing where values only move; a few roundings;
the sums of long products; factorisations of well-conditioned matrices; places in a picture, which are rounded too."""


@dataclass(frozen=True)
class Operator:
    name: str
    tolerance: float
    inputs: Callable[[Source, int], tuple[Any, ...]]
    """From a source of random tensors and a size."""
    apply: Callable[..., Any]
    """From torch and the inputs, to a tensor."""


class Source:
    """Random tensors, the same on every machine."""

    def __init__(self, torch: Any) -> None:
        self.torch, self.generator = torch, torch.Generator().manual_seed(0)

    def __call__(self, *shape: int) -> Any:
        return self.torch.randn(*shape, generator=self.generator)

    def indices(self, below: int, *shape: int) -> Any:
        return self.torch.randint(below, shape, generator=self.generator)

    def regular(self, n: int) -> Any:
        """A matrix that is far from singular."""
        return self(n, n) + 4 * n**0.5 * self.torch.eye(n)


def _attention(torch: Any, query: Any, key: Any, value: Any) -> Any:
    fused = getattr(torch.nn.functional, "scaled_dot_product_attention", None)  # since 2.0
    if fused is not None:
        return fused(query, key, value)
    return torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, -1) @ value


def _convolution_gradient(torch: Any, inputs: Any, weight: Any) -> Any:
    weight = weight.clone().requires_grad_()
    return torch.autograd.grad(torch.conv2d(inputs, weight, padding=1).square().sum(), weight)[0]


def _svd(torch: Any, matrix: Any) -> Any:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return torch.cat([values, ((left * values) @ right).flatten()])


def _qr(torch: Any, matrix: Any) -> Any:
    orthogonal, upper = torch.linalg.qr(matrix)
    return torch.cat([(orthogonal @ upper).flatten(), (orthogonal.t() @ orthogonal).flatten()])


def _grid_sample(torch: Any, picture: Any, places: Any) -> Any:
    return torch.nn.functional.grid_sample(picture, torch.tanh(places), align_corners=False)


def _interpolate(torch: Any, picture: Any) -> Any:
    return torch.nn.functional.interpolate(picture, scale_factor=1.7, mode="bicubic", align_corners=False)


OPERATORS = (
    Operator("matmul", SUMS, lambda r, n: (r(n, 4 * n + 1), r(4 * n + 1, n)), lambda t, a, b: a @ b),
    Operator("bmm", SUMS, lambda r, n: (r(3, n, 2 * n), r(3, 2 * n, n)), lambda t, a, b: t.bmm(a, b)),
    Operator("linear", SUMS, lambda r, n: (r(7, n), r(2 * n, n), r(2 * n)), lambda t, *x: t.nn.functional.linear(*x)),
    Operator("einsum", SUMS, lambda r, n: (r(2, n, 9), r(9, n, 3)), lambda t, a, b: t.einsum("bij,jik->bk", a, b)),
    Operator("conv1d", SUMS, lambda r, n: (r(2, 4, 3 * n), r(8, 4, 5)), lambda t, *x: t.conv1d(*x, padding=2)),
    Operator("conv2d", SUMS, lambda r, n: (r(2, 4, n, n + 3), r(8, 4, 3, 3)), lambda t, *x: t.conv2d(*x, padding=1)),
    Operator(
        "conv2d-depthwise", SUMS, lambda r, n: (r(2, 16, n, n), r(16, 1, 3, 3)),
        lambda t, *x: t.conv2d(*x, stride=2, padding=1, groups=16),
    ),
    Operator("conv2d-gradient", SUMS, lambda r, n: (r(2, 4, n, n), r(8, 4, 3, 3)), _convolution_gradient),
    Operator("conv3d", SUMS, lambda r, n: (r(1, 3, 6, n, n), r(4, 3, 3, 3, 3)), lambda t, *x: t.conv3d(*x, padding=1)),
    Operator("conv-transpose2d", SUMS, lambda r, n: (r(2, 8, n, n), r(8, 4, 2, 2)),
             lambda t, *x: t.conv_transpose2d(*x, stride=2)),
    Operator("max-pool2d", EXACT, lambda r, n: (r(2, 4, n, n),), lambda t, x: t.max_pool2d(x, 3, 2, 1)),
    Operator("avg-pool2d", CLOSE, lambda r, n: (r(2, 4, n, n),), lambda t, x: t.nn.functional.avg_pool2d(x, 3, 2, 1)),
    Operator("softmax", CLOSE, lambda r, n: (10 * r(9, n),), lambda t, x: t.softmax(x, -1)),
    Operator("logsumexp", CLOSE, lambda r, n: (10 * r(9, n),), lambda t, x: t.logsumexp(x, -1)),
    Operator("layer-norm", SUMS, lambda r, n: (r(9, n) + 3,), lambda t, x: t.layer_norm(x, x.shape[1:])),
    Operator("group-norm", SUMS, lambda r, n: (r(2, 8, n) + 3,), lambda t, x: t.group_norm(x, 4)),
    Operator("batch-norm", SUMS, lambda r, n: (r(16, n) + 3,),
             lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True)),
    Operator("gelu", CLOSE, lambda r, n: (r(9, n),), lambda t, x: t.nn.functional.gelu(x)),
    Operator("attention", SUMS, lambda r, n: (r(2, 3, n, 16), r(2, 3, n, 16), r(2, 3, n, 16)), _attention),
    Operator("embedding", EXACT, lambda r, n: (r(50, n), r.indices(50, 4, n)), lambda t, w, i: w[i]),
    Operator("gather", EXACT, lambda r, n: (r(9, n), r.indices(n, 9, 2 * n)), lambda t, x, i: t.gather(x, 1, i)),
    Operator("scatter-add", SUMS, lambda r, n: (r(9, 40), r.indices(n, 9, 40)),
             lambda t, x, i: t.zeros(9, 67, dtype=x.dtype).scatter_add(1, i, x)),
    Operator("sort", EXACT, lambda r, n: (r(9, 8 * n),), lambda t, x: t.sort(x, -1)[0]),
    Operator("topk", EXACT, lambda r, n: (r(9, 8 * n),), lambda t, x: t.topk(x, 5)[0]),
    Operator("cumsum", SUMS, lambda r, n: (r(9, 8 * n),), lambda t, x: t.cumsum(x, -1)),
    Operator("sum", SUMS, lambda r, n: (r(9, 999 * n) + 1,), lambda t, x: x.sum(-1)),
    Operator("cdist", SUMS, lambda r, n: (r(n, 8), r(n, 8) + 1), lambda t, *x: t.cdist(*x)),
    Operator("fft", SUMS, lambda r, n: (r(3, 6 * n),), lambda t, x: t.view_as_real(t.fft.rfft(x))),
    Operator("ifft", SUMS, lambda r, n: (r(3, 6 * n),), lambda t, x: t.fft.irfft(t.fft.rfft(x), n=x.shape[-1])),
    Operator("solve", SOLVED, lambda r, n: (r.regular(n), r(n, 3)), lambda t, *x: t.linalg.solve(*x)),
    Operator("svd", SOLVED, lambda r, n: (r(n, n // 2 + 1),), _svd),
    Operator("qr", SOLVED, lambda r, n: (r(n, n // 2 + 1),), _qr),
    Operator("eigh", SOLVED, lambda r, n: (r(n, n),), lambda t, x: t.linalg.eigvalsh(x + x.t())),
    Operator("cholesky", SOLVED, lambda r, n: (r.regular(n),), lambda t, x: t.linalg.cholesky(x @ x.t())),
    Operator("interpolate", PLACES, lambda r, n: (r(2, 3, n, n + 2),), _interpolate),
    Operator("grid-sample", PLACES, lambda r, n: (r(2, 3, n, n), r(2, 9, 9, 2)), _grid_sample),
)  # fmt: skip


def run(image: Image) -> Figures:
    torch = import_torch()
    torch.set_num_threads(1)
    source, worst = Source(torch), dict[str, float]()
    for operator in OPERATORS:
        for size in SIZES:
            progress(f"{operator.name}, size {size}")
            worst[operator.name] = larger(worst.get(operator.name, 0.0), _off(torch, operator, source, size))
    far = {name: f"{off:.1e}" for name, off in worst.items() if not off <= tolerance(name)}
    if far:
        raise Failure(
            found="; ".join(f"{name} is off by {off}" for name, off in far.items()),
            expected="; ".join(f"{name} within {tolerance(name):.0e} of float64" for name in far),
            because="the code that torch chose for this CPU; ONEDNN_MAX_CPU_ISA and MKL_ENABLE_INSTRUCTIONS narrow it",
        )
    return {"cpu": _capability(torch), **{name: float(f"{off:.1e}") for name, off in worst.items()}}


def _off(torch: Any, operator: Operator, source: Source, size: int) -> float:
    """The largest difference between float32 and float64 of the same numbers, as a part of the largest value."""
    inputs = operator.inputs(source, size)
    wide = [value.double() if value.is_floating_point() else value for value in inputs]
    got, meant = operator.apply(torch, *inputs), operator.apply(torch, *wide)
    if got.shape != meant.shape or got.dtype != torch.float32:
        return float("inf")
    return float((got.double() - meant).abs().max() / meant.abs().max())


def larger(one: float, other: float) -> float:
    """max() that keeps what is no number, wherever it stands."""
    return one if one != one or one > other else other


def tolerance(name: str) -> float:
    return next(operator.tolerance for operator in OPERATORS if operator.name == name)


def _capability(torch: Any) -> str:
    asked = getattr(getattr(torch.backends, "cpu", None), "get_cpu_capability", None)  # since 2.1
    return str(asked()) if asked else "unknown"


CHECK = Check(
    "deep-operators", "deep", run, covers=("torch", "numpy"), applies=lambda image: image.real_torch, limit=300
)
