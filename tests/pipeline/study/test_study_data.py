"""What arms share: the held-out sample, and several runs side by side."""

import hashlib
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.base.errors import StudyError
from pipeline.evaluation.heldout import read_heldout
from pipeline.study.data import sample_heldout
from pipeline.study.runs.seeds import side_by_side
from pipeline.study.settings import HeldoutSample


def heldout(folder, sizes):
    """Held-out documents of given sizes."""
    folder.mkdir(parents=True)
    texts = [f"{number:03d} ".ljust(size, "x") for number, size in enumerate(sizes)]
    ids = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    columns = {"doc_id": ids, "text": texts, "bytes": pa.array(sizes, pa.uint32()), "lang": ["en"] * len(sizes)}
    pq.write_table(pa.table(columns), folder / "heldout.parquet")
    return folder


def test_the_sample_is_whole_documents_within_the_bytes_and_the_curves_part_of_it(tmp_path):
    folder = heldout(tmp_path / "in", [100] * 50 + [5000])
    settings = HeldoutSample(bytes={"books": 1000}, curve_share=0.3)
    found = sample_heldout(settings, {"books": folder}, tmp_path / "out")
    assert found.bytes == {"final": {"books": 1000}, "curve": {"books": 300}}
    final, curve = (read_heldout("books", tmp_path / "out" / part / "books").texts for part in ("final", "curve"))
    assert set(curve) <= set(final)
    again = sample_heldout(settings, {"books": folder}, tmp_path / "again")
    other = sample_heldout(settings.model_copy(update={"seed": 2}), {"books": folder}, tmp_path / "other")
    assert again == found != other


def test_a_sample_holds_no_document_of_those_it_is_to_be_without(tmp_path):
    folder = heldout(tmp_path / "in", [100] * 30)
    first = HeldoutSample(bytes={"books": 1000})
    second = HeldoutSample(bytes={"books": 1000}, seed=2, without=first)
    third = HeldoutSample(bytes={"books": 1000}, seed=3, without=second)
    texts = []
    for number, settings in enumerate((first, second, third)):
        sample_heldout(settings, {"books": folder}, tmp_path / str(number))
        texts += read_heldout("books", tmp_path / str(number) / "final" / "books").texts
    assert len(texts) == len(set(texts)) == 30
    with pytest.raises(StudyError, match="none of its 0 held-out documents fits"):
        sample_heldout(HeldoutSample(bytes={"books": 1000}, without=third), {"books": folder}, tmp_path / "out")


def test_a_corpus_without_a_document_that_fits_is_named(tmp_path):
    folder = heldout(tmp_path / "in", [5000])
    with pytest.raises(StudyError, match=r"study.heldout.bytes.books: none of its 1 .* 1,000 bytes"):
        sample_heldout(HeldoutSample(bytes={"books": 1000}), {"books": folder}, tmp_path / "out")


def test_runs_go_side_by_side_and_their_results_come_in_order():
    together = threading.Barrier(2, timeout=20)

    def task(number):
        def run(stop):
            together.wait()
            return number

        return run

    assert side_by_side([task(n) for n in range(4)], 2) == [0, 1, 2, 3]


def test_the_first_failure_stops_the_others():
    stopped = threading.Event()

    def fails(stop):
        raise StudyError("the arm cannot run")

    def waits(stop):
        if stop.wait(20):
            stopped.set()

    started = time.monotonic()
    with pytest.raises(StudyError, match="the arm cannot run"):
        side_by_side([waits, fails], 2)
    assert stopped.is_set()
    assert time.monotonic() - started < 15
