"""A corpus encoded by parts, on machines beside this one: a file of ids for each file of documents.

In: what is kept of each file of documents. Out: the same documents and ids as a stream over them gives, in their order;
`TokenWriter` cuts them anew, so the token store's bytes are the same. One machine gains nothing by it, since encoders
use all cores by themselves.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa

from pipeline.base.executor import Executor
from pipeline.base.files import files_below, whole_path, write_json
from pipeline.base.finished import finish, is_finished
from pipeline.curation.selected import SelectedPart
from pipeline.tokenization.corpus_tokens.encoding import GateError, encoded_chunks
from pipeline.tokenization.folder import load_tokenizer
from trainer.records import check, parse_json

WORK_NAME: Final = "_parts"
_TOKENS: Final = "tokens"


def encode_elsewhere(
    corpus: str,
    parts: Sequence[SelectedPart],
    columns: Sequence[str],
    tokenizer: Path,
    refused: str | None,
    work: Path,
    executor: Executor,
    count: Callable[[int], None],
) -> Iterator[pa.RecordBatch]:
    """Documents' columns, without their text, and their ids as `tokens`, in the order of the corpus.

    refused: why the fast path may not be taken, none where it may. work: for files that only this build needs. count:
    told how many documents were compared with the reference. Raises GateError where one differs, TokenizerError as
    `encoded_chunks`.
    """
    files = tuple(files_below(tokenizer))
    tasks = [
        (corpus, part, tuple(columns), tokenizer, files, refused, work / f"{part.path.stem}.arrow")
        for part in parts
        if len(part.rows)
    ]
    for (*_, path), (gated, wrong) in zip(tasks, executor.map(encode_part, tasks), strict=True):
        if wrong is not None:
            raise GateError(wrong)
        count(gated)
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
    shutil.rmtree(work, ignore_errors=True)


def encode_part(
    corpus: str,
    part: SelectedPart,
    columns: tuple[str, ...],
    tokenizer: Path,
    tokenizer_files: tuple[Path, ...],
    refused: str | None,
    path: Path,
) -> tuple[int, str | None]:
    """Write a part's documents with their ids to `path`, or find them there; how many were compared with the
    reference, and what was wrong with one, which ends the part.

    tokenizer_files: all that is read of the tokenizer's folder, as a part reads the files that its arguments name.
    """
    note = path.with_suffix(".json")
    if is_finished(path):
        return check(int, parse_json(note.read_bytes())), None
    encoder = load_tokenizer(tokenizer)
    if refused is not None:
        encoder.refuse_bulk(refused)
    gated = 0
    kept = [column for column in columns if column != "text"]
    try:
        with ThreadPoolExecutor(1) as gate, whole_path(path) as temporary, pa.OSFile(str(temporary), "wb") as file:
            writer = None
            for chunk in encoded_chunks(corpus, part.iter_batches(columns), encoder, gate):
                gated += chunk.gated.result() if chunk.gated is not None else 0
                table = chunk.documents.select(kept).append_column(_TOKENS, chunk.tokens)
                writer = writer or pa.ipc.new_file(file, table.schema)
                writer.write_table(table)
            if writer is not None:
                writer.close()
    except GateError as error:
        return gated, str(error)
    write_json(note, gated)
    finish(path, note)
    return gated, None
