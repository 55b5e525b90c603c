"""The loss compiled by torch, and what becomes of a run where that fails.

In: the loss as a module. Out: a module of the same parameters and results. With `compile: auto` a failure (no C++
compiler, a GPU that Triton does not know, a defect of the compiler) is a warning and the run goes on without it; with
`on` it is an error. Whatever a run computes is compiled while it warms up, so that it fails there if it does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import nn

from trainer.errors import TrainerError

log = logging.getLogger(__name__)

COMPILERS = ("torch._dynamo", "torch._inductor", "torch._functorch", "triton")
"""Where what a compiler raises is defined."""

# How a CPU's allocator, oneDNN (which finds no room for the code it generates) and C++ say that memory has run out.
OUT_OF_MEMORY = ("can't allocate memory", "could not create a primitive", "could not create a memory", "bad_alloc")


class CompiledLoss(nn.Module):
    """A loss that is compiled for as long as that works."""

    def __init__(self, loss: nn.Module, may_fail: bool, compiler: Callable[..., Any] = torch.compile) -> None:
        super().__init__()
        self.loss = loss
        self._may_fail = may_fail
        # in a list, or its parameters would be counted twice; each size is compiled as it is: a run has a few, and code
        # for any of them would be slower for all
        self._compiled: Any = [compiler(loss, dynamic=False)]

    @property
    def is_compiled(self) -> bool:
        return bool(self._compiled)

    def forward(self, *arguments: Any) -> Any:
        """What the loss gives. Raises whatever the compiler does."""
        return (self._compiled[0] if self._compiled else self.loss)(*arguments)

    def give_up(self, why: str) -> None:
        """Go on without the compiler. Raises `TrainerError` where it was asked for by name."""
        advice = "set training.compile to 'off' to train without it"
        if not self._may_fail:
            raise TrainerError(f"torch.compile failed ({why}); {advice}")
        if self._compiled:
            log.warning("torch.compile failed (%s): going on without it, which is slower; %s", why, advice)
        self._compiled = []

    def expect(self, kinds: int) -> None:
        """Have room for so many kinds of passes: past a limit torch would compile nothing any more."""
        limit = torch._dynamo.config.recompile_limit
        torch._dynamo.config.recompile_limit = max(limit, kinds + 1)

    def forget_shapes(self) -> None:
        """Drop what was compiled for other sizes: past eight of them torch would compile nothing any more."""
        if self._compiled:
            torch._dynamo.reset()


def compiles(wanted: Literal["auto", "on", "off"], device: torch.device) -> bool:
    """Whether the loss is compiled at first; `auto`: on a GPU that Triton can compile for."""
    if wanted != "auto":
        return wanted == "on"
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def why_not_compiled(error: BaseException) -> str | None:
    """What lies under a compiler's failure, in a line; none for an error that has nothing to do with one."""
    if is_out_of_memory(error):
        return None
    chain = list(_chain(error))
    if not any(type(reason).__module__.startswith(COMPILERS) for reason in chain):
        return None
    lines = [line.strip() for line in str(chain[-1]).splitlines() if line.strip()]
    return (lines[0] if lines else type(chain[-1]).__name__)[:300]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out, in whichever words an allocator says so, also within a compiler."""
    return any(
        isinstance(reason, torch.OutOfMemoryError | MemoryError) or any(words in str(reason) for words in OUT_OF_MEMORY)
        for reason in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, as Python and as torch's compiler keep them."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        inner = getattr(error, "inner_exception", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__ or error.__context__
