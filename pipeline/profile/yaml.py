"""Reading YAML 1.2 with the line of every key, so that an error can say where it is.

In: a YAML file, possibly one that `extends` another. Out: plain mappings and a `Locations` that finds the file and
line of any dotted path in them. YAML 1.2, because in 1.1 `no` is false and `1e-3` a string.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.base.bounded_yaml import load_yaml
from pipeline.base.errors import ProfileError
from pipeline.base.files import TEMPORARY
from pipeline.base.suggestions import did_you_mean
from pipeline.store.home import PROFILE_VARIABLE
from pipeline.store.origin import BUILT_IN as ORIGIN_BUILT_IN

DEFAULT_PROFILE: Final = "sample"
BUILT_IN: Final = Path(__file__).parents[1] / "profiles"
EXTENDS: Final = "extends"
LONGEST_NAME: Final = 100


@dataclass
class Locations:
    """Where each path of a profile was written: (key, key, ...) -> (file, line from 1)."""

    lines: dict[tuple[str, ...], tuple[Path, int]] = field(default_factory=dict)

    def of(self, path: Sequence[str | int]) -> str:
        """`file.yaml, line 12` of the deepest part of `path` that is in a file; empty when none is."""
        keys = tuple(str(part) for part in path)
        while keys:
            if keys in self.lines:
                file, line = self.lines[keys]
                return f"{file.name}, line {line}"
            keys = keys[:-1]
        return ""

    def is_in(self, path: tuple[str, ...], file: Path) -> bool:
        """Whether a key was written in that file, and not in one that it extends."""
        return path in self.lines and self.lines[path][0] == file


def find_profile(name_or_path: str | None = None) -> Path:
    """The file of a built-in profile, or the given path; without either the one SQUEEZE_PROFILE gives, or `sample`.

    Raises ProfileError naming what there is.
    """
    name_or_path = name_or_path or os.environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE
    path = Path(name_or_path).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise ProfileError(
            f"the profile {path.absolute()} does not exist; SQUEEZE_PROFILE is a path or a built-in name"
        )
    file = BUILT_IN / f"{name_or_path}.yaml"
    if file.is_file():
        return file
    known = sorted(item.stem for item in BUILT_IN.glob("*.yaml"))
    raise ProfileError(
        f"there is no profile named {name_or_path!r}{did_you_mean(name_or_path, known)}; built in: {', '.join(known)}; "
        "your own goes by its path, ending in .yaml (SQUEEZE_PROFILE=my.yaml)"
    )


def profile_name(name_or_path: str | None = None) -> str:
    """The name that a profile's pointers in the store carry. Raises ProfileError when there is no such profile.

    It is here, not beside the settings, because commands that only look into the store need none of those classes.
    """
    file = find_profile(name_or_path)
    data, _ = read_profile_file(file)
    name = str(data.get("name", file.stem))
    if wrong := mistake_in_name(name):
        raise ProfileError(f"{file}: name: {name[:80]!r}: {wrong}")
    return name


def origin_of(file: Path) -> str:
    """What tells a profile from another of its name, in the store: its file, or that it is built in."""
    return ORIGIN_BUILT_IN if file.parent == BUILT_IN else str(file.resolve())


def mistake_in_name(name: str) -> str:
    """Why a profile cannot be called so, empty where it can: the name ends the names of its pointers' files."""
    if not name or name != name.strip() or len(name.encode()) > LONGEST_NAME:
        return f"must have 1 to {LONGEST_NAME} bytes, without blanks around them"
    if not name.isprintable() or any(sign in name for sign in "/\\"):
        return "must have no slash and no control character: it is no path"
    if name.startswith(".") or name.endswith(TEMPORARY):
        return f"must not begin with a full stop, nor end in {TEMPORARY}"
    return ""


def read_profile_file(path: Path) -> tuple[dict[str, Any], Locations]:
    """Read a profile with all it extends: mappings key by key, anything else replaced, null where a mapping goes."""
    return _read(path, seen=())


def _read(path: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], Locations]:
    if path.resolve() in seen:
        raise ProfileError(f"{path}: the profiles extend each other in a circle")
    data = _parse(path)
    locations = Locations()
    plain = _plain(data, (), path, locations)
    if path.parent != BUILT_IN:
        _place_files(plain, path.absolute().parent)
    if seen:
        plain.pop("name", None)  # what extends a profile is another one, with its own artifacts
    parent = plain.pop(EXTENDS, None)
    if parent is None:
        return plain, locations
    if not isinstance(parent, str):
        raise ProfileError(
            f"{locations.of([EXTENDS])}: extends: expected the name or path of a profile, found {parent!r}"
        )
    beside = path.parent / parent
    base = beside if beside.suffix in (".yaml", ".yml") and beside.is_file() else find_profile(parent)
    inherited, inherited_locations = _read(base, (*seen, path.resolve()))
    return merge(inherited, plain), Locations(inherited_locations.lines | locations.lines)


def beside_its_file(data: dict[str, Any], locations: Locations, section: str, key: str) -> dict[str, Any]:
    """`data` with a section's relative path taken from the folder of the file that says it."""
    file, _ = locations.lines.get((section, key), (None, 0))
    if file is None or not isinstance(data.get(section), Mapping) or not isinstance(data[section].get(key), str):
        return data
    path = file.parent.absolute() / Path(data[section][key]).expanduser()
    return data | {section: {**data[section], key: str(path)}}


def _place_files(plain: Mapping[str, Any], folder: Path) -> None:
    """Have each source look for its relative `files`, and each suite for its `include_path` or `bundle`, in the
    profile's folder.
    What a built-in profile names lies where the command runs, as it has no texts beside it."""
    corpora = plain.get("corpora")
    for corpus in corpora.values() if isinstance(corpora, Mapping) else ():
        _place_sources(corpus, folder)
    evaluation = plain.get("evaluation")
    suites = evaluation.get("suites") if isinstance(evaluation, Mapping) else None
    for suite in suites.values() if isinstance(suites, Mapping) else ():
        for name in ("include_path", "bundle"):
            if isinstance(suite, dict) and isinstance(place := suite.get(name), str):
                suite[name] = str(folder / Path(place).expanduser())
        domains = suite.get("domains") if isinstance(suite, Mapping) else None
        for domain in domains.values() if isinstance(domains, Mapping) else ():
            _place_sources(domain, folder)


def _place_sources(holder: Any, folder: Path) -> None:
    """Have the sources of a corpus or a domain look for their relative `files` in a folder."""
    sources = holder.get("sources") if isinstance(holder, Mapping) else None
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and "files" in source:
            source["folder"] = str(folder / str(source.get("folder", "")))


def _parse(path: Path) -> Mapping[str, Any]:
    from ruamel.yaml.error import YAMLError

    try:
        data = load_yaml(path.read_text(encoding="utf-8"), "rt")
    except YAMLError as error:
        raise ProfileError(f"{path.name}, {_yaml_mistake(error)} ({path})") from None
    except (OSError, ValueError) as error:
        raise ProfileError(f"{path}: cannot be read: {error}") from error
    if not isinstance(data, Mapping):
        found = "nothing" if data is None else "a list" if isinstance(data, list) else f"the value {data!r}"
        raise ProfileError(f"{path}: a profile is a mapping of sections, such as `extends: sample`; found {found}")
    return data


def _yaml_mistake(error: Any) -> str:
    """`line 3: what is wrong`, without the library's excerpt."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error).strip().partition("\n")[0]
    tab = "; indent with spaces, not with tabs" if "\\t" in problem else ""
    twice = "; join both into one" if "duplicate key" in problem else ""
    return f"line {mark.line + 1}: not valid YAML: {problem}{tab}{twice}" if mark else f"not valid YAML: {problem}"


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on it: mappings key by key, everything else replaced; null takes a mapping away."""
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        if isinstance(before, Mapping) and value is None:
            del result[key]
        else:
            result[key] = merge(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return result


def _plain(value: Any, path: tuple[str, ...], file: Path, locations: Locations) -> Any:
    """Strip ruamel's types, noting the line of every key and list item on the way."""
    if isinstance(value, Mapping):
        places = value.lc.data or {}  # type: ignore[attr-defined]
        for key in value:
            # a key that `<<:` merged in has no place of its own: that of the mapping it is merged into
            line = places[key][0] if key in places else value.lc.line  # type: ignore[attr-defined]
            locations.lines[(*path, str(key))] = (file, line + 1)
        return {str(key): _plain(item, (*path, str(key)), file, locations) for key, item in value.items()}
    if isinstance(value, list):
        for position in range(len(value)):
            locations.lines[(*path, str(position))] = (file, value.lc.item(position)[0] + 1)  # type: ignore[attr-defined]
        return [_plain(item, (*path, str(position)), file, locations) for position, item in enumerate(value)]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
