"""The command `squeeze inspect`: what files would give as a source, before anything is built."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.markup import escape

from pipeline.base.errors import ProfileError, SourceError
from pipeline.base.numbers import size as size_of
from pipeline.base.suggestions import did_you_mean_or_known
from pipeline.cli.terminal import ProfileOption, console, print_rows

if TYPE_CHECKING:
    from pipeline.curation.preview import FilePreview, Preview
    from pipeline.curation.settings import DocumentsSettings

app = typer.Typer()
_SETTINGS: Final = "--source-settings"


@app.command()
def inspect(
    places: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files, folders, globs, URLs; or with -p a corpus's name.")
    ],
    profile: ProfileOption = None,
    source_settings: Annotated[
        list[str] | None,
        typer.Option(_SETTINGS, "-s", help="key=value, YAML such as '{format: lines, lang: fr}', or a YAML file."),
    ] = None,
    files: Annotated[int, typer.Option(min=1, help="Most files to look at.")] = 20,
    documents: Annotated[int, typer.Option(min=0, help="Documents to show before and after cleaning.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="All of it as JSON.")] = False,
) -> None:
    """What files would give as a source: how they are read, encoding, language, cleaning, quarantine. Takes seconds."""
    from pipeline.curation.preview import preview
    from pipeline.store.home import squeeze_home

    given = _given(source_settings or [])
    settings = _of_corpus(profile, places, given) if profile else _of_files(places, given)
    found = preview(settings, squeeze_home() / ".cache", files=files, documents=documents)
    if as_json:
        typer.echo(json.dumps(_plain(found), ensure_ascii=False, indent=2))
    else:
        _show(found)


def _of_files(places: Sequence[str], given: Mapping[str, Any]) -> DocumentsSettings:
    """Settings of one source of these files; keys that no source has are the corpus's, such as `normalizing`."""
    from pipeline.curation.settings import DocumentsSettings
    from trainer.settings import from_mapping

    of_corpus = {key: given[key] for key in given if key in DocumentsSettings.model_fields and key != "sources"}
    patterns = [f"{place.rstrip('/')}/**/*" if Path(place).expanduser().is_dir() else place for place in places]
    source = {"files": patterns} | {key: value for key, value in given.items() if key not in of_corpus}
    return from_mapping(DocumentsSettings, {"sources": [source], **of_corpus}, _SETTINGS)


def _of_corpus(profile: str, places: Sequence[str], given: Mapping[str, Any]) -> DocumentsSettings:
    """The settings of a corpus of a profile, some of them replaced in every source of it."""
    from pipeline.curation.settings import DocumentsSettings
    from pipeline.profile.profile import load_profile
    from trainer.settings import from_mapping

    corpora = load_profile(profile).corpora
    (name, *others) = places
    if others or name not in corpora:
        wrong = ", ".join(others) if others and name in corpora else name
        raise ProfileError(
            f"{wrong!r} is no corpus of the profile {profile}{did_you_mean_or_known(wrong, corpora)}: with --profile "
            "name one corpus; to look at files leave --profile out"
        )
    settings = corpora[name].documents.model_dump(exclude_unset=True)
    of_corpus = {key: given[key] for key in given if key in DocumentsSettings.model_fields and key != "sources"}
    of_source = {key: value for key, value in given.items() if key not in of_corpus}
    sources = [source.model_dump(exclude_unset=True) | of_source for source in corpora[name].sources]
    return from_mapping(DocumentsSettings, settings | of_corpus | {"sources": sources}, _SETTINGS)


def _given(texts: Sequence[str]) -> dict[str, Any]:
    """What `--source-settings` says, in any of its forms; a dot in a key goes into a mapping."""
    from ruamel.yaml.error import YAMLError

    from pipeline.base.bounded_yaml import load_yaml

    settings: dict[str, Any] = {}
    for text in texts:
        is_file = text.endswith((".yaml", ".yml")) and Path(text).is_file()
        try:
            if is_file or text.lstrip().startswith("{") or "=" not in text:
                value = load_yaml(Path(text).read_text(encoding="utf-8") if is_file else text)
            else:
                key, _, word = text.partition("=")
                value = load_yaml(word) if word else ""
                for part in reversed(key.strip().split(".")):
                    value = {part: value}
        except YAMLError as error:
            raise SourceError(f"{_SETTINGS} {text!r} cannot be read as YAML: {error}") from error
        if not isinstance(value, dict):
            raise SourceError(f"{_SETTINGS} {text!r} sets nothing: write key=value, such as format=lines, or YAML")
        for key, item in value.items():
            known = settings.get(key)
            settings[key] = known | item if isinstance(known, dict) and isinstance(item, dict) else item
    return settings


def _plain(value: Any) -> Any:
    """As JSON knows it; `dataclasses.asdict` cannot copy a Counter."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _show(found: Preview) -> None:
    print_rows("files", [_row(file) for file in found.files])
    more = f"; {found.not_looked_at:,} files more are not looked at" if found.not_looked_at else ""
    cut = " Of files marked + the beginning was read." if any(not file.whole for file in found.files) else ""
    console.print(f"[dim]looked at in {found.seconds:.1f} s{more}.{cut}[/]")
    _show_totals(found.files)
    for file in found.files:
        for sample in file.samples:
            _show_sample(sample)
    _show_quarantine(found)


def _row(file: FilePreview) -> dict[str, object]:
    readers = Counter(file.readers.values())
    reader = "; ".join(f"{count} x {name}" if count > 1 else name for name, count in readers.most_common(3))
    more = "" if file.whole else "+"
    return {
        "file": file.entry,
        "size": None if file.bytes is None else size_of(file.bytes),
        "read as": f"{reader or 'not read'}{' (by content)' if file.by_content else ''}",
        "encoding": f"{file.encoding} ({file.sureness})" if file.encoding else None,
        "language": ", ".join(name for name, _ in file.languages.most_common(3) if name) or None,
        "records": f"about {file.estimated:,}" if file.estimated else f"{file.records:,}{more}",
        "groups": f"{file.groups:,}{more}",
        "quarantined": f"{file.quarantined.total():,}" if file.quarantined else None,
    }


def _show_totals(files: Sequence[FilePreview]) -> None:
    from pipeline.curation.preview import CLEANED

    before, after = (sum(getattr(file, name) for file in files) for name in ("bytes_before", "bytes_after"))
    records, documents = (sum(getattr(file, name) for file in files) for name in ("records", "documents"))
    languages = sum((file.languages for file in files), Counter[str]()).most_common(5)
    named = ", ".join(f"{name or '?'} {count:,}" for name, count in languages)
    cleaned = f" (of the first {CLEANED} of each file)" if any(file.records > CLEANED for file in files) else ""
    console.print(
        f"\n{records:,} records give {documents:,} documents ({named or 'no language'}); text of {size_of(before)} is "
        f"{size_of(after)} after cleaning{cleaned}"
    )
    steps = sum((file.steps for file in files), Counter[str]())
    taken = [f"{name} {size_of(size)}" for name, size in steps.most_common() if size > 0]
    console.print(f"taken on the way: {'; '.join(taken) or 'nothing'}", highlight=False, soft_wrap=True)


def _show_sample(sample: Any) -> None:
    from pipeline.cli.changes import marked_changes

    title = f"{sample.entry} row {sample.row}, group {sample.group}, {sample.language or 'no language'}"
    pieces = f", cut into {sample.pieces}" if sample.pieces > 1 else ""
    console.print(f"\n[bold]{escape(title)}[/], {size_of(sample.bytes)}{pieces}", highlight=False)
    console.print(marked_changes(sample.before, sample.after, colour=console.is_terminal), soft_wrap=True)


def _show_quarantine(found: Preview) -> None:
    from pipeline.curation.sources.formats.reason import OF_FILES, Reason

    items = [*(item for file in found.files for item in file.refused), *found.left_out]
    advice = {file.entry: file.advice for file in found.files}
    reasons = sum((file.quarantined for file in found.files), Counter[str]())
    reasons.update(item.reason.value for item in found.left_out)
    console.print("\n[bold]would be quarantined[/]" if reasons else "\nnothing would be quarantined")
    for reason, count in reasons.most_common():
        console.print(f"{count:,} {reason}", highlight=False)
        for item in [item for item in items if item.reason == reason][:3]:
            place = item.entry if item.reason in OF_FILES else f"{item.entry} row {item.row}"
            said = item.details or item.excerpt.strip()
            if item.reason is Reason.BAD_BYTES and advice.get(item.entry):
                said += f"; {advice[item.entry]}"
            told = f"{place}: {said}" if said else place
            console.print(f"  [dim]{escape(told)}[/]", soft_wrap=True, highlight=False)
