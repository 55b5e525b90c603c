"""Work that every rank would do alike, shared out: each rank does a part, and all get everything.

In: as many tensors as there are pieces of work, the same on every rank. Out: what the work gives for each, the same
bits on every rank, since one of them did it. One process alone does all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def shared_out(pieces: Sequence[Tensor], work: Callable[[Tensor], Tensor]) -> Tensor:
    """`work(torch.stack(pieces))`, where work treats each piece alone and gives it back in its shape.

    Every rank of the process group has to call it, with pieces of the same shapes in the same order.
    """
    ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if ranks == 1:
        return work(torch.stack(list(pieces)))
    each = -(-len(pieces) // ranks)
    start = dist.get_rank() * each
    mine = list(pieces[start : start + each])
    mine += [torch.zeros_like(pieces[0])] * (each - len(mine))  # ranks send as much as one another
    done = work(torch.stack(mine)).contiguous()
    everybodys = done.new_empty(ranks * each, *done.shape[1:])
    # as bytes: gloo knows no bfloat16; into a list: torch 2.13 renames the call into one tensor, 2.12 has no such name
    dist.all_gather(list(everybodys.view(torch.uint8).chunk(ranks)), done.view(torch.uint8))
    return everybodys[: len(pieces)]
