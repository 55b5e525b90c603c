"""Training without torch's compiler does not import it: 820 modules, three seconds of every process that trains.

Some of torch's methods are told to the compiler before they first run, as ones that it must not look into, and DDP asks
it for a setting; where nothing is compiled there is nobody to tell or ask. Both ways in are private to torch: where
they are others, all that happens is the import.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import torch
from torch.nn.parallel import DistributedDataParallel

_TOLD: Final[tuple[Callable[..., Any], ...]] = (
    torch.optim.Optimizer.add_param_group,
    torch.optim.Optimizer.zero_grad,
    torch.optim.Optimizer.state_dict,
    torch.optim.Optimizer.load_state_dict,
    DistributedDataParallel._inside_ddp_forward,
)
_NOT_ASKED: Final = SimpleNamespace(utils=SimpleNamespace(get_optimize_ddp_mode=lambda: "ddp_optimizer"))
"""What DDP is answered unless the compiler was set up in another way."""


def spare_compiler() -> None:
    """Have torch's methods run as they are from now on, for a process that compiles nothing."""
    for method in _TOLD:
        plain: Any = method
        while hasattr(plain, "__wrapped__"):
            plain = plain.__wrapped__
        if not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = plain


@contextlib.contextmanager
def unasked() -> Iterator[None]:
    """Within it, what asks the compiler for DDP's setting gets the default, and the compiler is not imported."""
    if "torch._dynamo" in sys.modules:
        yield
        return
    torch.__dict__["_dynamo"] = _NOT_ASKED
    try:
        yield
    finally:
        del torch.__dict__["_dynamo"]
