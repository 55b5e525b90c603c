"""The exported model outside of the store: copied to a folder, pushed to the Hugging Face hub, or in one small file.

In: a `model_hf` artifact, or the model itself where it becomes one file. Out: its files without the store's own
(manifest, lineage), which transformers and lm-eval read as they are, with the model card as it is by now: the
artifact is older than the model's scores. On the hub one commit, whose message names the artifact's fingerprint.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from pipeline.base.errors import SqueezeError
from pipeline.base.numbers import size
from pipeline.store import Artifact, Store
from pipeline.store.backend import MANIFEST
from pipeline.store.store import LINEAGE
from trainer.data.shards import MANIFEST_NAME

CARD: Final = "README.md"
_OWN_FILES: Final = (MANIFEST, LINEAGE)


def copy_model(artifact: Artifact, out: Path, card: str) -> Path:
    """Copy the files to the folder `out`, with this card. Raises SqueezeError where something is there already."""
    if out.exists():
        raise SqueezeError(f"--out {out}: exists already; name a folder that does not")
    shutil.copytree(artifact.path, out, ignore=shutil.ignore_patterns(*_OWN_FILES))
    (out / CARD).write_text(card, encoding="utf-8")
    return out


def write_in_bits(store: Store, out: Path, bits: int, group: int | None, method: str) -> str:
    """Write the latest model and its tokenizer as one file; returns a line about it.

    Weights are rounded by the text of the first epoch that the model was trained on. Raises ExportError for settings
    that do not fit, SqueezeError where `out` is there, StoreError where that text is no longer in the store.
    """
    from pipeline.evaluation.loading import load_scorer
    from pipeline.evaluation.one_file import calibration_text, write_one_file
    from trainer.quantize import QuantizeSettings

    settings = QuantizeSettings.of(bits, group, method)
    if out.exists():
        raise SqueezeError(f"--out {out}: exists already; name a file that does not")
    model = store.current("model")
    scorer = load_scorer(model.path, store.input_of(model, "tokenizer").path)
    text = None
    if settings.calibrated:
        epoch = min((key for key in model.manifest.inputs if key.startswith("shards/epoch_")), default=None)
        if epoch is None:
            raise SqueezeError("this model was not trained on shards of the store: round it with --method nearest")
        text = calibration_text([store.input_of(model, epoch).path / MANIFEST_NAME], scorer.context)
    written = write_one_file(scorer, settings, text, out)
    whole = 4 * sum(parameter.numel() for parameter in scorer.model.parameters())
    return f"{out}: {size(written)} with the tokenizer, 1/{whole / written:.1f} of the weights in float32"


def write_gguf(store: Store, out: Path, bits: int) -> str:
    """Write the latest model and its tokenizer as one GGUF file; returns a line about it.

    Raises ExportError where llama.cpp has nothing for the model or its tokenizer, SqueezeError where `out` is there.
    """
    from pipeline.evaluation.loading import load_scorer
    from trainer.export.gguf_file import export_gguf

    if out.exists():
        raise SqueezeError(f"--out {out}: exists already; name a file that does not")
    model = store.current("model")
    tokenizer = store.input_of(model, "tokenizer").path
    written = export_gguf(load_scorer(model.path, tokenizer).model, tokenizer, out, bits)
    tensors = ", ".join(f"{count} tensors in {kind}" for kind, count in sorted(written.tensors.items()))
    return f"{out}: {written.architecture}, {size(written.bytes)}, {tensors}"


def push_model(
    artifact: Artifact,
    repository: str,
    card: str,
    *,
    private: bool = False,
    endpoint: str | None = None,
    token: str | None = None,
) -> str:
    """Upload the model's files with this card as one commit and return its page's address.

    The repository is made if it is not there. `endpoint` and `token` are those of huggingface_hub (HF_ENDPOINT,
    HF_TOKEN, `hf auth login`) unless given. Raises SqueezeError, saying what to do, where the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi(endpoint=endpoint, token=token)
    where = f"--push-to-hub {repository}"
    files = sorted(set(artifact.manifest.files) - {*_OWN_FILES, CARD})
    uploads = [CommitOperationAdd(CARD, card.encode("utf-8"))]
    uploads += [CommitOperationAdd(name, artifact.path / name) for name in files]
    try:
        page = api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(
            page.repo_id, uploads, commit_message=f"Upload {artifact.key} {artifact.fingerprint[:8]}"
        )
    except HFValidationError as error:
        raise SqueezeError(f"{where}: not a repository's name; expected ORG/NAME ({error})") from error
    except LocalTokenNotFoundError as error:
        raise SqueezeError(f"{where}: not logged in; run `hf auth login`, or set HF_TOKEN") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise SqueezeError(
                f"{where}: the hub refused ({status}): log in with `hf auth login`, or set HF_TOKEN to a token that "
                f"may write to {repository.partition('/')[0]}"
            ) from error
        raise SqueezeError(f"{where}: the hub answered {status}: {error}") from error
    except Exception as error:
        if not _is_network(error):
            raise
        raise SqueezeError(f"{where}: the hub cannot be reached ({error}); run the same command again") from error
    return str(commit.commit_url)


def _is_network(error: Exception) -> bool:
    """Whether the connection failed, whichever HTTP client this version of huggingface_hub uses."""
    client = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or client in ("httpx", "httpx2", "httpcore", "httpcore2", "requests")
