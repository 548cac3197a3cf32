"""CUDA graphs that replay something else than what was captured: inference servers and reduce-overhead give answers to
the wrong input."""

from __future__ import annotations

from typing import Any

from .. import gpu
from ..check import Check, Failure, Figures, Image, progress
from . import training

REPLAYS, WARM_UP = 4, 3
TOLERANCE = 1e-5
"""The same kernels run; only cuBLAS may choose others while it is captured."""


def run(image: Image) -> Figures:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    return {"forward": _forward(torch), "training_step": _training(torch)}


def _forward(torch: Any) -> float:
    progress("capturing a forward pass")
    network, static = training.model().cuda(), torch.zeros(32, 16, device="cuda")
    with torch.no_grad():
        _warm_up(torch, lambda: network(static))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = network(static)
        off = 0.0
        for number in range(REPLAYS):
            inputs = torch.randn(32, 16, generator=torch.Generator().manual_seed(number)).cuda()
            static.copy_(inputs)
            graph.replay()
            off = max(off, _off(outputs, network(inputs), f"replay {number} of a forward pass"))
    return off


def _training(torch: Any) -> float:
    """A whole step (forward, backward, SGD) captured once and replayed on other batches, as the documentation does."""
    progress("capturing a training step")
    inputs, wanted = (part.cuda() for part in training.data().tensors)
    size, static = 64, (torch.zeros(64, 16, device="cuda"), torch.zeros(64, 4, device="cuda"))
    captured, eager = training.model().cuda(), training.model().cuda()
    first = {name: value.clone() for name, value in captured.state_dict().items()}
    fast, plain = (torch.optim.SGD(network.parameters(), lr=0.1) for network in (captured, eager))

    def step(network: Any, optimiser: Any, batch: Any, targets: Any) -> Any:
        optimiser.zero_grad(set_to_none=True)
        loss = torch.nn.functional.mse_loss(network(batch), targets)
        loss.backward()
        optimiser.step()
        return loss

    _warm_up(torch, lambda: step(captured, fast, *static))
    fast.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(captured, fast, *static)
    captured.load_state_dict(first)  # the warm-up has moved the weights
    for number in range(REPLAYS):
        rows = slice(number * size, (number + 1) * size)
        static[0].copy_(inputs[rows])
        static[1].copy_(wanted[rows])
        graph.replay()
        step(eager, plain, inputs[rows], wanted[rows])
    pairs = zip(captured.parameters(), eager.parameters())
    return max(_off(got, meant, "weights after replayed steps") for got, meant in pairs)


def _warm_up(torch: Any, body: Any) -> None:
    """Libraries set themselves up at first use, which cannot be captured; a side stream is what capture asks for."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            body()
    torch.cuda.current_stream().wait_stream(side)


def _off(got: Any, meant: Any, what: str) -> float:
    off = float((gpu.stays(got, "cuda", what).detach() - meant.detach()).abs().max())
    if not off <= TOLERANCE:
        raise Failure(found=f"{what}: off by {off:.1e} from eager", expected=f"at most {TOLERANCE:.0e}")
    return off


CHECK = Check("gpu-graph", "gpu", run, covers=("torch",), applies=gpu.promised, limit=120)
