"""What decides between tokenizers in the end: bits per byte of one small model a candidate, at equal bytes of text.

Every candidate's model has the profile's shape, sees the same documents of the mixture's sample once, and is scored on
the same held-out documents; only the vocabulary differs. A better tokenizer gets through the text in fewer steps, so
the runs are equal in text and unequal in steps, as real runs over a given corpus are. One process, one seed: a
difference under a hundredth of a bit is noise.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from pipeline.base.arrow import end_documents, list_parts, text_bytes
from pipeline.base.errors import TokenizerError
from pipeline.tokenization.encoders.tokenizer import Tokenizer
from pipeline.tokenization.folder import load_tokenizer
from pipeline.tokenization.settings import ProxySettings
from pipeline.tokenization.training.sample import sample_texts

if TYPE_CHECKING:
    from trainer.model.config import ModelConfig

log = logging.getLogger(__name__)

SEED: Final = 1
LOG_SECONDS: Final = 5.0


def proxy_bits_per_byte(
    settings: ProxySettings,
    model: ModelConfig,
    tokenizers: Mapping[str, Path],
    mixture: Path,
    heldout: Sequence[pa.Array],
) -> dict[str, float]:
    """Bits per byte of each candidate's small run.

    Args:
        settings: how much text.
        model: the profile's model; its vocabulary is replaced by each candidate's.
        tokenizers: the candidates' folders.
        mixture: the mixture's folder; its sample is the training text.
        heldout: arrays of held-out text (`large_string`), a corpus and language each; each gives an equal part.

    Raises:
        TokenizerError: the text is too short for a step.
    """
    train = _first_bytes(pa.array(list(sample_texts(mixture)), pa.large_string()), settings.bytes)
    excerpts = [_first_bytes(texts, settings.heldout_bytes // len(heldout)) for texts in heldout]
    scored = pa.concat_arrays(excerpts)
    results = {}
    for name, folder in tokenizers.items():
        results[name] = _run(name, settings, model, load_tokenizer(folder), train, scored)
        log.info("proxy run of %s: %.4f bits per byte", name, results[name])
    return results


def _run(
    name: str, settings: ProxySettings, model: ModelConfig, tokenizer: Tokenizer, train: pa.Array, heldout: pa.Array
) -> float:
    import torch

    from trainer.config import TrainingConfig
    from trainer.model import GPT
    from trainer.optim import build_optimizer
    from trainer.optim.schedule import learning_rate_factor
    from trainer.scoring.documents import score_documents

    ids = list_parts(end_documents(tokenizer.encode_arrow(train), tokenizer.eot_id))[1].astype(np.int64)
    training = TrainingConfig(batch_tokens=settings.batch_tokens)
    config = dataclasses.replace(model, vocab_size=tokenizer.vocab_size, context=min(model.context, settings.context))
    rows = settings.batch_tokens // config.context
    steps = (len(ids) - 1) // (rows * config.context) if rows else 0
    if not steps:
        raise TokenizerError(
            f"proxy run of {name}: {len(ids):,} tokens are less than one batch of {settings.batch_tokens:,}; raise "
            "tokenizers.proxy.bytes or lower batch_tokens"
        )
    torch.manual_seed(SEED)
    gpt = GPT(config)
    optimizer = build_optimizer(gpt, training.optimizer)
    stream = torch.from_numpy(ids)
    said = time.monotonic()
    for step in range(steps):
        start = step * rows * config.context
        x_BT = stream[start : start + rows * config.context].view(rows, config.context)
        y_BT = stream[start + 1 : start + 1 + rows * config.context].view(rows, config.context)
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * learning_rate_factor(step, steps, training.schedule)
        with torch.autocast("cpu", torch.bfloat16):
            loss = gpt.loss(x_BT, y_BT).total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(gpt.parameters(), training.optimizer.clip_norm or math.inf)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if time.monotonic() - said > LOG_SECONDS:
            said = time.monotonic()
            log.info("proxy run of %s: step %d of %d, loss %.3f", name, step + 1, steps, loss.item())
    lists = tokenizer.encode_arrow(heldout)
    offsets, values = list_parts(lists)
    documents = [values[offsets[i] : offsets[i + 1]].astype(np.int64) for i in range(len(lists))]
    nats, _ = score_documents(gpt, documents, eot_id=tokenizer.eot_id, context=config.context)
    return float(nats.sum()) / math.log(2) / int(text_bytes(heldout).sum())


def _first_bytes(texts: pa.Array, size: int) -> pa.Array:
    """The first documents until `size` bytes are reached, spread evenly where there are more."""
    total = int(text_bytes(texts).sum())
    if total <= size:
        return texts
    rows = np.arange(0, len(texts), max(1, round(total / size)))
    spread = texts.take(pa.array(rows))
    ends = np.cumsum(text_bytes(spread))
    return spread.slice(0, int(np.searchsorted(ends, size, side="left")) + 1)
