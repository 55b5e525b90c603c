"""Text from a model, token by token, with a KV cache, temperature, top-p and top-k.

In: a model and prompt ids. Out: an iterator of new ids, so that a caller can print them as they come. The same seed
gives the same ids on the same device. Past the model's context the oldest half of the tokens is let go and the cache
is filled anew, so that a text may be longer than the context.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainer.errors import ConfigError
from trainer.model.frame import KVCache
from trainer.model.gpt import GPT
from trainer.sampling import Sampling


def generate(
    model: GPT,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    eot_id: int | None = None,
) -> Iterator[int]:
    """Yield up to `max_new_tokens` ids that follow the prompt; ends early before `eot_id`, which is not yielded.

    An empty prompt starts a document: it is `eot_id`. The settings are those of `Sampling`. Raises `ConfigError` for
    settings out of range, ids outside the vocabulary, and an empty prompt without an `eot_id`.
    """
    sampling = Sampling(max_new_tokens, temperature, top_p, top_k, seed).checked()
    return _generate(model, _check(model, list(prompt_ids), eot_id), sampling, eot_id)


def _check(model: GPT, tokens: list[int], eot_id: int | None) -> list[int]:
    if not tokens:
        if eot_id is None:
            raise ConfigError("the prompt is empty and no eot_id is given; a document starts with end-of-text")
        tokens = [eot_id]
    wrong = [token for token in tokens if not 0 <= token < model.config.vocab_size]
    if wrong:
        raise ConfigError(f"prompt id {wrong[0]} is outside the model's vocabulary of {model.config.vocab_size}")
    return tokens


@torch.inference_mode()
def _generate(model: GPT, tokens: list[int], sampling: Sampling, eot_id: int | None) -> Iterator[int]:
    weight = model.embed.weight
    context = model.config.context
    generator = torch.Generator(weight.device).manual_seed(sampling.seed)
    was_training = model.training
    model.eval()
    try:
        cache = _new_cache(model, context)
        window = tokens[-context:]
        for _ in range(sampling.max_new_tokens):
            if cache.length + len(window) > context:
                window = tokens[-max(context // 2, 1) :]
                cache.length = 0
            hidden_BTC = model.hidden(torch.tensor([window], device=weight.device), cache=cache)
            token = sample(model.logits(hidden_BTC[0, -1]), sampling, generator)
            if token == eot_id:
                return
            yield token
            tokens.append(token)
            window = [token]
    finally:
        model.train(was_training)


def _new_cache(model: GPT, capacity: int) -> KVCache:
    weight = model.embed.weight
    kind = weight.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
    return KVCache(model.config, 1, capacity, weight.device, dtype)


def sample(logits_V: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Draw one id from the logits (V,). Raises `ConfigError` where they are not numbers."""
    if sampling.temperature == 0:
        return int(logits_V.argmax())
    scaled_V = logits_V.float() / sampling.temperature
    if not scaled_V.isfinite().all():  # a very small temperature: what is below the greatest score vanishes
        if not logits_V.isfinite().all():
            raise ConfigError("the model's scores are not numbers: its training diverged, so it can write nothing")
        scaled_V = (logits_V - logits_V.max()).double() / sampling.temperature
    probs_V, ids_V = scaled_V.softmax(-1).sort(descending=True, stable=True)
    left_out_V = probs_V.cumsum(-1) - probs_V >= sampling.top_p  # the token that crosses top_p stays in
    if sampling.top_k:
        left_out_V[sampling.top_k :] = True
    left_out_V[0] = False
    probs_V = probs_V.masked_fill(left_out_V, 0.0)
    return int(ids_V[torch.multinomial(probs_V, 1, generator=generator)])
