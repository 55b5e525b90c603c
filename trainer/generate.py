"""Text from a model, token by token, with a KV cache, temperature and top-p.

In: a model and prompt ids. Out: an iterator of new ids, so that a caller can print them as they come. The same seed
gives the same ids on the same device. Past the model's context the oldest half of the tokens is let go and the cache
is filled anew, so that a text may be longer than the context.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from trainer.errors import ConfigError
from trainer.model.attention import KVCache
from trainer.model.gpt import GPT


def generate(
    model: GPT,
    prompt_ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    eot_id: int | None = None,
) -> Iterator[int]:
    """Yield up to `max_new_tokens` ids that follow the prompt; ends early before `eot_id`, which is not yielded.

    An empty prompt starts a document: it is `eot_id`. `temperature` 0 takes the likeliest token; `top_p` draws from
    the likeliest tokens that together have that probability (Holtzman et al. 2020). Raises `ConfigError` for
    settings out of range, ids outside the vocabulary, and an empty prompt without an `eot_id`.
    """
    tokens = _check(model, list(prompt_ids), max_new_tokens, temperature, top_p, eot_id)
    return _generate(model, tokens, max_new_tokens, temperature, top_p, seed, eot_id)


def _check(
    model: GPT, tokens: list[int], max_new_tokens: int, temperature: float, top_p: float, eot_id: int | None
) -> list[int]:
    if max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens must be above 0, found {max_new_tokens}")
    if not temperature >= 0:
        raise ConfigError(f"temperature must not be below 0, found {temperature}")
    if not 0 < top_p <= 1:
        raise ConfigError(f"top_p must be above 0 and at most 1, found {top_p}")
    if not tokens:
        if eot_id is None:
            raise ConfigError("the prompt is empty and no eot_id is given; a document starts with end-of-text")
        tokens = [eot_id]
    wrong = [token for token in tokens if not 0 <= token < model.config.vocab_size]
    if wrong:
        raise ConfigError(f"prompt id {wrong[0]} is outside the model's vocabulary of {model.config.vocab_size}")
    return tokens


@torch.inference_mode()
def _generate(
    model: GPT,
    tokens: list[int],
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    eot_id: int | None,
) -> Iterator[int]:
    weight = model.embed.weight
    context = model.config.context
    generator = torch.Generator(weight.device).manual_seed(seed)
    was_training = model.training
    model.eval()
    try:
        cache = _new_cache(model, context)
        window = tokens[-context:]
        for _ in range(max_new_tokens):
            if cache.length + len(window) > context:
                window = tokens[-max(context // 2, 1) :]
                cache.length = 0
            hidden_BTC = model.hidden(torch.tensor([window], device=weight.device), cache=cache)
            token = sample(model.logits(hidden_BTC[0, -1]), temperature, top_p, generator)
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


def sample(logits_V: Tensor, temperature: float, top_p: float, generator: torch.Generator) -> int:
    """Draw one id from the logits (V,)."""
    if temperature == 0:
        return int(logits_V.argmax())
    probs_V, ids_V = (logits_V.float() / temperature).softmax(-1).sort(descending=True, stable=True)
    before_V = probs_V.cumsum(-1) - probs_V
    probs_V = probs_V.masked_fill(before_V >= top_p, 0.0)  # the token that crosses top_p stays in
    return int(ids_V[torch.multinomial(probs_V, 1, generator=generator)])
