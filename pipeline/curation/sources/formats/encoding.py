"""Encodings: which there are, and the lines of a file in any of them as bytes, so that one bad line stays one.

A name is looked up where settings are read, so that `utf8`, `UTF-8` and `utf_8` are one encoding, and what is none is
a mistake of the profile. Text is decoded strictly, whatever the encoding: bytes are never replaced.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from encodings.aliases import aliases
from typing import BinaryIO, Final

from pipeline.base.suggestions import did_you_mean

_MARKS: Final = {
    "utf-8": [(codecs.BOM_UTF8, "utf-8")],
    "utf-8-sig": [(codecs.BOM_UTF8, "utf-8")],
    "utf-16": [(codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")],
    "utf-16-le": [(codecs.BOM_UTF16_LE, "utf-16-le")],
    "utf-16-be": [(codecs.BOM_UTF16_BE, "utf-16-be")],
    "utf-32": [(codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be")],
    "utf-32-le": [(codecs.BOM_UTF32_LE, "utf-32-le")],
    "utf-32-be": [(codecs.BOM_UTF32_BE, "utf-32-be")],
}
"""Byte order marks a file may begin with, and the encoding of what follows."""
_UNMARKED: Final = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
_CHUNK: Final = 1 << 20


def known_encoding(name: str) -> str:
    """`name`, where it is an encoding of text. Raises ValueError, naming the nearest, where it is none."""
    if _is_of_text(name):
        return name
    plain = name.lower().replace("_", "-")
    if plain in ("ansi", "mbcs", "oem"):
        raise ValueError(
            f"{name!r} is what Windows calls the code page of its own language, so write that one: "
            "windows-1252 in Western Europe, windows-1250, windows-1251, gb18030 or shift-jis elsewhere"
        )
    names = {alias.replace("_", "-") for pair in aliases.items() for alias in pair if _is_of_text(alias)}
    near = did_you_mean(plain, sorted(names | {"utf-8-sig"}))
    raise ValueError(
        f"{name!r} is no encoding of text{near or '; examples: utf-8, utf-16, latin-1, windows-1252, gb18030'}"
    )


def _is_of_text(name: str) -> bool:
    """Whether Python has such an encoding here (some are Windows's own) and it is one between text and bytes."""
    try:
        b"".decode(name)
        "\n".encode(name)
    except (LookupError, ValueError):
        return False
    return True


def marked(data: bytes, encoding: str) -> tuple[bytes, str]:
    """The beginning of a file without its byte order mark, and the encoding in which the rest is decoded."""
    codec = codecs.lookup(encoding).name
    for mark, name in _MARKS.get(codec, ()):
        if data.startswith(mark):
            return data[len(mark) :], name
    return data, _UNMARKED.get(codec, codec)


def decode_file(data: bytes, encoding: str) -> str:
    """A whole file as text, without a byte order mark. Raises UnicodeError."""
    rest, codec = marked(data, encoding)
    return rest.decode(codec)


def beginning_of(file: BinaryIO, size: int, encoding: str) -> tuple[BinaryIO, bool]:
    """The beginning of a file of text, of `size` bytes at most, and whether there is more: then it is cut at the end of
    its last line, or between two characters where it has none."""
    data = file.read(size)
    if not file.read(1):
        return io.BytesIO(data), False
    _, codec = marked(data[:4], encoding)
    end = "\n".encode(codec)
    at = data.rfind(end)
    while at >= 0 and at % len(end):
        at = data.rfind(end, 0, at + len(end) - 1)
    if at >= 0:
        return io.BytesIO(data[: at + len(end)]), True
    decoder = codecs.getincrementaldecoder(codec)("ignore")
    decoder.decode(data)
    return io.BytesIO(data[: len(data) - len(decoder.getstate()[0])]), True


def byte_lines(file: BinaryIO, encoding: str) -> tuple[int, str, Iterator[bytes]]:
    """Bytes of a byte order mark, the encoding to decode each line in, and the lines with their ends."""
    beginning = file.read(4)
    first, codec = marked(beginning, encoding)
    end = "\n".encode(codec)
    lines = _rest_of_lines(first, file) if end == b"\n" else _wide_lines(first, file, end)
    return len(beginning) - len(first), codec, lines


def _rest_of_lines(first: bytes, file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file of which `first` has been read already; no other character holds the byte of a line's end."""
    *whole, last = first.split(b"\n")
    yield from (line + b"\n" for line in whole)
    last += file.readline()
    if last:
        yield last
    yield from file


def _wide_lines(first: bytes, file: BinaryIO, end: bytes) -> Iterator[bytes]:
    """The lines of a file whose line end is several bytes wide, and begins at a multiple of its width."""
    buffer, searched = bytearray(first), 0
    while True:
        at = buffer.find(end, searched)
        while at >= 0 and at % len(end):
            at = buffer.find(end, at + 1)
        if at >= 0:
            yield bytes(buffer[: at + len(end)])
            del buffer[: at + len(end)]
            searched = 0
            continue
        searched = max(0, len(buffer) - len(end) + 1)
        chunk = file.read(_CHUNK)
        if not chunk:
            break
        buffer += chunk
    if buffer:
        yield bytes(buffer)
