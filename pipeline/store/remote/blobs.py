"""Files in a bucket by their content: `blobs/<sha256>`.

In: a local file. Out: an object whose name is the hash of its bytes, and from that a local file again, which is hashed
as it arrives. Who puts a blob twice, or at once with others, puts the same; so nobody waits for anybody here.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import BucketUnreachableError, DamagedError
from pipeline.base.files import sha256_of, whole_path
from pipeline.store.remote.objects import Objects

log = logging.getLogger(__name__)

BLOBS: Final = "blobs"
DAMAGED: Final = "damaged"
"""Folder in the bucket for blobs whose content is not their name."""
REQUEST_BYTES: Final = 32 << 20
"""The most that one request fetches: what fails is asked for again, and a slow line needs time for each."""
PART_BYTES: Final = 16 << 20
"""The parts that a large file is put in, but for one that would have more of them than S3 takes."""
_MOST_PARTS: Final = 9_000
YOUNG: Final = timedelta(days=1)
"""A blob of this age is sent anew rather than counted on."""


def blob_name(sha256: str) -> str:
    """Where the bytes of that hash are in a bucket."""
    return f"{BLOBS}/{sha256}"


def put_blob(objects: Objects, file: Path, sha256: str | None = None) -> str:
    """Have a file's bytes in the bucket; returns their SHA-256 in hexadecimal.

    A blob that is there is not sent again while it is young: an older one may be on its way out, if nothing needs it
    yet (`sweeping`). sha256: the file's, where it is known. Raises BucketError, and what the disk raises (OSError).
    """
    import obstore

    digest = sha256 or sha256_of(file)
    size = file.stat().st_size
    name = blob_name(digest)
    found = objects.entry(name)
    if found is not None and found.bytes == size and datetime.now(UTC) - found.modified < YOUNG:
        return digest
    part = max(PART_BYTES, -(-size // _MOST_PARTS))
    with objects.asking("put", name), file.open("rb") as content:
        obstore.put(objects.store, name, content, use_multipart=size > part, chunk_size=part, max_concurrency=4)
    objects.moved(sent=size)
    return digest


def fetch_blob(objects: Objects, sha256: str, size: int, to: Path) -> None:
    """Have the bytes of a hash in the local file `to`, whole or not at all.

    size: how many bytes they are. What arrives damaged is named in the log and fetched again.

    Raises FileNotFoundError where the bucket has none; DamagedError where what it has is not what its name says, after
    that blob is put aside in the bucket; BucketError; and what the disk raises (OSError).
    """
    name = blob_name(sha256)
    found = [_fetch(objects, name, sha256, size, to)]
    if found[0] != sha256:
        log.warning("%s: arrived damaged (SHA-256 differs); fetching it again", objects.where(name))
        found.append(_fetch(objects, name, sha256, size, to))
    if found[-1] == sha256:
        return
    if found[0] != found[1]:
        raise BucketUnreachableError(
            f"{objects.where(name)}: arrived damaged twice, each time otherwise: nothing is known to be wrong with the "
            "blob; look for what is wrong with this machine or with its line"
        )
    aside = f"{DAMAGED}/{sha256}"
    objects.rename(name, aside)
    raise DamagedError(
        f"{objects.where(name)}: this blob is damaged, as its content is not what its name says; it now lies in {aside}"
    )


def _fetch(objects: Objects, name: str, sha256: str, size: int, to: Path) -> str:
    """Fetch a blob to a file if its content is what it should be; returns the hash of what arrived."""
    digest = hashlib.sha256()
    try:
        with whole_path(to) as temporary:
            with temporary.open("wb") as file:
                for piece in _pieces(objects, name, size):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != sha256:
                raise _OtherContentError
    except _OtherContentError:
        pass
    return digest.hexdigest()


def _pieces(objects: Objects, name: str, size: int) -> Iterator[Any]:
    import obstore

    for start in range(0, max(size, 1), REQUEST_BYTES):
        with objects.asking("get", name):
            if size <= REQUEST_BYTES:
                piece = obstore.get(objects.store, name).bytes()
            else:
                piece = obstore.get_range(objects.store, name, start=start, end=min(start + REQUEST_BYTES, size))
        objects.moved(received=len(piece))
        yield piece


class _OtherContentError(Exception):
    """What arrived is not what was asked for."""
