"""Pages of the documentation that are generated: every setting of a profile, and what each built-in profile will take.

    python -m pipeline.cli.reference            # writes docs/settings.md and docs/profiles.md
    python -m pipeline.cli.reference --check    # status 1 when they are not what would be written

In: the settings classes with their docstrings, and the profiles. A setting is documented once, where it is defined.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import tempfile
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic_core import PydanticUndefined

from pipeline.base.field_texts import field_texts
from pipeline.base.numbers import size
from pipeline.base.settings import is_runtime
from pipeline.planning.schedule import plan
from pipeline.planning.training import training_figures
from pipeline.profile.profile import Profile, load_profile
from pipeline.profile.yaml import BUILT_IN
from pipeline.sharding.schedule.forecast import ForecastRow
from pipeline.store import Store
from trainer.mistakes import fields_of

DOCS: Final = Path(__file__).parents[2] / "docs"
ORDER: Final = ("sample", "laptop", "single_gpu", "gpt2_124m", "squeeze_124m", "multilingual", "study")
SHOWN_HARDWARE: Final = ("H100", "A100", "RTX 4090", "RTX 3090")
LONGEST_DEFAULT: Final = 60
NOTE: Final = "<!-- Written by `python -m pipeline.cli.reference`; edit the docstrings instead. -->"


@dataclasses.dataclass(frozen=True)
class Key:
    """One setting."""

    name: str
    kind: str
    default: str
    text: str
    runtime: bool
    inner: tuple[type, ...]
    """Settings classes inside its value."""


def settings_page() -> str:
    """Every key of a profile, section by section."""
    lines = ["# Settings of a profile", "", NOTE, ""]
    lines += textwrap.wrap(
        "A profile is a YAML file with the sections below. A key marked *runtime* changes how a thing is computed, not "
        "what comes out: it never rebuilds anything. Every other key is part of the identity of what it shapes. "
        "`extends: NAME_OR_PATH` at the top starts from another profile: mappings are merged key by key, everything "
        "else is replaced, and `null` takes a section or a corpus of the other profile away. `...` marks a key that "
        "must be given.",
        width=118,
    )
    for path, kind in sections():
        lines += ["", f"## {path or 'The profile'}", "", _first_paragraph(kind), ""]
        lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
        for key in keys_of(kind):
            text = key.text + (" *runtime*" if key.runtime else "")
            cells = (f"`{key.name}`", key.kind, f"`{key.default}`" if key.default else "", text.strip())
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def sections() -> Iterator[tuple[str, type]]:
    """(path, class) of every section, depth first; a class that is used twice is shown once."""
    waiting: list[tuple[str, type]] = [("", Profile)]
    seen: set[type] = set()
    while waiting:
        path, kind = waiting.pop(0)
        if kind in seen:
            continue
        seen.add(kind)
        yield path, kind
        inner = [
            (_joined(path, key, member), member)
            for key in keys_of(kind)
            for member in key.inner
            if not (key.name == "model" and kind is not Profile)
        ]
        waiting = inner + waiting


def keys_of(kind: type) -> list[Key]:
    """The settings of a class, in the order of their definition."""
    texts = field_texts(kind)
    return [
        Key(
            name,
            _type_text(info.annotation),
            _default(info.default, info.default_factory is not None),
            info.description or texts.get(name, ""),
            is_runtime(info),
            tuple(_settings_inside(info.annotation)),
        )
        for name, info in fields_of(kind).items()
    ]


def profiles_page() -> str:
    """Every built-in profile with its plan, from nothing but the profile."""
    lines = ["# Built-in profiles, and what each will take", "", NOTE, ""]
    lines += textwrap.wrap(
        "What `squeeze plan --profile NAME` says before anything is fetched. Sizes are the profiles' own estimates of "
        "their text, at 4 bytes a token; they become exact once the corpora are tokenized. Hours and cost are of "
        "training alone, at 40% of a GPU's peak: an assumption, not a measurement, and generous for a model as small "
        "as `single_gpu`'s. Prices are typical ones of 2025.",
        width=118,
    )
    with tempfile.TemporaryDirectory() as empty:
        for name in sorted((file.stem for file in BUILT_IN.glob("*.yaml")), key=_rank):
            lines += _profile_lines(load_profile(name), Path(empty))
    return "\n".join(lines) + "\n"


def _rank(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _profile_lines(profile: Profile, empty: Path) -> list[str]:
    if any(corpus.estimated_bytes is None for corpus in profile.corpora.values()):
        unknown = "The sizes of its corpora are not stated: `squeeze plan` knows them once they are there."
        return ["", f"## {profile.name}", "", f"{profile.description}.", "", unknown]
    rows, _ = plan(profile, Store(empty, profile.name), {})
    totals = [row for row in rows if row.is_total]
    last = {row.source: row for row in rows if not row.is_total}
    figures = training_figures(profile, rows, devices=_devices(rows), mfu=0.4)
    fetched = sum(profile.corpora[name].estimated_bytes or 0 for name in profile.corpora)
    limit = profile.training.max_minutes
    ended = f" It ends after {limit:g} minutes at the latest." if limit else ""
    lines = ["", f"## {profile.name}", "", f"{profile.description}.", ""]
    lines += textwrap.wrap(
        f"About {size(fetched)} of text is fetched and {size(sum(row.disk_bytes for row in totals))} of "
        f"shards written. {figures.parameters.total:,} parameters, {figures.steps:,} steps of "
        f"{profile.training.batch_tokens:,} tokens, {figures.tokens:,} tokens in {profile.schedule.epochs} "
        f"epoch{'s' if profile.schedule.epochs > 1 else ''}; {figures.flops:.2g} FLOPs.{ended}",
        width=118,
    )
    lines += ["", "| corpus | text | of the last epoch | passes in all |", "|---|---|---|---|"]
    for name, corpus in profile.corpora.items():
        row = last.get(name)
        share = f"{row.tokens / totals[-1].tokens:.0%}" if row else "none"
        passes = f"{row.repeats_so_far:.2f}" if row else "0"
        lines.append(f"| {name}: {corpus.description} | {size(corpus.estimated_bytes or 0)} | {share} | {passes} |")
    if profile.training.device == "cpu" or figures.parameters.total < 1e7:
        return [*lines, "", "It trains on a CPU; a GPU would need seconds."]
    head = f"on {figures.devices} x"
    lines += ["", f"| {head} | hours | cost | sequences at once |", "|---|---|---|---|"]
    for item in figures.hardware:
        if item.name in SHOWN_HARDWARE:
            lines.append(f"| {item.name} | {item.hours:.2f} | ${item.cost:.2f} | {item.micro_batch} |")
    return lines


def _devices(rows: Sequence[ForecastRow]) -> int:
    """GPUs that the page counts on: one, or eight where training takes a billion tokens or more."""
    return 8 if sum(row.tokens for row in rows if row.is_total) >= 10**9 else 1


def _joined(path: str, key: Key, member: type) -> str:
    many = "[]" if key.kind.startswith("list") else ".NAME" if key.kind.startswith("mapping") else ""
    name = f"{path}.{key.name}{many}" if path else f"{key.name}{many}"
    if len(key.inner) > 1:  # a union: say which member
        kind = getattr(member, "model_fields", {}).get("kind")
        return f"{name} (kind: {kind.default})" if kind is not None else f"{name} ({member.__name__})"
    return name


def _type_text(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{item}`" for item in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_text(item) for item in arguments))
    if origin in (list, Sequence):
        return f"list of {_type_text(arguments[0])}"
    if origin is tuple:
        return f"list of {_type_text(arguments[0])}"
    if origin in (dict, Mapping):
        return f"mapping to {_type_text(arguments[1])}"
    if annotation is type(None):
        return "null"
    if fields_of(annotation):
        return "section"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _settings_inside(annotation: Any) -> Iterator[type]:
    """The settings classes in an annotation, looking through unions, lists, mappings and Annotated."""
    if fields_of(annotation):
        yield annotation
    arguments = typing.get_args(annotation)
    for item in arguments[:1] if typing.get_origin(annotation) is typing.Annotated else arguments:
        yield from _settings_inside(item)


def _default(value: Any, made: bool) -> str:
    if made:
        return ""
    if value is PydanticUndefined:
        return "..."
    if fields_of(type(value)):
        return ""
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else ""
    if not text:
        text = f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value) if value != "" else '""'
    return text if len(text) <= LONGEST_DEFAULT else ""


def _first_paragraph(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def main() -> int:
    """Write the pages, or with `--check` compare them; returns the exit status."""
    check = "--check" in sys.argv[1:]
    stale = []
    for name, text in (("settings.md", settings_page()), ("profiles.md", profiles_page())):
        page = DOCS / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                page.write_text(text, encoding="utf-8")
    print(f"{'stale' if check else 'written'}: {', '.join(stale) or 'none'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
