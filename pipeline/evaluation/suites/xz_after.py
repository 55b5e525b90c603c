"""What texts add to training text under `xz -9e`, each stretch of training text compressed once.

The size of a text after training text is the size of both less that of the training text alone, and both begin with
the same bytes, which xz works through in order. So a process that has compressed the training text is forked: the child
ends there, or goes on with the text, and the parent with more training text, where another text's begins with this
one's (all English begins with books). The sizes are those of `lzma.compress` of everything at once, to the byte.

In, on standard input: the chain of training texts and texts as `pack` writes it. Out: a JSON list of numbers of bytes,
one a text. It is a program of its own, since only a process of a single thread may be forked:

    python -m pipeline.evaluation.suites.xz_after < packed
"""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import BinaryIO, Final

PRESET: Final = 9 | lzma.PRESET_EXTREME
PIECE: Final = 1 << 16
"""Bytes that xz is given at a time: it works on what it has only while more comes."""
Pair = tuple[bytes, bytes]
"""Training text, and the text after it."""


def chains(prefixes: Sequence[bytes]) -> list[list[int]]:
    """Indices of training texts in chains, in each of which every one begins with the one before it."""
    found: list[list[int]] = []
    for number in sorted(range(len(prefixes)), key=lambda number: len(prefixes[number])):
        ends = [chain for chain in found if prefixes[number].startswith(prefixes[chain[-1]])]
        if ends:
            max(ends, key=lambda chain: len(prefixes[chain[-1]])).append(number)
        else:
            found.append([number])
    return found


def added_by_xz(chain: Sequence[Pair]) -> list[int]:
    """Bytes that each text adds to its training text, which begins with that of the pair before it.

    Raises subprocess.CalledProcessError where a process cannot be forked here.
    """
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=pack(chain), capture_output=True, check=True)
    added: list[int] = json.loads(done.stdout)
    return added


def pack(chain: Sequence[Pair]) -> bytes:
    """A line with the length of what each training text has beyond the one before, and of each text; then the bytes."""
    parts, seen = [], 0
    for prefix, text in chain:
        parts += [prefix[seen:], text]
        seen = len(prefix)
    return b"".join([json.dumps(list(map(len, parts))).encode(), b"\n", *parts])


def unpack(packed: BinaryIO) -> list[Pair]:
    """What each training text has beyond the one before, and each text."""
    lengths = json.loads(packed.readline())
    parts = [packed.read(length) for length in lengths]
    return list(zip(parts[::2], parts[1::2], strict=True))


def _added(chain: Sequence[Pair]) -> list[int]:
    compressor, written, added = lzma.LZMACompressor(preset=PRESET), 0, []
    for more, text in chain:
        written += sum(len(compressor.compress(more[at : at + PIECE])) for at in range(0, len(more), PIECE))
        alone, both = (_forked(compressor, written, rest) for rest in (b"", text))
        added.append(both - alone)
    return added


def _forked(compressor: lzma.LZMACompressor, written: int, rest: bytes) -> int:
    """All bytes there are once a compressor has also seen the rest, which this process's own has not."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        written += len(compressor.compress(rest)) + len(compressor.flush())
        os.write(writing, b"%d" % written)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return int(said)  # nothing was said where the child was killed, which is a ValueError and ends the program


def main() -> None:
    print(json.dumps(_added(unpack(sys.stdin.buffer))))


if __name__ == "__main__":
    main()
