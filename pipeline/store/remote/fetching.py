"""From an artifact in a bucket to one in a local folder: whole, checked by hash as it arrives, or not at all.

Files arrive in a folder beside the artifact's place, which a killed attempt leaves for the next to go on from; the
rename into place, with the manifest, is what makes it an artifact here.
"""

from __future__ import annotations

import logging
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pipeline.base.errors import DamagedError, StoreError
from pipeline.base.files import naming_full_disk, sha256_of, sync_folder, write_text
from pipeline.base.lock import exclusive
from pipeline.base.numbers import size
from pipeline.base.progress import PROGRESS
from pipeline.store.backend import MANIFEST
from pipeline.store.local import FETCHING, LocalBackend, put_aside
from pipeline.store.manifest import FileRecord, Manifest
from pipeline.store.remote.blobs import fetch_blob
from pipeline.store.remote.names import manifest_name, withdrawn_name
from pipeline.store.remote.objects import Objects
from pipeline.store.remote.publishing import AT_ONCE
from pipeline.store.soundness import remember_sound

log = logging.getLogger(__name__)

GLIMPSED: Final = (".json", ".md", ".png")
GLIMPSE_BYTES: Final = 512 << 10
"""The most that a file of these kinds has, if it is fetched to be shown."""


def fetch(objects: Objects, manifest: Manifest, local: LocalBackend, *, anew: bool = False) -> Path:
    """Have the artifact in the local store; returns its folder.

    What lies in its place and is as the manifest says is taken from there. anew: also where the artifact is there
    already, to mend it. Raises StoreError naming what cannot be had, after the bucket's manifest is withdrawn where a
    blob of it is missing or damaged: the artifact is then built anew. Raises BucketError and DiskFullError.
    """
    key, fingerprint = manifest.key, manifest.fingerprint
    final = local.place(key, fingerprint)
    work = final.with_name(FETCHING + fingerprint)
    with exclusive(local.fetching_lock(key, fingerprint), f"fetching {key}"), naming_full_disk(work, key):
        if (final / MANIFEST).exists() and not anew:
            return final
        log.info(
            "%s: fetching %s (%s) from %s",
            key,
            fingerprint[:8],
            size(manifest.size),
            objects.address,
            extra={PROGRESS: True},
        )
        work.mkdir(parents=True, exist_ok=True)
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                list(pool.map(lambda item: _bring(objects, item[0], item[1], work, final), manifest.files.items()))
        except (FileNotFoundError, DamagedError) as error:
            objects.rename(manifest_name(key, fingerprint), withdrawn_name(key, fingerprint))
            said = str(error) if isinstance(error, DamagedError) else f"a blob of it is missing ({error.filename})"
            raise StoreError(
                f"{key} {fingerprint[:8]} cannot be fetched: {said}. It is now no artifact of {objects.address} any "
                "more: run the same command again to build it anew, or `squeeze push` where it still is"
            ) from None
        write_text(work / MANIFEST, manifest.to_json())
        if final.exists():
            local.discard(put_aside(final, fingerprint))
        work.rename(final)
        sync_folder(final.parent)
    for name, record in manifest.files.items():
        remember_sound(final / name, record)
    return final


def glimpse(objects: Objects, manifest: Manifest, folder: Path) -> Path:
    """Have in a folder the small files of an artifact by which a page shows what it is."""
    for name, record in manifest.files.items():
        shown = record.bytes <= GLIMPSE_BYTES and name.endswith(GLIMPSED)
        if shown and not (folder / name).exists():
            fetch_blob(objects, record.sha256, record.bytes, folder / name)
    return folder


def _bring(objects: Objects, name: str, record: FileRecord, work: Path, final: Path) -> None:
    """Have one file in `work`: what an earlier attempt left there, or else what lies in the artifact's place, or else
    the bucket's."""
    file, here = work / name, final / name
    if _is(file, record):
        return
    if _is(here, record):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        try:
            os.link(here, file)
        except OSError:  # a file system without links
            shutil.copyfile(here, file)
        return
    try:
        fetch_blob(objects, record.sha256, record.bytes, file)
    except FileNotFoundError as error:
        error.filename = name
        raise


def _is(file: Path, record: FileRecord) -> bool:
    return file.is_file() and file.stat().st_size == record.bytes and sha256_of(file) == record.sha256
