"""The model class under the name `squeeze` in lm-eval's registry, built from folders.

    lm_eval --model squeeze --model_args path=.squeeze/model/<fingerprint>,tokenizer=… --tasks hellaswag

lm-eval has no entry points for models; `register` puts a lazy name into its registry, and the start-up help in
`packaging/` calls it when Python starts as `lm_eval`. `python -m pipeline.evaluation.lm_eval.registration …` is the
same command without that help.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from pipeline.base.errors import EvaluationError, SqueezeError, StoreError
from pipeline.evaluation.lm_eval.model import SqueezeLM
from pipeline.evaluation.loading import AVERAGED, Scorer, load_scorer, usable_device
from pipeline.store.backend import MANIFEST
from pipeline.store.local import LocalBackend
from pipeline.store.manifest import Manifest
from pipeline.tokenization import is_tokenizer

NAME: Final = "squeeze"


class SqueezeModel(SqueezeLM):
    """`SqueezeLM` from lm-eval's `--model_args`.

    Args:
        path: the folder of a finished `model` artifact.
        tokenizer: its tokenizer's folder; none: found beside the model, or through the store's manifests.
        weights: `averaged`, `model`, `ema` or `lowest_loss`.
        max_length: tokens the model may see; none: what it was trained at. More than that is refused.
        dtype: `float32`, or `bf16` for autocast.
        add_bos_token: begin every prompt with end-of-text; not in the suites' scores.
        batch_size: sequences of the full length in one pass; lm-eval's own argument.
        device: as torch names it. lm-eval's command line says `cuda:0` where nobody says anything, so a device this
            machine does not have falls back to the processor, as with lm-eval's own backends.

    Raises:
        EvaluationError: a folder without model or tokenizer, or a `max_length` over the trained context.
    """

    def __init__(
        self,
        path: str,
        tokenizer: str | None = None,
        weights: str = AVERAGED,
        max_length: int | None = None,
        dtype: str = "float32",
        add_bos_token: bool = False,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        if dtype not in ("float32", "bf16", "bfloat16"):
            raise EvaluationError(f"model_args: dtype must be float32 or bf16, found {dtype!r}")
        model = Path(path)
        folder = Path(tokenizer) if tokenizer else find_tokenizer(model)
        scorer = load_scorer(model, folder, device=usable_device(device), weights=weights)
        if max_length is not None and not 2 <= int(max_length) <= scorer.context:
            raise EvaluationError(
                f"model_args: max_length must be from 2 to the model's {scorer.context:,} tokens, found {max_length}; "
                "a longer context needs a model trained or stretched to it (length_extrapolation)"
            )
        scorer = Scorer(scorer.model, scorer.tokenizer, int(max_length or scorer.context))
        rows = int(batch_size or 0) if str(batch_size or 0).isdigit() else 0
        tokens = {"batch_tokens": rows * scorer.context} if rows else {}
        super().__init__(scorer, bf16=dtype != "float32", add_bos_token=bool(add_bos_token), **tokens)

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval writes into its results about the model."""
        counts = self.scorer.model.parameter_counts()
        return {"model_num_parameters": counts["total"], "tokenizer_hash": self.tokenizer_name}


def find_tokenizer(model: Path) -> Path:
    """The tokenizer of a model's folder: in its `tokenizer/`, or where the store's manifests lead.

    Raises:
        EvaluationError: there is none to be found.
    """
    inside = model / "tokenizer"
    if inside.is_dir():
        return inside
    found = _through_manifests(model)
    if found is None:
        raise EvaluationError(
            f"no tokenizer is known for the model {model}: it has no folder `tokenizer`, and no manifest.json leads to "
            "one; give its folder, `--model_args path=…,tokenizer=…`"
        )
    return found


def _through_manifests(model: Path) -> Path | None:
    """Follow `inputs` from artifact to artifact, nearest first, to one that holds a tokenizer."""
    waiting, seen = [model.resolve()], set()
    while waiting:
        folder = waiting.pop(0)
        seen.add(folder)
        if is_tokenizer(folder):
            return folder
        try:
            manifest = Manifest.parse((folder / MANIFEST).read_text(encoding="utf-8"), str(folder))
            store = LocalBackend(folder.parents[manifest.key.count("/") + 1])
        except (OSError, UnicodeDecodeError, StoreError, IndexError):  # no artifact, or a copy outside of a store
            continue
        parents = [store.folder(item.key, item.fingerprint) for item in manifest.inputs.values()]
        waiting += [parent for parent in parents if parent not in seen]
    return None


def register() -> None:
    """Make `squeeze` a name in lm-eval's registry; nothing of it is loaded until it is asked for."""
    import lm_eval.models  # noqa: F401 (fills the registry, which must come first)
    from lm_eval.api.registry import model_registry

    if NAME not in model_registry:
        model_registry.register(NAME, target="pipeline.evaluation.lm_eval.registration:SqueezeModel")


def main() -> int:
    """lm-eval's own command line, with `squeeze` among its models."""
    from lm_eval.__main__ import cli_evaluate

    register()
    try:
        cli_evaluate()
    except SqueezeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
