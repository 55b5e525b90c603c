"""What learns: the model, its optimizer and average on one rank, and the two halves of a step.

In: this rank's share of a batch. Out: gradients of the whole batch on every rank, then one update. The loss is a sum
over this rank's tokens scaled by W / (G * T), so that DDP's mean over W ranks is the mean over the batch whether or not
the ranks' shares are equal, and however a share is cut into micro-batches.

DDP arranges its buckets anew after the first backward pass, which changes the order of sums: `warm_up` spends one pass
on that before a state is loaded, in every run, so that a resumed run adds up in the same order as an uninterrupted one.
"""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.model import GPT, document_index
from trainer.model.loss import IGNORE
from trainer.model.moe import ExpertLoad
from trainer.optim import Ema, build_optimizer
from trainer.optim.schedule import learning_rate_factor, weight_decay_factor
from trainer.process.ranks import Ranks
from trainer.process.without_compiler import spare_compiler, unasked
from trainer.run.checkpoints.checkpoint import RunState, load_checkpoint, save_checkpoint
from trainer.run.checkpoints.tensors import model_tensors
from trainer.run.compiled import CompiledLoss, compiles, is_out_of_memory, why_not_compiled
from trainer.run.growth import grow
from trainer.run.micro_batch import largest_micro_batch
from trainer.run.pace import Pace
from trainer.run.precision import Name
from trainer.run.teachers import Teachers

log = logging.getLogger(__name__)


class _Loss(nn.Module):
    """The model's loss as a forward pass, which is what DDP and torch.compile wrap."""

    def __init__(self, model: GPT, teachers: Teachers | None) -> None:
        super().__init__()
        self.model = model
        self._teachers = teachers  # no module: neither DDP nor the student's checkpoint knows them

    def forward(
        self, ids_BT: Tensor, targets_BT: Tensor, seeds_B: Tensor | None, documents_BT: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        soft = None if self._teachers is None else self._teachers.soft_targets(ids_BT, documents_BT)
        parts = self.model.loss(
            ids_BT, targets_BT, reduction="sum", sequence_seeds_B=seeds_B, documents_BT=documents_BT, soft=soft
        )
        return parts.total, parts.cross_entropy


class Learner:
    """One rank's model with all that trains it. Weights are initialised from `training.seed` alone."""

    def __init__(
        self, config: RunConfig, ranks: Ranks, eot_id: int, precision: Name, teachers: Teachers | None = None
    ) -> None:
        self.precision = precision
        self.config, self.training, self.ranks, self.eot_id = config, config.training, ranks, eot_id
        self.sequences_per_batch = self.training.sequences_per_batch(config.model.context)
        compiled = compiles(self.training.compile, ranks.device)
        if not compiled:
            spare_compiler()
        torch.manual_seed(self.training.seed)
        self.model = GPT(config.model).to(ranks.device)
        self.optimizer = build_optimizer(self.model, self.training.optimizer)
        horizon, share = self.training.ema_horizon, self.training.average_share
        self.ema = None if horizon is None and share is None else Ema(self.model, horizon, share)
        self.micro_batch = 1
        self.expected_step_seconds = 0.0
        """From the pass of `warm_up`, compiled and all, before any step is taken."""
        self.expert_load: ExpertLoad | None = None
        """Of the last step; none for a dense model."""
        self.teachers = teachers
        loss: nn.Module = _Loss(self.model, teachers)
        self._compiled: CompiledLoss | None = None
        if compiled:
            loss = self._compiled = CompiledLoss(loss, may_fail=self.training.compile == "auto")
        self._ddp: nn.parallel.DistributedDataParallel | None = None
        if ranks.world_size > 1:
            with contextlib.nullcontext() if compiled else unasked():
                loss = self._ddp = _distribute(loss, ranks.device)
        self._loss = loss

    def warm_up(self, wanted: int | None, pace: Pace) -> None:
        """Spend a step that changes nothing, and find the micro-batch: `wanted` or by the device, halved to fit.

        Where the loss is compiled, whatever the steps of `pace` compute is compiled here. The optimizer's state is
        there from then on, so that what fits beside it here fits in every step. Call it once, before
        a state is loaded. Raises `TrainerError` where not even one sequence fits.
        """
        share = -(-self.sequences_per_batch // self.ranks.world_size)
        most = largest_micro_batch(self.config, self.ranks.world_size, self.ranks.device.type)
        self.micro_batch = min(share, wanted or most)
        with self._told("for the optimizer's state beside the weights and gradients"):
            self.optimizer.rehearse()
        before = {name: tensor.clone() for name, tensor in model_tensors(self.model).items()}
        while not self._fits(self.micro_batch):
            self._halve_micro_batch()
        self.micro_batch = int(self.ranks.minimum(self.micro_batch))
        self._compile_all(pace)
        if self._compiled is not None and not self.ranks.minimum(float(self._compiled.is_compiled)):
            self._compiled.give_up("on another rank")
        started = time.monotonic()
        nats = self._pass(*self._invented_batch(self.micro_batch), sync=True)
        float(nats)  # a GPU is done only once its number is here
        self.expected_step_seconds = (time.monotonic() - started) * -(-share // self.micro_batch)
        self.optimizer.zero_grad(set_to_none=True)
        if self.config.model.mlp == "moe":
            self.model.balance_experts(self._all_reduce())
        for name, tensor in model_tensors(self.model).items():
            tensor.copy_(before[name])

    def begin_step(self, step: float, steps: float) -> None:
        """Set the model up for step `step` (from 0) of `steps`."""
        grow(self.model, self.training, step / steps)

    def gradients(self, windows_NT1: Tensor, ids_N: np.ndarray, batch: int, pieces: int = 1) -> Tensor:
        """Gradients of the whole batch from this rank's windows, int64 [N, T + 1]; returns its summed loss in nats, a
        scalar on the device, which nothing here waits for.

        `batch`: sequences of all ranks; `pieces`: that each sequence is cut into.

        On out-of-memory the micro-batch is halved and the share computed again, unless gradients were already being
        exchanged with other ranks: then `TrainerError` names the setting.
        """
        while True:
            try:
                return self._accumulate(windows_NT1, ids_N, batch, pieces)
            except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.ranks.world_size > 1 and len(windows_NT1) <= self.micro_batch:
                    raise TrainerError(
                        f"out of memory with {self.micro_batch} sequences at once; set training.micro_batch to "
                        f"{max(1, self.micro_batch // 2)} and start again to go on from the last checkpoint"
                    ) from error
            self.discard_gradients()
            self._halve_micro_batch()

    def clip(self) -> Tensor:
        """Scale the gradient down to `training.optimizer.clip_norm`; returns its norm before, equal on every rank, a
        scalar on the device."""
        limit = float("inf") if self.training.optimizer.clip_norm is None else self.training.optimizer.clip_norm
        return nn.utils.clip_grad_norm_(self.model.parameters(), limit)

    def update(self, step: float, steps: float, size: float = 1.0) -> float:
        """One optimizer step and the average's; returns the learning rate as a share of its peak.

        `step` of `steps` and the batch's `size` are in whole batches.
        """
        factor = learning_rate_factor(step, steps, self.training.schedule)
        decay = weight_decay_factor(step, steps, factor, self.training.schedule)
        self.optimizer.schedule(step, factor, self.training.optimizer, decay)
        with self._told(f"in the optimizer's step after passes of {self.micro_batch} sequences at once"):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.config.model.mlp == "moe":
            self.expert_load = self.model.balance_experts(self._all_reduce())
        if self.ema is not None:
            self.ema.update((step + size) / steps)
        return factor

    def flops_per_token(self, pieces: int = 1) -> float:
        """That learning from a token takes where sequences are cut into `pieces`, its teachers' passes included."""
        context = self.config.model.context // pieces
        taught = 0.0 if self.teachers is None else self.teachers.flops_per_token(context)
        return self.model.flops_per_token(context) + taught

    def discard_gradients(self) -> None:
        """Forget a bad batch: its gradients, and which experts its tokens chose."""
        self.optimizer.zero_grad(set_to_none=True)
        self.model.forget_expert_load()

    def averaged_weights(self) -> contextlib.AbstractContextManager[Any]:
        """Within it the model has the average's weights, where one is kept: for evaluation."""
        return self.ema.swapped() if self.ema is not None and self.ema.steps else contextlib.nullcontext()

    def save(self, checkpoints: Path, state: RunState) -> Path:
        """Write a checkpoint of everything here and `state`. The first rank's business."""
        state.micro_batch, state.world_size = self.micro_batch, self.ranks.world_size
        state.averaged = 0 if self.ema is None else self.ema.steps
        return save_checkpoint(checkpoints, state, self.model, self.config.model, self.optimizer, self.averages())

    def load(self, place: Path, state: RunState) -> None:
        """Take everything from a checkpoint that `read_state` found whole."""
        if self.ema is not None:
            self.ema.steps = state.updates if state.averaged is None else state.averaged
        load_checkpoint(place, self.model, self.optimizer, self.averages())

    def averages(self) -> dict[str, Tensor] | None:
        """The average's tensors by the model's names, buffers being the model's own; none where none is kept, or none
        has started yet."""
        if self.ema is None or not self.ema.steps:
            return None
        return {**model_tensors(self.model), **self.ema.state_dict()}

    def _accumulate(self, windows_NT1: Tensor, ids_N: np.ndarray, batch: int, pieces: int) -> Tensor:
        total = torch.zeros((), dtype=torch.float32, device=self.ranks.device)
        for start in range(0, len(windows_NT1), self.micro_batch):
            part = slice(start, start + self.micro_batch)
            last = start + self.micro_batch >= len(windows_NT1)
            windows_nt1, ids_n = cut(windows_NT1[part], ids_N[part], pieces)
            total += self._pass(windows_nt1, ids_n, batch, sync=last)
        return total

    def _pass(self, windows_nT1: Tensor, ids_n: np.ndarray, batch: int, *, sync: bool) -> Tensor:
        """Forward and backward of one micro-batch of a batch of so many whole sequences, gradients exchanged only with
        `sync`; returns the summed loss."""
        device = self.ranks.device
        windows_nT1 = windows_nT1.to(device, non_blocking=True)
        ids_nT, targets_nT = windows_nT1[:, :-1], windows_nT1[:, 1:].contiguous()
        ids_nT = ids_nT.masked_fill(ids_nT == IGNORE, self.eot_id)  # where a packed row ends before the context does
        seeds_n = _sequence_seeds(ids_n, self.training.seed) if self.config.model.dropout else None
        documents_nT = document_index(ids_nT, self.eot_id) if self.training.document_mask else None
        waiting = contextlib.nullcontext() if sync or self._ddp is None else self._ddp.no_sync()
        autocast = torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with waiting:
            with autocast:
                total, cross_entropy = self._loss(ids_nT, targets_nT, seeds_n, documents_nT)
            (total * (self.ranks.world_size / (batch * self.config.model.context))).backward()
        return cross_entropy.detach()

    def _compile_all(self, pace: Pace) -> None:
        """Compile each kind of pass that this rank's steps will need, the smaller last ones of a step among them: what
        differs in size, in how far attention sees or in which layers run is a graph of its own."""
        if self._compiled is None:
            return
        rank, world = self.ranks.rank, self.ranks.world_size
        kinds: dict[tuple[int, int, int | None, bool], float] = {}
        for step in pace.planned():
            self.begin_step(step.done, pace.batches)
            share = len(range(rank, step.sequences, world))
            for sequences in {min(share, self.micro_batch), share % self.micro_batch} - {0}:
                kinds.setdefault((sequences, step.pieces, self.model.window, self.model.recurs), step.done)
        self._compiled.expect(len(kinds))
        for (sequences, pieces, _, _), done in kinds.items():
            self.begin_step(done, pace.batches)
            self._fits(sequences, pieces)
        self.begin_step(1, 1)

    def _fits(self, sequences: int, pieces: int = 1) -> bool:
        """Whether a pass of so many sequences finds the memory it needs, without the compiler where that fails."""
        windows, ids, batch = self._invented_batch(sequences)
        try:
            self._pass(*cut(windows, ids, pieces), batch, sync=self._ddp is None)
        except Exception as error:
            why = None if self._compiled is None else why_not_compiled(error)
            if self._compiled is not None and self._compiled.is_compiled and why is not None:
                self._compiled.give_up(why)
                return self._fits(sequences, pieces)
            if not is_out_of_memory(error):
                raise
            log.info("%d sequences do not fit: %s", sequences, str(error).partition("\n")[0])
            return False
        finally:
            self.optimizer.zero_grad(set_to_none=True)
        return True

    def _invented_batch(self, sequences: int) -> tuple[Tensor, np.ndarray, int]:
        generator = torch.Generator().manual_seed(0)
        size = (sequences, self.config.model.context + 1)
        windows = torch.randint(self.config.model.vocab_size, size, generator=generator)
        return windows, np.arange(sequences, dtype=np.int64), self.sequences_per_batch

    def _halve_micro_batch(self) -> None:
        if self.micro_batch == 1:
            raise TrainerError(
                "out of memory with a single sequence at once; use a shorter model.context, a smaller model or a "
                "device with more memory (python -m trainer plan shows what is needed)"
            )
        self.micro_batch //= 2
        log.warning("out of memory: computing %d sequences at once from here on", self.micro_batch)
        if self._compiled is not None:
            self._compiled.forget_shapes()
        if self.ranks.device.type == "cuda":
            torch.cuda.empty_cache()

    @contextlib.contextmanager
    def _told(self, where: str) -> Iterator[None]:
        """Say what to do where memory runs out outside of a pass, which a smaller micro-batch would not help."""
        try:
            yield
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainerError(
                f"out of memory {where}; use a smaller training.micro_batch or model, or a device with more memory "
                "(python -m trainer plan shows what is needed), and start again: a run goes on from its last checkpoint"
            ) from error

    def _all_reduce(self) -> Callable[[Tensor], Any] | None:
        return dist.all_reduce if self.ranks.world_size > 1 else None


def _distribute(loss: nn.Module, device: torch.device) -> nn.parallel.DistributedDataParallel:
    with warnings.catch_warnings():
        # torch 2.13 renames broadcast_buffers, 2.12 does not know the new name yet
        warnings.simplefilter("ignore", FutureWarning)
        return nn.parallel.DistributedDataParallel(
            loss,
            device_ids=[device] if device.type == "cuda" else None,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )


def cut(windows_NT1: Tensor, ids_N: np.ndarray, pieces: int) -> tuple[Tensor, np.ndarray]:
    """Windows [N, T + 1] as `pieces` shorter ones each, [N * pieces, T / pieces + 1], of the same inputs and targets,
    with numbers of their own."""
    if pieces == 1:
        return windows_NT1, ids_N
    t = (windows_NT1.shape[1] - 1) // pieces
    return windows_NT1.unfold(1, t + 1, t).flatten(0, 1), (ids_N[:, None] * pieces + np.arange(pieces)).flatten()


def _sequence_seeds(ids_N: np.ndarray, seed: int) -> Tensor:
    """A seed for each sequence, int64 and not negative: splitmix64's mix of its run-wide number and the run's seed."""
    mixed = ids_N.astype(np.uint64) + np.uint64(seed % 2**32) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return torch.from_numpy(((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(1)).astype(np.int64))
