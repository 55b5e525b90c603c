"""Tokenizer specifications: one YAML file in `tokenizers/` describes one tokenizer, loaded or trained.

In: folders and names. Out: a typed, validated specification a name. A file's name without `.yaml` is the tokenizer's
name. The folder `tokenizers/` travels in a wheel as data of the package, so that names mean the same in every working
directory; a folder of one's own is a setting (`tokenizers.folder`) and comes first. A specification's identity
(everything but runtime fields) enters the fingerprint of what is built from it, so an edited file rebuilds that
tokenizer alone. `tokenizers/README.md` describes every key for its reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import ValidationError

import pipeline
from pipeline.base.bounded_yaml import load_yaml
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


def specs_folders(own: str | None) -> tuple[Path, ...]:
    """Where specifications are looked for: a folder of the user's own before the one that comes with the package.

    Raises TokenizerError where there is no folder at `own`.
    """
    if own is None:
        return (_shipped_folder(),)
    folder = Path(own).expanduser()
    if not folder.is_dir():
        raise TokenizerError(
            f"tokenizers.folder is {own!r}, and there is no folder at {folder.absolute()}; a relative path is taken "
            "from the folder of the profile's file, and without the setting the specifications are Squeeze's own"
        )
    return (folder, _shipped_folder())


def _shipped_folder() -> Path:
    """In an installed package its data; in a clone, also where it is installed as editable, the folder at its top.

    The clone's folder is never looked for beside an installed package, where Hugging Face's `tokenizers` lies.
    """
    package = Path(pipeline.__file__).resolve().parent
    shipped = package / "tokenizers"
    return shipped if shipped.is_dir() else package.parent / "tokenizers"


def load_specs(folders: Sequence[Path], names: Iterable[str]) -> dict[str, Specification]:
    """The named specifications, in the order of `names`."""
    return {name: load_spec(folder_with(folders, name), name) for name in names}


def folder_with(folders: Sequence[Path], name: str) -> Path:
    """The first of the folders that has a specification of that name. Raises TokenizerError where none has."""
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder
    known = sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})
    looked = " and ".join(map(str, folders))
    own = "" if len(folders) > 1 else "; one of your own lies in a folder that the profile names (tokenizers.folder)"
    raise TokenizerError(
        f"there is no tokenizer {name!r}: {looked} {'has' if len(folders) == 1 else 'have'} no {name}.yaml"
        f"{did_you_mean(name, known)}; there are {', '.join(known) or 'none'}{own}"
    )


def load_spec(folder: Path, name: str) -> Specification:
    """Read and validate `<folder>/<name>.yaml`.

    Raises TokenizerError naming the file, the key, what was found and what is allowed.
    """
    from ruamel.yaml.error import YAMLError

    path = folder_with([folder], name) / f"{name}.yaml"
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError, ValueError) as error:
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
