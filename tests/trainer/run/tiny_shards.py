"""Shards that a tiny model learns within a few steps, for tests of the trainer and of what launches it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa

from trainer.data.shards import Counts, ShardEntry, ShardsManifest, StageEntry, TokenizerRef, content_hash, shard_schema

VOCABULARY, EOT = 64, 63
TOKENIZER = TokenizerRef("tokenizer-of-the-tests", VOCABULARY, EOT, "uint16")
MODEL = {"vocab_size": VOCABULARY, "context": 16, "width": 32, "layers": 2, "heads": 2, "ff_width": 64}
TRAINING = {
    "batch_tokens": 128,
    "optimizer": {"learning_rate": 0.01},
    "schedule": {"warmup_steps": 2},
    "log_every": 1,
    "checkpoint_every": 5,
    "device": "cpu",
    "precision": "bf16",
}


def documents(count: int, seed: int) -> list[list[int]]:
    """Documents in which a token mostly follows from the one before, each ending in end-of-text."""
    draw = random.Random(seed)
    result = []
    for _ in range(count):
        tokens = [draw.randrange(EOT)]
        for _ in range(draw.randrange(20, 60)):
            tokens.append((3 * tokens[-1] + draw.choice((1, 1, 1, 2))) % EOT)
        result.append([*tokens, EOT])
    return result


def write_epoch(
    folder: Path, epoch: int, texts: list[list[int]], tokenizer: TokenizerRef = TOKENIZER, stage: str = "mixture"
) -> Path:
    """One epoch (0: a validation set) of one stage in one shard; a token counts as two bytes of text."""
    schema = shard_schema(tokenizer.dtype)
    columns = [
        [
            hashlib.blake2b(bytes([epoch, *(token % 256 for token in tokens)]), digest_size=16).digest()
            for tokens in texts
        ],
        [0] * len(texts),
        [2 * (len(tokens) - 1) for tokens in texts],
        texts,
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    path = folder / "stage_0" / "shard_00000.arrow"
    path.parent.mkdir(parents=True)
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_batch(pa.record_batch(arrays, schema=schema))
    flat = np.concatenate([np.asarray(tokens, "<u2") for tokens in texts])
    digest = hashlib.sha256(flat.tobytes()).hexdigest()
    entry = ShardEntry(
        "stage_0/shard_00000.arrow", len(texts), len(flat), 0, hashlib.sha256(path.read_bytes()).hexdigest(), digest
    )
    counts = Counts(len(texts), len(flat), sum(columns[2]))
    stages = (StageEntry(0, stage, {"numbers": 1.0}, len(texts), len(flat), {"numbers": counts}, (entry,)),)
    manifest = ShardsManifest(epoch, 1, "global", tokenizer, ("numbers",), stages, len(texts), len(flat), "")
    manifest = dataclasses.replace(manifest, content_hash=content_hash(manifest))
    (folder / "shards.json").write_text(json.dumps(manifest.to_json()))
    return folder / "shards.json"


def write_shards(folder: Path) -> Path:
    """Two epochs of about 8,000 tokens and held-out documents."""
    for epoch in (1, 2):
        texts = documents(200, seed=7)
        random.Random(epoch).shuffle(texts)
        write_epoch(folder / f"epoch_{epoch:03d}", epoch, texts)
    write_epoch(folder / "validation", 0, documents(30, seed=8), stage="numbers/en")
    return folder
