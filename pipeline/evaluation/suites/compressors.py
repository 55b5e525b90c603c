"""General compressors on the same text, as the yardstick that any language model must beat.

In: bytes. Out: bytes after `gzip -9`, `xz -9e` or `zstd -19`, headers included. Primed, a compressor is given
training text first and only what the text then adds is counted: what a compressor "trained" on the same text would
need. gzip is never primed, since its window of 32 kB would have forgotten it.

No model enters these figures, so a machine works them out once for the same texts.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from pipeline.base.progress import Progress
from pipeline.evaluation.suites.xz_after import PRESET, added_by_xz, chains
from trainer.process.cores import core_count
from trainer.process.machine_notes import note, note_file, noted

log = logging.getLogger(__name__)

COMPRESSORS_VERSION: Final = "1"
"""Of the figures: what was kept under another one is worked out anew."""
ZSTD_LEVEL: Final = 19
COMPRESSOR_NAMES: Final = {
    "gzip": "gzip -9",
    "xz": "xz -9e",
    "zstd": "zstd -19",
    "xz_primed": "xz -9e after training text",
    "zstd_primed": "zstd -19 after training text",
}
PRIMABLE: Final = ("xz", "zstd")
Figure = tuple[str, str]
"""A text's name and a figure of it, a key of `COMPRESSOR_NAMES`."""


def compressed_bytes(compressor: str, text: bytes) -> int:
    """Size of the text compressed alone."""
    if compressor == "gzip":
        import gzip

        return len(gzip.compress(text, compresslevel=9, mtime=0))
    if compressor == "xz":
        import lzma

        return len(lzma.compress(text, preset=PRESET))
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
    """Bits per byte of each named text that is not empty: `{name: {"xz": …, "xz_primed": …}}`.

    Figures that this machine has worked out before are those it kept.
    """
    wanted = {name: _figures(prefixes.get(name, b""), compressors) for name, text in texts.items() if text}
    files = {name: note_file("compressors", _depends_on(texts[name], prefixes.get(name, b""))) for name in wanted}
    sizes = {name: noted(files[name], wanted[name]) for name in wanted}
    missing = {name: texts[name] for name, known in sizes.items() if not known}
    found: dict[str, dict[str, float]] = {name: {} for name in missing}
    for (name, figure), size in _work_out(missing, prefixes, compressors).items():
        found[name][figure] = size
    for name, figures in found.items():
        note(files[name], figures)
    sizes |= found
    return {
        name: {figure: 8 * sizes[name][figure] / len(text) for figure in wanted.get(name, ())}
        for name, text in texts.items()
    }


def _figures(prefix: bytes, compressors: Sequence[str]) -> list[str]:
    primed = {compressor for compressor in compressors if prefix and compressor in PRIMABLE}
    return [figure for name in compressors for figure in ((name, f"{name}_primed") if name in primed else (name,))]


def _depends_on(text: bytes, prefix: bytes) -> list[str]:
    """All that a text's figures depend on, but for which of them there are."""
    import zstandard

    versions = [COMPRESSORS_VERSION, platform.python_version(), ".".join(map(str, zstandard.ZSTD_VERSION))]
    return [*versions, *(hashlib.sha256(part).hexdigest() for part in (text, prefix))]


def _work_out(
    texts: Mapping[str, bytes], prefixes: Mapping[str, bytes], compressors: Sequence[str]
) -> dict[Figure, float]:
    """Bytes of every figure, several compressions at a time.

    The threads' number changes nothing: each compression stands alone, and the libraries release the interpreter.
    """
    from concurrent.futures import Future, ThreadPoolExecutor, as_completed

    tasks: list[tuple[int, Callable[[], Mapping[Figure, float]]]] = []
    primed = {name: prefix for name in texts if (prefix := prefixes.get(name, b""))}
    for compressor in compressors:
        tasks += [(len(text), partial(_alone, compressor, name, text)) for name, text in texts.items()]
    if "zstd" in compressors:
        tasks += [
            (len(prefix) + len(texts[name]), partial(_primed_zstd, name, prefix, texts[name]))
            for name, prefix in primed.items()
        ]
    if "xz" in compressors:
        for chain in chains(list(primed.values())):
            names = [list(primed)[number] for number in chain]
            pairs = {name: (primed[name], texts[name]) for name in names}
            size = len(primed[names[-1]]) + sum(len(texts[name]) for name in names)
            tasks.append((size, partial(_primed_xz, pairs)))
    if not tasks:
        return {}
    tasks.sort(key=lambda task: -task[0])  # the longest first, so that none is waited for alone
    figures: dict[Figure, float] = {}
    progress = Progress(log, "compressed", "texts", total=len(tasks), size=sum(size for size, _ in tasks))
    with ThreadPoolExecutor(max_workers=min(4, core_count())) as pool:
        futures: dict[Future[Mapping[Figure, float]], int] = {pool.submit(work): size for size, work in tasks}
        for future in as_completed(futures):
            figures |= future.result()
            progress.add(1, futures[future])
    return figures


def _alone(compressor: str, name: str, text: bytes) -> Mapping[Figure, float]:
    return {(name, compressor): compressed_bytes(compressor, text)}


def _primed_zstd(name: str, prefix: bytes, text: bytes) -> Mapping[Figure, float]:
    return {(name, "zstd_primed"): added_bytes("zstd", prefix, text)}


def _primed_xz(pairs: Mapping[str, tuple[bytes, bytes]]) -> Mapping[Figure, float]:
    try:
        sizes = added_by_xz(list(pairs.values()))
    except (OSError, subprocess.CalledProcessError) as error:  # where no process can be forked, or none has room
        log.info("xz is given each training text twice, since it could not be given it once (%s)", error)
        sizes = [added_bytes("xz", prefix, text) for prefix, text in pairs.values()]
    return {(name, "xz_primed"): size for name, size in zip(pairs, sizes, strict=True)}
