"""From a finished artifact in a local folder to one in a bucket.

The files go first, each under its hash; then the manifest, which only one machine can create. Who comes second takes
the first's artifact for his own if their contents are equal: times and drawings may differ, what was built may not.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from pipeline.base.errors import BucketError, NotReproducedError, StoreError
from pipeline.store.manifest import FileRecord, Manifest, Provenance
from pipeline.store.remote.blobs import put_blob
from pipeline.store.remote.names import manifest_name
from pipeline.store.remote.objects import Objects
from pipeline.store.soundness import damage_of

AT_ONCE: Final = 4
"""Files of an artifact that are on their way at one time."""
_NAMED: Final = 5


def read_manifest(objects: Objects, key: str, fingerprint: str) -> Manifest | None:
    """The manifest of an artifact in a bucket, or None. Raises StoreError where it cannot be read."""
    name = manifest_name(key, fingerprint)
    data = objects.read(name)
    return None if data is None else Manifest.parse(data.decode(errors="replace"), objects.where(name))


def publish(objects: Objects, manifest: Manifest, folder: Path) -> Manifest:
    """Have an artifact in the bucket, whose files lie in `folder`; returns the manifest that is there then.

    Raises NotReproducedError where another build of the same fingerprint is there with another content; StoreError
    where a file is not what the manifest says; BucketError; what the disk raises (OSError).
    """
    found = read_manifest(objects, manifest.key, manifest.fingerprint)
    if found is None:
        files = {record.sha256: (folder / name, record) for name, record in manifest.files.items()}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda item: _put_sound(objects, *item), files.values()))
        if objects.create(manifest_name(manifest.key, manifest.fingerprint), manifest.to_json().encode()):
            return manifest
        found = read_manifest(objects, manifest.key, manifest.fingerprint)
        if found is None:
            raise BucketError(f"{objects.where(manifest_name(manifest.key, manifest.fingerprint))}: was taken away")
    require_equal(found, manifest)
    return found


def _put_sound(objects: Objects, file: Path, record: FileRecord) -> None:
    """Put a file, unless it is not what was built: its blob would be damaged for everybody."""
    if damage := damage_of(file, record):
        raise StoreError(f"{damage}; put it aside with `squeeze verify --repair`, and run the same command again")
    put_blob(objects, file, record.sha256)


def require_equal(first: Manifest, second: Manifest) -> None:
    """Raise NotReproducedError, with the files and both builds' surroundings, where two builds of one fingerprint
    differ in content. first: the one in the bucket."""
    if first.content_hash == second.content_hash:
        return
    names = sorted({*first.files, *second.files})
    differing = [name for name in names if _sha256(first, name) != _sha256(second, name)]
    more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
    raise NotReproducedError(
        f"{first.key} {first.fingerprint[:8]} was built twice, and the contents differ, which nothing but a fault in "
        f"code or hardware, or a library that computes otherwise, can cause. Differing: "
        f"{', '.join(differing[:_NAMED]) or 'no file, only the content hash'}{more}. "
        f"In the bucket: content {first.content_hash[:8]}, {_surroundings(first.built, second.built)}. "
        f"Here: content {second.content_hash[:8]}, {_surroundings(second.built, first.built)}."
    )


def _sha256(manifest: Manifest, name: str) -> str | None:
    record = manifest.files.get(name)
    return record.sha256 if record else None


def _surroundings(built: Provenance, other: Provenance) -> str:
    """When, by whom and with what an artifact was built; of the libraries those that the other build had otherwise."""
    said = [f"built {built.at} for {built.profile} by run {built.run_id or '(no run)'}"]
    said += [f"on {built.platform}"] if built.platform else []
    said += [f"commit {built.git_commit[:12]}"] if built.git_commit else []
    said += [f"{name} {version}" for name, version in built.libraries.items() if other.libraries.get(name) != version]
    return ", ".join(said)
