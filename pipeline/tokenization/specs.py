"""Tokenizer specifications: one YAML file in `tokenizers/` describes one tokenizer, loaded or trained.

In: the folder and names. Out: a typed, validated specification a name. A file's name without `.yaml` is the
tokenizer's name. A specification's identity (everything but runtime fields) enters the fingerprint of what is built
from it, so an edited file rebuilds that tokenizer alone. `tokenizers/README.md` describes every key for its reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import ValidationError

from pipeline.base.errors import TokenizerError
from pipeline.base.suggestions import did_you_mean
from pipeline.tokenization.training.bpe import BpeSpec
from pipeline.tokenization.training.rank_file import TiktokenSpec
from pipeline.tokenization.training.sentence_piece import SentencepieceSpec, SentencepieceTrainedSpec
from pipeline.tokenization.training.specification import Specification
from pipeline.tokenization.training.tokenizer_json import TokenizerJsonSpec
from trainer.mistakes import explain

SPECIFICATIONS: Final[dict[str, type[Specification]]] = {
    kind: specification
    for specification in (TiktokenSpec, TokenizerJsonSpec, SentencepieceSpec, BpeSpec, SentencepieceTrainedSpec)
    for kind in get_args(specification.model_fields["kind"].annotation)
}
"""Every kind of tokenizer by what `kind` says in its YAML file."""


def specs_folder(folder: str | Path) -> Path:
    """The folder of specifications: as given, else relative to the working directory or to the project.

    Raises TokenizerError naming the places looked at.
    """
    project = Path(__file__).resolve().parents[2]
    places = [Path(folder)] if Path(folder).is_absolute() else [Path.cwd() / folder, project / folder]
    for place in places:
        if place.is_dir():
            return place
    raise TokenizerError(
        f"tokenizers.folder is {str(folder)!r}, and there is no folder at {' or '.join(map(str, places))}; "
        "run in the project's folder or give an absolute path"
    )


def load_specs(folder: Path, names: Iterable[str]) -> dict[str, Specification]:
    """The named specifications, in the order of `names`."""
    return {name: load_spec(folder, name) for name in names}


def load_spec(folder: Path, name: str) -> Specification:
    """Read and validate `<folder>/<name>.yaml`.

    Raises TokenizerError naming the file, the key, what was found and what is allowed.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.yaml"))
        raise TokenizerError(
            f"there is no tokenizer {name!r}: {path} does not exist{did_you_mean(name, known)}; the folder has "
            f"{', '.join(known) or 'none'}"
        )
    try:
        data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} is not readable YAML: {error}") from error
    return parse_spec(data, where=str(path))


def parse_spec(data: Any, *, where: str) -> Specification:
    """Validate a specification read from elsewhere; `where` names it in errors.

    Raises TokenizerError for an unknown kind or key or a value that is not allowed.
    """
    if not isinstance(data, dict):
        raise TokenizerError(f"{where}: a specification is a mapping with a `kind`, found {type(data).__name__}")
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in SPECIFICATIONS:
        given = "no kind" if kind is None else f"kind {kind!r}"
        raise TokenizerError(f"{where}: {given}; use one of {', '.join(SPECIFICATIONS)}")
    try:
        return SPECIFICATIONS[kind].model_validate(data)
    except ValidationError as error:
        mistakes = explain(error, SPECIFICATIONS[kind], data)
        raise TokenizerError("\n  ".join(mistake.told(f"{where}:") for mistake in mistakes)) from error
