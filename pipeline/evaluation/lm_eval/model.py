"""The trainer's models as a model of lm-eval: log-likelihoods, rolling log-likelihoods and generation.

Everything that decides a score is lm-eval's own: how context and continuation are split (`TemplateLM._encode_pair`),
end-of-text as the prefix of an empty context, truncation on the left to the last `context + 1` tokens, the rolling
windows. This class adds only how the work is done (`pipeline.evaluation.lm_eval.packing`): a prompt's continuations
share one pass over the prompt, and rows are batched by length.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from lm_eval import utils
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from pipeline.base.errors import EvaluationError
from pipeline.base.progress import Progress
from pipeline.evaluation.lm_eval.packing import Request, in_windows, pack, score_rows
from pipeline.evaluation.loading import Scorer
from trainer.scoring.documents import evaluating

log = logging.getLogger(__name__)

DEFAULT_NEW_TOKENS: Final = 256


class SqueezeLM(TemplateLM):
    """lm-eval's interface over a model and its tokenizer.

    Args:
        scorer: the model (float32 weights) and its tokenizer.
        batch_tokens: tokens of one forward pass, padding included.
        bf16: compute under bf16 autocast.
        add_bos_token: begin every prompt with end-of-text, as an argument of this name does with lm-eval's `hf`.
    """

    def __init__(
        self, scorer: Scorer, *, batch_tokens: int = 8192, bf16: bool = False, add_bos_token: bool = False
    ) -> None:
        super().__init__()
        self.scorer = scorer
        self.batch_tokens = batch_tokens
        self.bf16 = bf16
        self.add_bos_token = add_bos_token
        self.cut: Counter[str] = Counter()
        """By task, choices whose prompt was cut on the left to fit."""
        self.windowed: Counter[str] = Counter()
        """By task, choices longer than the model sees, scored in windows."""
        self._asked_by: list[str | None] = []

    @property
    def eot_token_id(self) -> int:
        return self.scorer.eot_id

    @property
    def max_length(self) -> int:
        """Tokens the model sees at most."""
        return self.scorer.context

    @property
    def tokenizer_name(self) -> str:
        """Names lm-eval's cache of requests."""
        return str(self.scorer.tokenizer.content_hash)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Ids of the text, end-of-text before them where `add_bos_token` or lm-eval asks for it; its literal text is
        ordinary text."""
        opened = self.add_bos_token if add_special_tokens is None else add_special_tokens
        return [*([self.eot_token_id] if opened else []), *self.scorer.tokenizer.encode(string)]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = True) -> list[tuple[float, bool]]:
        """As lm-eval's. Raises EvaluationError on an empty continuation, before anything is scored."""
        for request in requests:
            if not request.args[1]:
                raise EvaluationError(
                    f"item {request.doc_id} of the task {request.task_name} has an empty continuation, whose "
                    "log-likelihood means nothing: its doc_to_target or doc_to_choice gives an empty text"
                )
        self._asked_by = [request.task_name for request in requests]
        asked = Counter(self._asked_by)
        answers = super().loglikelihood(requests, disable_tqdm=True)
        self._warn(asked)
        return answers

    def loglikelihoods_of(self, requests: Sequence[Request], tasks: Sequence[str]) -> list[tuple[float, bool]]:
        """Log-likelihood in nats of each continuation of token ids, and whether greedy decoding would give it.

        tasks: what each request is of, for counts of what does not fit.
        """
        self._asked_by = list(tasks)
        answers = self._loglikelihood_tokens(requests)
        self._warn(Counter(tasks))
        return answers

    def _warn(self, asked: Counter[str | None]) -> None:
        for task in asked:
            if task is not None and (cut := self.cut[task]):
                log.warning(
                    "%s: the prompts of %s of %s choices were cut on the left to the %s tokens the model sees",
                    *(task, f"{cut:,}", f"{asked[task]:,}", f"{self.max_length:,}"),
                )
            if task is not None and (long := self.windowed[task]):
                log.warning(
                    "%s: %s of %s choices are longer than the %s tokens the model sees and were scored in windows",
                    *(task, f"{long:,}", f"{asked[task]:,}", f"{self.max_length:,}"),
                )

    def _count(self, requests: Sequence[Request]) -> None:
        """Count what does not fit, task by task; `loglikelihood` left the tasks' names."""
        names, self._asked_by = self._asked_by, []
        for name, (_, prompt, continuation) in zip(names, requests, strict=False):
            if name is None:
                continue
            if len(continuation) > self.max_length:
                self.windowed[name] += 1
            elif len(prompt) + len(continuation) > self.max_length + 1:
                self.cut[name] += 1

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihood of whole texts, in windows of the context as lm-eval cuts them, after one end-of-text: `hf`
        puts its own before the tokenizer's where `add_bos_token` is not false."""
        windows: list[Request] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            for pair in utils.get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0], add_special_tokens=False),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            ):
                context, continuation = utils.make_disjoint_window(pair)
                windows.append((None, context, continuation))
                owners.append(number)
        totals = [0.0] * len(requests)
        for owner, (value, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[owner] += value
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = True) -> list[str]:
        """Continuations up to the first stop text, end-of-text or `max_gen_toks`; greedy unless the task samples."""
        answers = []
        for request in requests:
            text, options = request.args
            answer = self._generate(text, dict(options))
            self.cache_hook.add_partial("generate_until", request.args, answer)
            answers.append(answer)
        return answers

    def _generate(self, text: str, options: dict[str, Any]) -> str:
        from trainer.generate import generate

        new_tokens = int(options.get("max_gen_toks", min(DEFAULT_NEW_TOKENS, self.max_length // 2)))
        if not 0 < new_tokens < self.max_length:
            raise EvaluationError(
                f"the task asks for {new_tokens} new tokens, but the model sees {self.max_length}: set max_gen_toks "
                "in the task's generation_kwargs"
            )
        until = options.get("until") or []
        stops = [stop for stop in ([until] if isinstance(until, str) else list(until)) if stop]
        prompt = (self.tok_encode(text) or [self.prefix_token_id])[-(self.max_length - new_tokens) :]
        temperature = float(options.get("temperature", 0.0)) if options.get("do_sample", True) else 0.0
        ids: list[int] = []
        answer = ""
        for token in generate(
            self.scorer.model,
            prompt,
            max_new_tokens=new_tokens,
            temperature=temperature,
            top_p=float(options.get("top_p", 1.0)),
            seed=int(options.get("seed", 0)),
            eot_id=self.eot_token_id,
        ):
            ids.append(token)
            answer = self.scorer.tokenizer.decode(ids)
            if any(stop in answer for stop in stops):
                break
        for stop in stops:
            answer = answer.split(stop)[0]
        return answer

    def _loglikelihood_tokens(
        self, requests: Sequence[Request], disable_tqdm: bool = True, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Log-likelihood in nats of each continuation, and whether greedy decoding would give it."""
        self._count(requests)
        pieces: list[Request] = []
        owners: list[int] = []
        for number, request in enumerate(requests):
            windows = in_windows(request, self.max_length)
            pieces += windows
            owners += [number] * len(windows)
        answers: list[tuple[float, bool]] = [(0.0, True)] * len(requests)
        for owner, (value, greedy) in zip(owners, self._score(pieces), strict=True):
            answers[owner] = (answers[owner][0] + value, answers[owner][1] and greedy)
        for (texts, _, _), answer in zip(requests, answers, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def _score(self, pieces: Sequence[Request]) -> list[tuple[float, bool]]:
        import torch

        rows = pack(pieces, self.max_length)
        answers: list[tuple[float, bool]] = [(0.0, False)] * len(pieces)
        progress = Progress(log, "scored", "prompts", total=len(rows), unit="ktok")
        with evaluating(self.scorer.model) as device, torch.inference_mode():
            done = 0
            while done < len(rows):
                batch = rows[done : done + max(1, self.batch_tokens // rows[done].length)]
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=self.bf16):
                    score_rows(self.scorer.model, batch, device, answers)
                done += len(batch)
                progress.add(len(batch), sum(row.length for row in batch))
        return answers
