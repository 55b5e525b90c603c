"""Which score the language detector gives real text of known languages, and the thresholds that follow from it.

    python benchmarks/language_thresholds.py FILE.jsonl.gz ... --languages fr de es ar hi sw [--words 30]

FILE: JSON lines with `text` and `lang`; for French and Spanish the sample profile's package archives are read too.
Texts are cut into pieces of so many words, the least that a profile keeps, where the detector is least sure. A
threshold is the largest multiple of 0.05, 0.85 at most, that keeps 99% of a language's own pieces that the detector
names right; what it is worth is what it refuses of the pieces of all other languages that are taken for this one. A
language is not judged (`none`) where fewer than 95% of its pieces are named right: any threshold would take away those
that are not. `published` is FineWeb-2's threshold for the language, of another detector (GlotLID), so that it keeps
another share here.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.base.archives import fetch_archive, open_member  # noqa: E402
from pipeline.curation.signals.language import detect_language  # noqa: E402
from pipeline.curation.text.languages import known_language  # noqa: E402

LEAST_KEPT: Final = 0.99
LEAST_RIGHT: Final = 0.95
STEP: Final = 0.05
HIGHEST: Final = 0.85
"""The text measured here is cleaner than that of the web, of which a higher threshold would take more."""
COLUMNS: Final = (
    *("language", "pieces", "named right", "threshold", "kept", "others taken for it", "of them kept", "mostly"),
    *("published", "would keep"),
)
PUBLISHED: Final = {"fr": 0.824, "de": 0.821, "sw": 0.30}
"""FineWeb-2's thresholds of GlotLID's scores, of the languages for which they are known here."""


@dataclass(frozen=True)
class Piece:
    """A piece of text of a known language, and what the detector says of it."""

    lang: str
    taken_for: str
    score: float


def main() -> None:
    """Print the table for the languages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--languages", nargs="+", default=["fr", "de", "es", "ar", "hi", "sw"])
    parser.add_argument("--words", type=int, nargs="+", default=[30, 100])
    parser.add_argument("--cache", type=Path, default=Path(".squeeze/.cache"), help="of package archives")
    options = parser.parse_args()
    texts = [item for file in options.files for item in read(file)] + list(read_archives(options.cache))
    for words in options.words:
        pieces = [Piece(lang, *detect_language(piece)) for lang, text in texts for piece in cut(text, words)]
        languages = len({piece.lang for piece in pieces})
        print(f"\n{len(pieces):,} pieces of {words} words in {languages} languages\n")
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        for lang in options.languages:
            print(row(lang, pieces))


def read(path: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each line whose language is one."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            item = json.loads(line)
            lang = known_language(item.get("lang") or "")
            if lang is not None:
                yield lang, item["text"]


def read_archives(cache: Path) -> Iterator[tuple[str, str]]:
    """Lead sections of Wikipedia in the languages of the sample's corpus `multilingual`."""
    from pipeline.profile.profile import load_profile

    for source in load_profile("sample").corpora["multilingual"].sources:
        for member in source.members if source.archive is not None else ():
            lang = known_language(Path(member).stem.rpartition("_")[2])  # summaries_fr-fr.json
            with open_member(fetch_archive(source.archive, cache), member) as file:
                yield from ((lang or "", str(item["extract"])) for item in json.load(file).values())


def cut(text: str, words: int) -> Iterator[str]:
    """Pieces of exactly so many words; what is left at the end is none."""
    all_words = text.split()
    for start in range(0, len(all_words) - words + 1, words):
        yield " ".join(all_words[start : start + words])


def threshold(scores: Sequence[float]) -> float:
    """The largest multiple of `STEP` up to `HIGHEST` that keeps `LEAST_KEPT` of the scores; 0 where none does."""
    steps = [round(STEP * number, 2) for number in range(round(HIGHEST / STEP) + 1)]
    return max((step for step in steps if reached(scores, step) >= LEAST_KEPT * len(scores)), default=0.0)


def reached(scores: Sequence[float], least: float) -> int:
    """How many of the scores are at least so high."""
    return sum(score >= least for score in scores)


def row(lang: str, pieces: Sequence[Piece]) -> str:
    """A language's line of the table; shares are of all its pieces, also of those taken for another language."""
    own = [piece for piece in pieces if piece.lang == lang]
    right = [piece.score for piece in own if piece.taken_for == lang]
    wrong = defaultdict(list)
    for piece in pieces:
        if piece.taken_for == lang and piece.lang != lang:
            wrong[piece.lang].append(piece.score)
    judged = len(right) >= LEAST_RIGHT * len(own)
    least = threshold(right)
    stay = Counter({name: reached(scores, least) for name, scores in wrong.items()})
    mostly = ", ".join(f"{name} {count}" for name, count in stay.most_common(3) if count)
    said = PUBLISHED.get(lang)
    cells = [lang, f"{len(own):,}", share(len(right), len(own)), f"{least:.2f}" if judged else "none"]
    cells += [share(reached(right, least), len(own)) if judged else "100.0%"]
    cells += [f"{sum(map(len, wrong.values())):,}", f"{sum(stay.values()):,}" if judged else "all", mostly]
    cells += ["", ""] if said is None else [str(said), share(reached(right, said), len(own))]
    return f"| {' | '.join(cells)} |"


def share(part: int, whole: int) -> str:
    """A part of a whole, in per cent."""
    return f"{part / max(1, whole):.1%}"


if __name__ == "__main__":
    main()
