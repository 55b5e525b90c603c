"""The reader: shards of several epochs as one run of training sequences, resumable anywhere on any number of ranks.

In: the `shards.json` of each epoch, in training order, and the context length T. Out: batches of token windows (int64).

    a stage's stream    its shards' tokens, one after the other
    sequence i          tokens [i*T, i*T + T + 1) of a stage's stream: T inputs, and the same moved by one as targets
    a run's sequences   the epochs' stages' sequences in order; no sequence crosses a stage, batches may
    a step              the next G sequences; rank r of W takes the r-th, (r+W)-th, … of them

What always holds: the sequences of a batch depend on `next_sequence` and G alone, never on the ranks, so a run resumes
on any W <= G. Reading moves nothing; `advance` does, when the optimizer has consumed a batch, so a state saved at any
moment counts what was learned from and not what was looked at. The whole state is three values.

Files are read by memory map in this process: no workers, no shared memory, no network, nothing left behind by a kill.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from trainer.data.shards import MANIFEST_NAME, ShardsManifest, TokenizerRef, read_manifest
from trainer.data.streams import PADDING, FixedWindows, PackedRows, even_step, open_rows, open_stage, verify_files
from trainer.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


class Place(NamedTuple):
    """Where a sequence of the run comes from."""

    epoch: int
    stage: int
    stage_name: str
    sequence: int
    """Its number within the stage."""


@dataclass(frozen=True)
class _Section:
    """One stage of one epoch as part of the run: sequences [first, first + count)."""

    epoch_index: int
    epoch: int
    stage: int
    name: str
    tokens: int
    first: int
    count: int
    source: FixedWindows | PackedRows


class SequenceReader:
    """A run's sequences over its epochs' shards.

    `manifests` are paths of `shards.json` files (or their folders) in training order; `context` is T. With
    `tokenizer_hash`, shards of another tokenizer are refused; all epochs must share one tokenizer in any case. With
    `verify_hashes`, every file's SHA-256 is compared too (2 GB/s a core); without, its size, schema and counts only.
    With `packed`, sequences are the rows of best-fit packing; where a row has no token, it reads `PADDING` (-100).

    Raises `DataError` for shards that are missing, damaged or do not belong together, and for shards that hold no
    sequence of this context at all.
    """

    def __init__(
        self,
        manifests: Sequence[Path | str],
        context: int,
        *,
        tokenizer_hash: str | None = None,
        verify_hashes: bool = False,
        packed: bool = False,
    ) -> None:
        if context < 1:
            raise DataError(f"context: {context} tokens; a sequence needs at least 1")
        if not manifests:
            raise DataError("data.epochs: no shards given; name the shards.json of at least one epoch")
        paths = [Path(path) / MANIFEST_NAME if Path(path).is_dir() else Path(path) for path in manifests]
        self.context = context
        self.packed = packed
        self.epochs: list[ShardsManifest] = [read_manifest(path) for path in paths]
        self.tokenizer = _same_tokenizer(self.epochs, paths, tokenizer_hash)
        if verify_hashes:
            for manifest, path in zip(self.epochs, paths, strict=True):
                verify_files(manifest, path.parent)
        self._sections = _sections(self.epochs, paths, context, packed)
        self._firsts = [section.first for section in self._sections]
        last = self._sections[-1]
        self.sequences: int = last.first + last.count
        """Sequences of the whole run."""
        if self.sequences == 0:
            raise DataError(
                f"{paths[0]}: no stage holds {context + 1} tokens, so there is no sequence of context {context}; "
                "train on more tokens or with a shorter context"
            )
        self.next_sequence: int = 0
        """The first sequence, counted over the run, that the optimizer has not consumed."""

    @property
    def tokens(self) -> int:
        """Tokens of all epochs, those at the stages' ends that no sequence holds included."""
        return sum(manifest.tokens for manifest in self.epochs)

    @property
    def empty_stages(self) -> list[str]:
        """Stages with too few tokens for a single sequence, of which nothing is read: a sentence on each."""
        return [
            f"epoch {section.epoch}, stage {section.name!r}: {section.tokens:,} tokens hold no sequence of context "
            f"{self.context:,}, so none of them is read; give the stage more tokens or take a shorter context"
            for section in self._sections
            if not section.count
        ]

    @property
    def bytes_per_token(self) -> float:
        """Mean bytes of UTF-8 text a token stands for, over the run: turns training loss into bits per byte."""
        return sum(manifest.bytes for manifest in self.epochs) / self.tokens

    @property
    def manifest_hash(self) -> str:
        """What the run reads, in one SHA-256: the epochs' content hashes in order, and the context."""
        import hashlib

        text = "\n".join(
            [manifest.content_hash for manifest in self.epochs] + [f"context {self.context}{' packed' * self.packed}"]
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def steps(self, global_batch: int) -> int:
        """Whole batches of `global_batch` sequences in the run; `sequences % global_batch` at its end are dropped.

        Raises `DataError` where the run is shorter than one batch.
        """
        _check_batch(global_batch, 1)
        if self.sequences < global_batch:
            raise DataError(
                f"training.batch_tokens: a batch of {global_batch} sequences, but the shards hold {self.sequences} "
                f"of context {self.context}; use a smaller batch or more tokens"
            )
        return self.sequences // global_batch

    def batch_ids(self, global_batch: int, rank: int = 0, world: int = 1, *, later: int = 0) -> np.ndarray:
        """Run-wide numbers (int64) of the sequences `rank` of `world` takes from the next batch, or from one that
        begins so many sequences `later`; reads nothing.

        Shares differ by one where `world` does not divide `global_batch`. Raises `DataError` for more ranks than
        sequences in a batch and past the last whole batch.
        """
        _check_batch(global_batch, world)
        if not 0 <= rank < world:
            raise DataError(f"rank {rank} of {world} ranks does not exist")
        first = self.next_sequence + later
        end = first + global_batch
        if end > self.sequences:
            raise DataError(
                f"no whole batch of {global_batch} sequences is left after sequence {first} of {self.sequences}; the "
                "run is over"
            )
        return np.arange(first + rank, end, world, dtype=np.int64)

    def read(self, ids: np.ndarray | Sequence[int], out: np.ndarray | None = None) -> np.ndarray:
        """The windows of sequences `ids` (run-wide): int64 [len(ids), T + 1], in `out` where it is given."""
        ids = np.asarray(ids, dtype=np.int64)
        windows = np.empty((len(ids), self.context + 1), dtype=np.int64) if out is None else out
        if not len(ids):
            return windows
        step = even_step(ids)
        low, high = (int(ids[0]), int(ids[-1])) if step else (int(ids.min()), int(ids.max()))
        if low < 0 or high >= self.sequences:
            raise DataError(f"sequences {low} to {high} asked for, the run has 0 to {self.sequences - 1}")
        section = self._section(low)
        if high < section.first + section.count:
            if step:
                section.source.read_even(low - section.first, step, windows)
            else:
                section.source.read(ids - section.first, windows)
            return windows
        where = np.searchsorted(self._firsts, ids, side="right") - 1
        for number in np.unique(where).tolist():
            section, rows = self._sections[number], where == number
            part = np.empty((int(rows.sum()), self.context + 1), dtype=np.int64)
            section.source.read(ids[rows] - section.first, part)
            windows[rows] = part
        return windows

    def _section(self, sequence: int) -> _Section:
        return self._sections[bisect.bisect_right(self._firsts, sequence) - 1]

    def tensors(self, ids: np.ndarray | Sequence[int]) -> tuple[Tensor, Tensor]:
        """Inputs and targets of sequences `ids` as int64 torch tensors [len(ids), T], views of one buffer."""
        import torch

        windows = self.read(ids)
        x, y = windows[:, :-1], windows[:, 1:]
        x = np.where(x == PADDING, self.tokenizer.eot_id, x) if self.packed else x
        return torch.from_numpy(x), torch.from_numpy(y)

    def advance(self, sequences: int) -> None:
        """Count `sequences` more as consumed: call it after the optimizer's step, with the global batch."""
        if sequences < 0 or self.next_sequence + sequences > self.sequences:
            raise DataError(f"cannot advance by {sequences} from sequence {self.next_sequence} of {self.sequences}")
        self.next_sequence += sequences

    def locate(self, sequence: int) -> Place:
        """Epoch and stage of a run-wide sequence number; the run's end belongs to its last stage."""
        section = self._section(min(sequence, self.sequences - 1))
        return Place(section.epoch, section.stage, section.name, sequence - section.first)

    def state_dict(self) -> dict[str, Any]:
        """The whole state: what is read, the epoch (from 1) and the next sequence, counted within that epoch."""
        section = self._section(self.next_sequence)
        first = self._epoch_first(section.epoch_index)
        return {
            "manifest_hash": self.manifest_hash,
            "epoch": section.epoch_index + 1,
            "next_sequence": self.next_sequence - first,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken. Raises `DataError` for the state of other shards or another context."""
        if set(state) != {"manifest_hash", "epoch", "next_sequence"}:
            raise DataError(f"reader state: expected manifest_hash, epoch and next_sequence, found {sorted(state)}")
        if state["manifest_hash"] != self.manifest_hash:
            raise DataError(
                f"reader state: taken on shards {str(state['manifest_hash'])[:12]}, this run reads "
                f"{self.manifest_hash[:12]} (other epochs, another order or another context); "
                "resume with the shards the checkpoint was trained on, or start a new run"
            )
        epoch, within = state["epoch"], state["next_sequence"]
        if not 1 <= epoch <= len(self.epochs):
            raise DataError(f"reader state: epoch {epoch}, the run has 1 to {len(self.epochs)}")
        sequence = self._epoch_first(epoch - 1) + within
        if within < 0 or sequence > self.sequences:
            raise DataError(f"reader state: sequence {within} of epoch {epoch} is outside the run")
        self.next_sequence = sequence

    def _epoch_first(self, epoch_index: int) -> int:
        return next(section.first for section in self._sections if section.epoch_index == epoch_index)


def _check_batch(global_batch: int, world: int) -> None:
    if global_batch < 1:
        raise DataError(f"training.batch_tokens: a batch of {global_batch} sequences; at least 1 is needed")
    if world > global_batch:
        raise DataError(
            f"{world} ranks share batches of {global_batch} sequences: a rank would have nothing to do; "
            "use fewer ranks or a larger batch"
        )


def _same_tokenizer(epochs: list[ShardsManifest], paths: list[Path], wanted: str | None) -> TokenizerRef:
    tokenizer = epochs[0].tokenizer
    for manifest, path in zip(epochs, paths, strict=True):
        expected = wanted or tokenizer.content_hash
        if manifest.tokenizer.content_hash != expected:
            raise DataError(
                f"{path}: made with tokenizer {manifest.tokenizer.content_hash[:12]}, expected {expected[:12]}; "
                "materialize the shards again with this run's tokenizer"
            )
    return tokenizer


def _sections(epochs: list[ShardsManifest], paths: list[Path], context: int, packed: bool) -> list[_Section]:
    sections: list[_Section] = []
    first = 0
    for number, (manifest, path) in enumerate(zip(epochs, paths, strict=True)):
        for stage in manifest.stages:
            stream = open_stage(path.parent, stage, manifest.tokenizer)
            rows = open_rows(path.parent, stage, stream, context) if packed else FixedWindows(stream, context)
            sections.append(
                _Section(number, manifest.epoch, stage.index, stage.name, len(stream), first, rows.count, rows)
            )
            first += rows.count
    if not sections:
        raise DataError(f"{paths[0]}: no stages; materialize the epoch's shards again")
    return sections
