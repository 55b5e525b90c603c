"""What a file is: by how it begins, and where that says nothing by its name.

In: a name and the first bytes. Out: the ending that files of this kind have, such as `.gz` or `.parquet`. First bytes
that are known are believed before a name that says something else; a name that promises bytes which are not there is
believed only where they could be damaged, so a text called `.gz` is read as text, and one called `.zip` is refused by
name. An office document is a zip to look at, and is told apart by its members.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

SHORT: Final = {
    ".tgz": (".tar", ".gz"),
    ".tbz": (".tar", ".bz2"),
    ".tbz2": (".tar", ".bz2"),
    ".txz": (".tar", ".xz"),
    ".tzst": (".tar", ".zst"),
}
COMPRESSED: Final = (".gz", ".bz2", ".xz", ".lzma", ".zst", ".lz4", ".snappy")
ARCHIVES: Final = (".zip", ".tar")
TABLES: Final = (".parquet", ".arrow")
ALSO_CALLED: Final = {".feather": ".arrow", ".ipc": ".arrow", ".pq": ".parquet"}

_PACKED: Final = frozenset(".7z .rar .z .br .lzo .sz .cab .iso .dmg .deb .rpm .jar".split())
_SHEETS: Final = frozenset(".xls .xlsx .ods .numbers".split())
_PAPERS: Final = frozenset(
    ".pdf .doc .docx .ppt .pptx .odt .odp .rtf .pages .key .epub .mobi .azw3 .djvu .ps .chm".split()
)
_DATA: Final = frozenset(".sqlite .db .npy .npz .pkl .pt .safetensors .orc .avro .h5 .gguf .mdb".split())
MEDIA: Final = frozenset(
    ".jpg .jpeg .png .gif .bmp .tif .tiff .webp .ico .heic .mp3 .mp4 .m4a .ogg .wav .flac .avi .mov .mkv .webm .exe "
    ".dll .so .o .pyc .class .wasm .woff .woff2 .ttf .otf".split()
)
"""Endings of files in which no text is lost."""
NOT_READ: Final = _PACKED | _SHEETS | _PAPERS | _DATA | MEDIA
"""Endings of files that are not read, whatever the source's format."""
SAYS_NOTHING: Final = frozenset(
    ("", ".txt", ".text", ".dat", ".data", ".bin", ".raw", ".out", ".dump", ".tmp", ".part", ".download")
)
"""Endings that leave open how a file holds its documents."""
BINARY: Final = ".binary"
"""Of a file that is no text, and nothing that is known."""

_BEGINNINGS: Final = {
    b"\x1f\x8b\x08": ".gz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"\xfd7zXZ\x00": ".xz",
    b"\x04\x22\x4d\x18": ".lz4",
    b"\xff\x06\x00\x00sNaPpY": ".snappy",
    b"PK\x03\x04": ".zip",
    b"PK\x05\x06": ".zip",
    b"PAR1": ".parquet",
    b"ARROW1\x00\x00": ".arrow",
    b"7z\xbc\xaf\x27\x1c": ".7z",
    b"Rar!\x1a\x07": ".rar",
    b"%PDF-": ".pdf",
    b"%!PS-Adobe": ".ps",
    b"{\\rtf": ".rtf",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ".doc",
    b"AT&TFORM": ".djvu",
    b"SQLite format 3\x00": ".sqlite",
    b"Obj\x01": ".avro",
    b"\x93NUMPY": ".npy",
    b"\x89HDF\r\n\x1a\n": ".h5",
    b"GGUF": ".gguf",
    b"\x89PNG\r\n\x1a\n": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"GIF87a": ".gif",
    b"GIF89a": ".gif",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"ID3\x03": ".mp3",
    b"ID3\x04": ".mp3",
    b"OggS\x00": ".ogg",
    b"fLaC\x00": ".flac",
    b"\x1a\x45\xdf\xa3": ".mkv",
    b"\x7fELF": ".so",
    b"\xca\xfe\xba\xbe": ".class",
    b"\x00asm": ".wasm",
    b"wOF2": ".woff2",
}
_OFFICE: Final = {
    b"word/": ".docx",
    b"xl/": ".xlsx",
    b"ppt/": ".pptx",
    b"opendocument.text": ".odt",
    b"opendocument.spreadsheet": ".ods",
    b"opendocument.presentation": ".odp",
    b"epub+zip": ".epub",
    b"META-INF/MANIFEST.MF": ".jar",
}
LOOKED_AT: Final = 8192
"""Bytes of a file's beginning that say what it is."""
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\b\x1b\x00"))
_MARKS: Final = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")


class MisnamedError(Exception):
    """A file whose name says one thing and whose content another, so that it is not read; with what to do."""


def ending(name: str) -> str:
    """The ending of a file's name, in small letters, without that of its compression: `.jsonl` of `a.JSONL.gz`."""
    while True:
        last = PurePosixPath(name).suffix.lower()
        if last in SHORT:
            return ".tar"
        if last not in COMPRESSED:
            return ALSO_CALLED.get(last, last)
        name = name[: -len(last)]


def kind_of(name: str, head: bytes) -> tuple[str, bool]:
    """The ending that says what a file is, and whether its content said so and not its name.

    Raises:
        MisnamedError: the name promises an archive or a table, and the content is text.
    """
    last = PurePosixPath(name).suffix.lower()
    named = SHORT[last][1] if last in SHORT else ALSO_CALLED.get(last, last)
    found = _found(head)
    if found is not None:
        is_so = found == named or (found in (".zip", ".doc") and named in NOT_READ)
        return named if is_so else found, not is_so
    if named in COMPRESSED and _is_plain(head):
        if _is_page(head):
            raise MisnamedError(f"it is called {last} and holds an HTML page, perhaps a server's error: fetch it again")
        return kind_of(name[: -len(last)] + (".tar" if last in SHORT else ""), head)[0], True
    if named in ARCHIVES + TABLES and _is_plain(head):
        begins = head.decode("utf-8", errors="replace").strip()[:40]
        raise MisnamedError(
            f"it is called {last} and holds text (it begins with {begins!r}): give it the name of what it is, such as "
            ".txt or .jsonl, or fetch it again"
        )
    if named in SAYS_NOTHING - {".txt", ".text"} and head and not _may_be_text(head):
        return BINARY, True
    return named, False


def why_not_read(kind: str) -> str:
    """What a file of a kind that is not read is, and what to do about it."""
    if kind == BINARY:
        return "no text, and of no kind that is known: take the text out of it first, or leave it out with `exclude`"
    cures: tuple[tuple[frozenset[str], str], ...] = (
        (_SHEETS, "save it as CSV"),
        (_PAPERS, "convert it to text"),
        (MEDIA, "it holds no text, so leave it out with `exclude`"),
        (_DATA, "write its text as JSON lines or Parquet"),
        (_PACKED, "unpack it"),
    )
    cure = next(cure for kinds, cure in cures if kind in kinds)
    return f"a {kind} file: {cure}" if kind in MEDIA else f"a {kind} file: {cure} first, or leave it out with `exclude`"


def _found(head: bytes) -> str | None:
    """What the first bytes say by themselves."""
    if head[257:262] == b"ustar":
        return ".tar"
    if head[:3] == b"BZh" and head[4:10] == b"1AY&SY":
        return ".bz2"
    if head[:4] == b"\xff\xff\xff\xff" and 0 < int.from_bytes(head[4:8], "little") < 1 << 24:
        return ".arrow"  # a stream's first message
    if head[4:8] == b"ftyp":
        return ".mp4"
    if head[60:68] == b"BOOKMOBI":
        return ".mobi"
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        return {b"WEBP": ".webp", b"WAVE": ".wav", b"AVI ": ".avi"}[head[8:12]]
    found = next((kind for beginning, kind in _BEGINNINGS.items() if head.startswith(beginning)), None)
    if found == ".zip" and head[30:].startswith((b"[Content_Types].xml", b"mimetype", b"_rels/", b"META-INF/")):
        return next((kind for member, kind in _OFFICE.items() if member in head), ".docx")
    return found


def _is_plain(head: bytes) -> bool:
    """Whether it is text that one can read as it lies, in UTF-8 or nearly so."""
    readable = len(head.decode("utf-8", errors="ignore").encode())
    return bool(head) and b"\x00" not in head and 2 * readable > len(head) and _may_be_text(head)


def _is_page(head: bytes) -> bool:
    return head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html"))


def _may_be_text(head: bytes) -> bool:
    """Whether bytes are text in some encoding; in UTF-16 and UTF-32 many are zero."""
    if head.startswith(_MARKS):
        return True
    controls = len(head) - len(head.translate(None, _CONTROLS))
    halves = (head[0::2], head[1::2])
    zeros = [half.count(0) / max(1, len(half)) for half in halves]
    return min(zeros) <= 0.02 and controls <= 0.02 * len(head)
