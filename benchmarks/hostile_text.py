"""Curation of hostile text against clean text of the same size: time and memory of a whole `documents` build.

    python benchmarks/hostile_text.py ../shared/data/fineweb_edu.jsonl.gz [--megabytes 100] [--share 0.1]

Both sides are real text, repeated with words swapped (`curation.synthetic`), in files of about 20 MB. On the hostile
side a share of the bytes is what has hung, filled the memory of or stopped a tool for text: runs of one mark, open
comments and tags, base64, letters under hundreds of marks, escapes in escapes, mojibake, a line of a megabyte, 100,000
lines of two bytes, Han without a mark, scripts with vowel signs, books with a licence in odd forms, records without
text, nested or cut JSON, bytes of another encoding, archives in odd forms. Every step of cleaning is on. Each side runs
in a fresh process; the ratio is of processor time, memory the greatest proportional set size of the process with its
workers.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

Make = Callable[[random.Random, int], str]

UNITS = [
    *(mark for mark in "=_*#-.@<>&|[({'\"/:~+!?…。 \n\r\t\u00a0\u200b\u3000"),
    *("<!--", "<script>", "<a ", '<a href="', "</a", "<p>", "&amp;", "&#1"),
    *("Ã\x83Â©", "\u0301\u0323", "\uff9e\u0301"),
    *("a@", "b-", "a.b.", "http://", "1.1.", "*** START OF THE PROJECT GUTENBERG EBOOK\n", "Produced by A\n\n"),
    *(
        "[1",
        "{{",
        "can't",
        ":)",
        "a\n",
        "spam ",
        "漢字",
        "విద్యార్థులు ",
        "हिन्दी ",
        "ភាសាខ្មែរ",
        "ไทย",
        "مُعَلِّم ",
        "\ud83d\ude00",
    ),
]


def run_of(unit: str) -> Make:
    """One unit again and again, between two words."""
    return lambda draw, size: f"before {unit * (size // len(unit))} after"


def base64_image(draw: random.Random, size: int) -> str:
    data = base64.b64encode(draw.randbytes(size * 3 // 4)).decode()
    return f'<img src="data:image/png;base64,{data}"> write to a.b@example.org'


def han_without_marks(draw: random.Random, size: int) -> str:
    return "".join(chr(0x4E00 + int(draw.paretovariate(1)) % 3000) for _ in range(size // 3))


def noise(draw: random.Random, size: int) -> str:
    return "".join(chr(draw.randrange(32, 0xD7FF)) for _ in range(size // 3))


KINDS: list[Make] = [*map(run_of, UNITS), base64_image, han_without_marks, noise]


def main() -> None:
    """Run both sides, each in a process of its own, and print their figures and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="JSON lines (.gz) with a field `text`")
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.1, help="share of hostile bytes")
    parser.add_argument("--alone", choices=["clean", "hostile"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        one_side(options.data, options.megabytes, options.share if options.alone == "hostile" else 0.0)
        return
    spent = {}
    for side in ("clean", "hostile"):
        words = [str(options.data), "--megabytes", str(options.megabytes), "--share", str(options.share)]
        command = [sys.executable, __file__, *words, "--alone", side]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(f"{side}: {done.stdout}", end="", flush=True)
        spent[side] = float(done.stdout.split(" processor s")[0].split()[-1])
    print(f"hostile over clean, processor time: {spent['hostile'] / spent['clean']:.2f}")


def one_side(data: Path, megabytes: int, share: float) -> None:
    """Write one side's files, build `documents` of them and print what it took."""
    from benchmarks.curation import Memory, read, synthetic
    from pipeline.base.executor import Processes
    from pipeline.curation.documents import build_documents
    from pipeline.curation.settings import DocumentsSettings

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        sources = root / "in"
        sources.mkdir()
        texts = read(data, 20)
        synthetic(texts, sources, round(megabytes * (1 - share)))
        if share:
            hostile_files(sources, texts, round(megabytes * 1e6 * share))
        size = sum(path.stat().st_size for path in sources.iterdir())
        every_step = {"html": True, "gutenberg": True, "unwrap": True, "c4_lines": True}
        layouts = [("*.jsonl", "records"), ("*.txt", "whole"), ("*.zip", "whole"), ("*.tar.gz", "whole")]
        present = [(pattern, layout) for pattern, layout in layouts if any(sources.glob(pattern))]
        settings = DocumentsSettings.model_validate(
            {
                "sources": [{"files": str(sources / pattern), "format": layout} for pattern, layout in present],
                "most_lost_share": 1.0,
                "normalizing": every_step,
                "split_bytes": 100_000,
            }
        )
        started, before = time.monotonic(), sum(os.times()[:4])
        with Memory() as memory:
            with Processes() as executor:
                summary = build_documents("hostile", settings, root / "out", cache=root / "cache", executor=executor)
            seconds, worked = time.monotonic() - started, sum(os.times()[:4]) - before
    print(
        f"{size / 1e6:.0f} MB in {seconds:.1f} s, {worked:.1f} processor s, {memory.greatest:.0f} MB of memory; "
        f"{summary.documents:,} documents, set aside: {summary.quarantined}"
    )


def hostile_files(folder: Path, texts: list[str], size: int) -> None:
    """Files of every hostile kind, `size` bytes in all: half of it as records, half as whole files and archives."""
    draw = random.Random(2)
    records(folder / "hostile.jsonl", draw, texts, size // 2)
    documents = hostile_documents(draw)
    written = number = 0
    with (
        zipfile.ZipFile(folder / "hostile.zip", "w") as archive,
        tarfile.open(folder / "hostile.tar.gz", "w:gz") as tar,
    ):
        while written < size // 2:
            text, encoding = next(documents), draw.choice(["utf-8", "utf-8", "utf-16", "cp1252", "gb18030"])
            data = text.encode(encoding, "surrogatepass" if encoding.startswith("utf") else "replace")
            written, number = written + len(data), number + 1
            name = f"hostile-{number:05d}.txt"
            if number % 3 == 0:
                (folder / name).write_bytes(data)
            elif number % 3 == 1:
                archive.writestr(name, data)
            else:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def hostile_documents(draw: random.Random) -> Iterator[str]:
    """Texts of every kind in turn, of 100 to 30,000 bytes, one in twenty up to a megabyte."""
    while True:
        for make in KINDS:
            yield make(draw, round(100 * 10 ** draw.uniform(0, 4 if draw.random() < 0.05 else 2.5)))


def records(path: Path, draw: random.Random, texts: list[str], size: int) -> None:
    """JSON lines: hostile texts, and lines that are no records."""
    documents = hostile_documents(draw)
    bad = [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"text": 1}',
        b'{"other": "x"}',
        b"\xff\xfe\x00",
        b"null",
        b'"text"',
        b'{"text": ""}',
    ]
    written = 0
    with path.open("wb") as file:
        while written < size:
            line = json.dumps({"text": next(documents)}).encode()
            if draw.random() < 0.2:
                line = draw.choice([*bad, line[: len(line) // 2], json.dumps({"text": draw.choice(texts)}).encode()])
            file.write(line + b"\n")
            written += len(line)


if __name__ == "__main__":
    main()
