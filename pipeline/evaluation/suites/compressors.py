"""General compressors on the same text, as the yardstick that any language model must beat.

In: bytes. Out: bytes after `gzip -9`, `xz -9e` or `zstd -19`, headers included. Primed, a compressor is given
training text first and only what the text then adds is counted: what a compressor "trained" on the same text would
need. gzip is never primed, since its window of 32 kB would have forgotten it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from pipeline.base.progress import Progress
from trainer.process.cores import core_count

log = logging.getLogger(__name__)

ZSTD_LEVEL: Final = 19
COMPRESSOR_NAMES: Final = {
    "gzip": "gzip -9",
    "xz": "xz -9e",
    "zstd": "zstd -19",
    "xz_primed": "xz -9e after training text",
    "zstd_primed": "zstd -19 after training text",
}
PRIMABLE: Final = ("xz", "zstd")


def compressed_bytes(compressor: str, text: bytes) -> int:
    """Size of the text compressed alone."""
    if compressor == "gzip":
        import gzip

        return len(gzip.compress(text, compresslevel=9, mtime=0))
    if compressor == "xz":
        import lzma

        return len(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
    if compressor == "zstd":
        import zstandard

        return len(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(text))
    raise ValueError(f"no such compressor: {compressor}")


def added_bytes(compressor: str, prefix: bytes, text: bytes) -> int:
    """What the text adds to the compressed training text before it."""
    if compressor == "zstd":
        import zstandard

        dictionary = zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        window = max(10, (len(prefix) + len(text)).bit_length())
        parameters = zstandard.ZstdCompressionParameters.from_level(
            ZSTD_LEVEL, window_log=min(window, zstandard.WINDOWLOG_MAX), enable_ldm=True
        )
        return len(zstandard.ZstdCompressor(dict_data=dictionary, compression_params=parameters).compress(text))
    return compressed_bytes(compressor, prefix + text) - compressed_bytes(compressor, prefix)


def measure(
    texts: Mapping[str, bytes], prefixes: Mapping[str, bytes], compressors: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Bits per byte of each named text: `{name: {"xz": …, "xz_primed": …}}`, two compressions at a time.

    The threads' number changes nothing: each compression stands alone and the libraries release the interpreter.
    """
    from concurrent.futures import Future, ThreadPoolExecutor, as_completed

    with ThreadPoolExecutor(max_workers=min(4, core_count())) as pool:
        compressions: dict[tuple[str, str], Future[int]] = {}
        work: dict[Future[int], int] = {}
        for name, text in texts.items():
            if not text:
                continue
            for compressor in compressors:
                compression = compressions[name, compressor] = pool.submit(compressed_bytes, compressor, text)
                work[compression] = len(text)
                prefix = prefixes.get(name, b"")
                if prefix and compressor in PRIMABLE:
                    compression = pool.submit(added_bytes, compressor, prefix, text)
                    compressions[name, f"{compressor}_primed"] = compression
                    work[compression] = len(text) + 2 * len(prefix)  # with the prefix, and the prefix alone
        if work:
            progress = Progress(log, "compressed", "texts", total=len(work), size=sum(work.values()))
            for compression in as_completed(work):
                progress.add(1, work[compression])
        sizes: dict[str, dict[str, float]] = {name: {} for name in texts}
        for (name, label), compression in compressions.items():
            sizes[name][label] = 8 * compression.result() / len(texts[name])
    return sizes
