"""The format of an epoch's shards: the manifest `shards.json`, its constants and its checks.

In: a folder `shards.json` + `stage_0/shard_00000.arrow` … Out: a validated `ShardsManifest`. The trainer owns the
format because it must read shards where no pipeline is installed; the pipeline writes them with these same classes.

What always holds:
- A shard is an uncompressed Arrow IPC file with the columns of `shard_schema`; every document ends in the end-of-text
  token, so document boundaries can be found again in any window of tokens.
- A stage's stream is its shards' tokens in the manifest's order; `first_token` is where a shard begins in it.
- `content_hash` is a SHA-256 over the logical content (tokens, ids, counts, order), not over the files' bytes: the same
  epoch written by another Arrow release keeps its hash. A file's own `sha256` is what finds a flipped byte.
- A manifest changed by hand is refused: the hash is recomputed from the rest of the manifest each time it is read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Final

from pydantic.dataclasses import dataclass

from trainer.errors import ConfigError, DataError
from trainer.records import parse_json
from trainer.settings import STRICT_KEYS, from_mapping

FORMAT: Final = "squeeze-shards"
VERSION: Final = 1
MANIFEST_NAME: Final = "shards.json"
PERMUTATION: Final = "splitmix64-chain-v1"
MODES: Final = ("global", "within_shard", "none")
DTYPE_BYTES: Final = {"uint16": 2, "uint32": 4}
LARGEST_UINT16_VOCABULARY: Final = 65_536
REBUILD: Final = "run `squeeze verify` to see what else is damaged, then materialize the asset again"


def dtype_for(vocab_size: int) -> str:
    """Type of a token on disk: `uint16` where every id fits, `uint32` where the vocabulary is over 65,536."""
    return "uint16" if vocab_size <= LARGEST_UINT16_VOCABULARY else "uint32"


@dataclass(frozen=True, config=STRICT_KEYS)
class TokenizerRef:
    """The tokenizer that made the tokens."""

    content_hash: str
    vocab_size: int
    eot_id: int
    dtype: str
    """See `dtype_for`."""


def check_vocabulary(rows: int, tokenizer: TokenizerRef) -> None:
    """Raise `ConfigError` where a model's vocabulary is not the tokenizer's.

    Rows beyond it would be trained and could be drawn, and the model could be scored with no tokenizer. Padding for
    speed is the loss's own business (`ROW_MULTIPLE` in `trainer/model/loss.py`).
    """
    if rows != tokenizer.vocab_size:
        padded = "; products are padded for the GPU by themselves" if rows > tokenizer.vocab_size else ""
        raise ConfigError(
            f"model.vocab_size is {rows:,}, but the shards' tokenizer has {tokenizer.vocab_size:,} tokens; set "
            f"model.vocab_size to {tokenizer.vocab_size}{padded}"
        )


@dataclass(frozen=True, config=STRICT_KEYS)
class Counts:
    """Documents, tokens (end-of-text tokens included) and bytes of UTF-8 text."""

    documents: int
    tokens: int
    bytes: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.documents + other.documents, self.tokens + other.tokens, self.bytes + other.bytes)


@dataclass(frozen=True, config=STRICT_KEYS)
class ShardEntry:
    """One Arrow file of a stage; `path` is relative to the manifest's folder."""

    path: str
    documents: int
    tokens: int
    first_token: int
    """Where this shard begins in the stage's stream."""
    sha256: str
    content_hash: str


@dataclass(frozen=True, config=STRICT_KEYS)
class Packing:
    """Rows of best-fit packing, worked out when the shards were written."""

    path: str
    context: int
    """Tokens of a row that are predicted; a row reads `context` + 1 tokens."""
    rows: int
    tokens_padded: int
    """Positions of rows that hold no token."""
    tokens_lost: int = field(default=0, kw_only=True)
    """Tokens of the stream that no row holds: always 0, a key of the format whose hash covers it."""
    sha256: str


@dataclass(frozen=True, config=STRICT_KEYS)
class StageEntry:
    """One stage: its mixture as it came out, and its shards in reading order."""

    index: int
    name: str
    weights: dict[str, int | float]
    """Share of the stage's tokens by source, as scheduled; a whole number stays one, for the hash is over its text."""
    documents: int
    tokens: int
    sources: dict[str, Counts]
    shards: tuple[ShardEntry, ...]
    packing: Packing | None = None


@dataclass(frozen=True, config=STRICT_KEYS)
class ShardsManifest:
    """Everything `shards.json` says. `epoch` counts from 1; 0 marks a validation set."""

    epoch: int
    seed: int
    mode: str
    tokenizer: TokenizerRef
    sources: tuple[str, ...]
    """Names of the sources; the column `source_id` indexes them."""
    stages: tuple[StageEntry, ...]
    documents: int
    tokens: int
    content_hash: str
    parents: dict[str, str] = field(default_factory=dict)
    """Content hashes of what the shards were made from, by asset key."""
    permutation: str = PERMUTATION

    @property
    def bytes(self) -> int:
        """Bytes of UTF-8 text over all stages."""
        return sum(counts.bytes for stage in self.stages for counts in stage.sources.values())

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain JSON values, keys in the order they are read best."""
        data = asdict(self)
        head = {"format": FORMAT, "version": VERSION}
        order = ("epoch", "seed", "permutation", "mode", "tokenizer", "sources", "stages")
        tail = ("documents", "tokens", "content_hash", "parents")
        for stage in data["stages"]:
            if stage["packing"] is None:
                del stage["packing"]
        return head | {key: data[key] for key in (*order, *tail)}


def content_hash(manifest: ShardsManifest) -> str:
    """SHA-256 (hex) over the logical content: all but the hash itself, the parents and the files' own hashes.

    The shards' content hashes stand for tokens, ids and byte counts; what the manifest adds is order and provenance.
    """
    data = manifest.to_json()
    del data["content_hash"], data["parents"]
    for stage in data["stages"]:
        for shard in stage["shards"]:
            del shard["sha256"]
        if "packing" in stage:
            del stage["packing"]["sha256"]
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def shard_schema(dtype: str) -> Any:
    """The Arrow schema of a shard whose tokens are of type `dtype`."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("doc_id", pa.binary(16), nullable=False),
            pa.field("source_id", pa.uint16(), nullable=False),
            pa.field("bytes", pa.uint32(), nullable=False),
            pa.field("tokens", pa.list_(pa.field("item", getattr(pa, dtype)(), nullable=False)), nullable=False),
        ]
    )


def rows_schema() -> Any:
    """The Arrow schema of packed rows: pieces of the stage's stream, as first tokens and lengths."""
    import pyarrow as pa

    def pieces(name: str, item: Any) -> Any:
        return pa.field(name, pa.list_(pa.field("item", item, nullable=False)), nullable=False)

    return pa.schema([pieces("starts", pa.int64()), pieces("lengths", pa.int32())])


def read_manifest(path: Path) -> ShardsManifest:
    """Read and check a manifest (`shards.json`, or the folder that holds it), without opening any shard.

    Raises `DataError` for a file that is missing, not of this format or version, inconsistent, or edited by hand.
    """
    path = path / MANIFEST_NAME if path.is_dir() else path
    try:
        data = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest; materialize the epoch's shards first") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}); {REBUILD}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise DataError(f"{path}: not a manifest of shards (format is not {FORMAT!r}); {REBUILD}")
    if data.get("version") != VERSION:
        raise DataError(
            f"{path}: version {data.get('version')!r} of the shard format, this program reads version {VERSION}; "
            "install the squeeze-gpt that wrote it, or materialize the asset again"
        )
    try:
        keys = {key: value for key, value in data.items() if key not in ("format", "version")}
        manifest = from_mapping(ShardsManifest, keys, f"{path}:")
    except ConfigError as error:
        raise DataError(f"{error}; {REBUILD}") from None
    _check(manifest, path)
    return manifest


def _check(manifest: ShardsManifest, path: Path) -> None:
    """Refuse a manifest whose numbers do not add up or whose hash is not its own."""
    if manifest.permutation != PERMUTATION or manifest.mode not in MODES:
        raise DataError(f"{path}: unknown permutation {manifest.permutation!r} or mode {manifest.mode!r}; {REBUILD}")
    if manifest.tokenizer.dtype not in DTYPE_BYTES:
        raise DataError(
            f"{path}: tokens of type {manifest.tokenizer.dtype!r}, known: {', '.join(DTYPE_BYTES)}; {REBUILD}"
        )
    try:
        actual = content_hash(manifest)
    except ValueError as error:  # a share that is no finite number
        raise DataError(f"{path}: {error}; {REBUILD}") from None
    if actual != manifest.content_hash:
        raise DataError(
            f"{path}: its content_hash is {manifest.content_hash[:12]} but its entries give {actual[:12]}: "
            f"the manifest was edited or damaged; {REBUILD}"
        )
    for stage in manifest.stages:
        first = 0
        for shard in stage.shards:
            if shard.first_token != first:
                raise DataError(
                    f"{path}: {shard.path} begins at token {shard.first_token}, expected {first}; {REBUILD}"
                )
            first += shard.tokens
        counts = [sum(c.documents for c in stage.sources.values()), sum(s.documents for s in stage.shards)]
        if first != stage.tokens or {stage.documents} != set(counts):
            raise DataError(f"{path}: the counts of stage {stage.name!r} do not add up; {REBUILD}")
    if manifest.tokens != sum(stage.tokens for stage in manifest.stages):
        raise DataError(f"{path}: {manifest.tokens} tokens do not match the stages' sum; {REBUILD}")
