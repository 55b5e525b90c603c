"""Small curated corpora as the curation stages write them, and tokenizers built from them."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.curation.corpus import CuratedCorpus
from pipeline.tokenization.settings import SampleSettings
from pipeline.tokenization.specs import parse_spec
from pipeline.tokenization.training.build import build_tokenizer
from pipeline.tokenization.training.mixture import build_mixture

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SPECS = Path(__file__).resolve().parents[3] / "tokenizers"

Document = tuple[str, str]  # text, language


def doc_id(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def write_corpus(folder: Path, train: Sequence[Document], heldout: Sequence[Document] = ()) -> CuratedCorpus:
    """The three folders of a corpus: every second row of the documents is left out by the selection."""
    documents, selection, held = folder / "documents", folder / "selection", folder / "heldout"
    for path in (documents, selection, held):
        path.mkdir(parents=True)
    rows = [row for text, lang in train for row in (("left out " + text, lang), (text, lang))]
    pq.write_table(_table(rows), documents / "part-00000.parquet")
    taken = [{"row": number, "doc_id": doc_id(text)} for number, (text, _) in enumerate(rows) if number % 2 == 1]
    schema = pa.schema([("row", pa.int64()), ("doc_id", pa.binary(16))])
    pq.write_table(pa.Table.from_pylist(taken, schema), selection / "selection.parquet")
    pq.write_table(_table(heldout), held / "heldout.parquet")
    return CuratedCorpus(documents, selection, held)


def _table(rows: Sequence[Document]) -> pa.Table:
    schema = pa.schema(
        [
            ("doc_id", pa.binary(16)),
            ("text", pa.string()),
            ("bytes", pa.uint32()),
            ("group", pa.string()),
            ("position", pa.int32()),
            ("lang", pa.string()),
            ("source", pa.string()),
        ]
    )
    return pa.Table.from_pylist(
        [
            {
                "doc_id": doc_id(text),
                "text": text,
                "bytes": len(text.encode()),
                "group": str(number),
                "position": 0,
                "lang": lang,
                "source": "test",
            }
            for number, (text, lang) in enumerate(rows)
        ],
        schema,
    )


def shared_documents(file: str, limit: int | None = None) -> list[Document]:
    """Documents of ../shared/data; the test is skipped where the folder is missing."""
    path = SHARED / file
    if not path.is_file():
        pytest.skip(f"needs {path}")
    documents = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            documents.append((row["text"], row.get("lang") or ""))
            if len(documents) == limit:
                break
    return documents


ENGLISH = [
    (f"The {animal} had {number} {thing}s, and it's said they'd {verb} {2 * number + 13} times a year.\n", "en")
    for animal in ("fox", "hen", "old wolf", "tailor", "tin soldier", "nightingale")
    for number, thing in enumerate(("house", "garden", "friend", "song", "winter coat", "story"))
    for verb in ("sing", "wander", "forget it", "laugh")
]
FRENCH = [(text.replace("The", "Le").replace("had", "avait").replace("they", "été"), "fr") for text, _ in ENGLISH[:60]]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine would keep tables of vocabularies; the user's own folder is left alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "machine"))
    return tmp_path / "machine" / "squeeze" / "vocabularies"


@pytest.fixture(scope="session")
def english() -> list[Document]:
    return ENGLISH


@pytest.fixture(scope="session")
def french() -> list[Document]:
    return FRENCH


@pytest.fixture(scope="session", name="write_corpus")
def _write_corpus() -> Callable[..., CuratedCorpus]:
    """`write_corpus(folder, train, heldout)`: documents are (text, language)."""
    return write_corpus


@pytest.fixture(scope="session", name="shared_documents")
def _shared_documents() -> Callable[..., list[Document]]:
    """`shared_documents("fineweb_edu.jsonl.gz", limit)`: real documents."""
    return shared_documents


@pytest.fixture
def corpora(tmp_path: Path) -> dict[str, CuratedCorpus]:
    """Two corpora: English stories, and a mix of English and French."""
    return {
        "stories": write_corpus(tmp_path / "stories", ENGLISH[:100], ENGLISH[100:]),
        "mixed": write_corpus(tmp_path / "mixed", [*FRENCH[:40], *ENGLISH[60:90]], FRENCH[40:]),
    }


@pytest.fixture
def mixture(tmp_path: Path, corpora: dict[str, CuratedCorpus]) -> Path:
    out = tmp_path / "mixture"
    out.mkdir()
    build_mixture(SampleSettings(bytes=1_000_000), corpora, out)
    return out


@pytest.fixture
def build(tmp_path: Path, mixture: Path) -> Callable[..., Path]:
    """`build("name", **spec)`: the folder of a tokenizer trained on the mixture."""

    def make(name: str, **spec: object) -> Path:
        out = tmp_path / "tokenizer" / name
        out.mkdir(parents=True)
        parsed = parse_spec({"kind": "bpe", "vocab_size": 320, **spec}, where=name)
        build_tokenizer(name, parsed, out, cache=tmp_path / "cache", folder=SPECS, mixture=mixture)
        return out

    return make
