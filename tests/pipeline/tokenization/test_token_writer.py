"""The token store's files: the same documents give the same files, and a failed block leaves none half-written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.arrow import from_rows
from pipeline.base.finished import finish
from pipeline.tokenization.corpus_tokens.writer import TokenWriter

documents = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=12), min_size=1, max_size=40)


@given(documents, st.lists(st.integers(1, 7), min_size=1))
def test_files_do_not_depend_on_how_documents_arrive(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], cuts: list[int]
) -> None:
    def write(sizes: Iterator[int]) -> tuple[str, dict[str, bytes]]:
        out = tmp_path_factory.mktemp("files")
        writer = TokenWriter(out, "train", "uint16", graded=True, batch_tokens=20, file_tokens=50)
        start = 0
        while start < len(rows):
            part = rows[start : start + next(sizes)]
            start += len(part)
            writer.write(
                [
                    pa.array([bytes(16)] * len(part), pa.binary(16)),
                    pa.array([len(row) for row in part], pa.uint32()),
                    pa.array(["en"] * len(part)),
                    pa.array([float(row[0]) for row in part], pa.float32()),
                ],
                from_rows([np.array(row, dtype=np.uint16) for row in part], "uint16"),
            )
        counts = writer.close()
        assert (counts.documents, counts.tokens) == (len(rows), sum(map(len, rows)))
        return writer.content_hash, {path.name: path.read_bytes() for path in out.iterdir()}

    def cycle() -> Iterator[int]:
        while True:
            yield from cuts

    assert write(iter([len(rows)])) == write(cycle())


def _columns(rows: list[list[int]]) -> list[pa.Array]:
    return [
        pa.array([bytes(16)] * len(rows), pa.binary(16)),
        pa.array([len(row) for row in rows], pa.uint32()),
        pa.array(["en"] * len(rows)),
    ]


def test_a_block_that_fails_keeps_finished_files_and_leaves_none_half_written(tmp_path: Path) -> None:
    rows = [[1, 2, 3]] * 4
    tokens = from_rows([np.array(row, dtype=np.uint16) for row in rows], "uint16")
    (tmp_path / "train-00000.arrow.tmp").write_text("left by a killed attempt")

    def failing() -> None:
        with TokenWriter(tmp_path, "train", "uint16", batch_tokens=3, file_tokens=6) as writer:
            writer.write(_columns(rows[:3]), tokens[:3])
            assert len(list(tmp_path.glob("*.tmp"))) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["train-00000.arrow"]
    for damage in (b"", bytes(100)):
        whole = (tmp_path / "train-00000.arrow").read_bytes()
        (tmp_path / "train-00000.arrow").write_bytes(damage)  # as a power cut may leave it
        assert TokenWriter(tmp_path, "train", "uint16", batch_tokens=3, file_tokens=6).documents == 0
        (tmp_path / "train-00000.arrow").write_bytes(whole)
        finish(tmp_path / "train-00000.arrow")
    with TokenWriter(tmp_path, "train", "uint16", batch_tokens=3, file_tokens=6) as writer:
        assert writer.documents == 2
        writer.write(_columns(rows[2:]), tokens[2:])
        assert [file.documents for file in writer.close().files] == [2, 2]
