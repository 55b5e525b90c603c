"""Whether one rank of several threads would train faster than several ranks of one: tried once a machine, and said.

In: a run that begins, on a CPU. Out: seconds of a step either way, estimated from a layer of the run's own shape that
all ranks compute side by side, from gradients as large as the model's that they exchange, and from the same work done
by one rank with the threads of all.

It is advice and not a choice. How many ranks there are decides in what order gradients are summed, and they were
started before anything was measured: a run that is killed before its first checkpoint must begin again with as many,
or it would end with other weights.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
import torch.distributed as dist

from trainer.config import RunConfig
from trainer.model import GPT
from trainer.process.ranks import Ranks
from trainer.run.precision import AUTO
from trainer.run.trial import Layer, layer_of, measured_once
from trainer.run.ways import CLEARLY, PASS_FLOPS, Ways

ROUNDS: Final = 3
"""The first of which does not count."""
MOST_NUMBERS: Final = 1 << 22
"""Of the gradients that are exchanged, at most; more take as much longer."""


def step_seconds(config: RunConfig, ranks: Ranks, ways: Ways, model: GPT) -> dict[str, float]:
    """Estimated seconds of a step, by who takes it: all ranks, or one with their threads. Nothing where there is one
    rank or a GPU, or where the settings leave nothing to the machine. A collective operation."""
    if ranks.device.type != "cpu" or ranks.world_size == 1 or config.training.precision != AUTO:
        return {}
    names = list(_names(ranks.world_size))
    numbers = sum(parameter.numel() for parameter in model.parameters())
    context, batch = config.model.context, config.training.batch_tokens
    documents, shape = config.training.document_mask, layer_of(config.model)

    def tries() -> Mapping[str, float]:
        layer = Layer(shape, ranks.device, documents=documents)
        share = max(1, config.training.sequences_per_batch(context) // ranks.world_size)
        rows = int(max(1, min(share, PASS_FLOPS // (2 * layer.flops_per_token * context))))
        passes = model.flops_per_token() * batch / (layer.flops_per_token * rows * context * ranks.world_size)
        together, exchange, alone = _fastest(layer, rows, context, ranks, ways, min(numbers, MOST_NUMBERS))
        more = numbers / min(numbers, MOST_NUMBERS)
        return dict(zip(names, (together * passes + exchange * more, alone * passes), strict=True))

    depends_on: list[Any] = [config.model.to_dict(), batch, documents, ways.precision.name, ways.kernels.products]
    return measured_once("ranks", [*depends_on, ways.kernels.attention], names, ranks, tries)


def advice(seconds: Mapping[str, float], world_size: int) -> str | None:
    """What to say of `step_seconds`; none where the ranks are as fast as one, or nearly."""
    if not seconds:
        return None
    ranks, one = _names(world_size)
    if seconds[one] * CLEARLY >= seconds[ranks]:
        return None
    return (
        f"{one} would train {seconds[ranks] / seconds[one]:.2f} times as fast here as {ranks} "
        f"({1000 * seconds[one]:.0f} ms a step where it is {1000 * seconds[ranks]:.0f}): set launch.ranks to 1"
    )


def _names(world_size: int) -> tuple[str, str]:
    threads = torch.get_num_threads()
    each = f"{threads} thread{'s' if threads > 1 else ''}"
    return f"{world_size} ranks of {each}", f"1 rank of {world_size * threads} threads"


def _fastest(
    layer: Layer, rows: int, length: int, ranks: Ranks, ways: Ways, numbers: int
) -> tuple[float, float, float]:
    """Seconds of a pass of `rows` on every rank at once, of an exchange of so many numbers, and of the passes of all
    ranks done by the first."""
    name, kernels, world = ways.precision.name, ways.kernels, ranks.world_size
    clock = time.perf_counter  # several threads take turns too, which the processor's time would not show
    own, whole = layer.tries(rows, length, clock), layer.tries(rows * world, length, clock)
    gradients = torch.zeros(numbers)
    rounds = []
    for _ in range(ROUNDS):
        ranks.barrier()
        together = own(name, kernels, rows)
        started = time.perf_counter()
        dist.all_reduce(gradients)
        exchange = time.perf_counter() - started
        ranks.barrier()
        alone = 0.0
        if ranks.is_first:
            with _threads(torch.get_num_threads() * world):
                alone = whole(name, kernels, rows * world)
        rounds.append((together, exchange, ranks.broadcast(alone)))
    together, exchange, alone = (min(values) for values in zip(*rounds[1:], strict=True))
    return together, exchange, alone


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
