"""Two models side by side: what differs in settings and inputs, their scores with the noise between them, the cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.base.numbers import with_error
from pipeline.evaluation.results import Score
from pipeline.evaluation.scores.noise import Verdict, judge
from pipeline.evaluation.scores.paired import Scored
from pipeline.reporting.facts import Facts

COSTS: Final = ("steps", "tokens", "flops", "seconds", "device_hours", "cost", "tokens_per_second", "peak_memory_bytes")


def differing_settings(a: Facts, b: Facts) -> list[dict[str, Any]]:
    """Settings that are not the same, a row each; a setting one of them does not have is None there."""
    flat_a, flat_b = (_flat(facts.settings) for facts in (a, b))
    return [
        {"setting": key, a.name: flat_a.get(key), b.name: flat_b.get(key)}
        for key in sorted(flat_a.keys() | flat_b.keys())
        if flat_a.get(key) != flat_b.get(key)
    ]


def differing_inputs(a: Facts, b: Facts) -> list[dict[str, Any]]:
    """Artifacts of the two ancestries whose content is not the same, by the start of their content hashes."""
    hashes_a, hashes_b = (_hashes(facts) for facts in (a, b))
    return [
        {"artifact": key, a.name: hashes_a.get(key), b.name: hashes_b.get(key)}
        for key in sorted((hashes_a.keys() | hashes_b.keys()) - {"model"})
        if hashes_a.get(key) != hashes_b.get(key)
    ]


def _hashes(facts: Facts) -> dict[str, str]:
    """By key; an ancestry may hold several artifacts of one, such as the schedules of a reused and of a new epoch."""
    hashes: dict[str, list[str]] = {}
    for item in facts.lineage:
        if item.content_hash[:12] not in hashes.setdefault(item.key, []):
            hashes[item.key].append(item.content_hash[:12])
    return {key: ", ".join(sorted(of_key)) for key, of_key in hashes.items()}


def compared_scores(a: Facts, b: Facts) -> list[dict[str, Any]]:
    """Scores that both have, with a verdict: which is better, or that it is within noise, item by item.

    Scores of other versions, shots or items, and those about other held-out text, are named and not compared.
    """
    rows = []
    for name in a.suites:
        if name not in b.suites:
            continue
        of_a, of_b = (Scored(facts.suites[name], facts.folders.get(name, Path())) for facts in (a, b))
        scores_of_b = {score.name: score for score in of_b.result.scores}
        for score in of_a.result.scores:
            match = scores_of_b.get(score.name)
            if match is None:
                continue
            verdict = judge(score, match, of_a, of_b)
            rows.append(
                {
                    "suite": name,
                    "task": score.task,
                    "metric": score.metric,
                    a.name: with_error(score.value, score.stderr),
                    b.name: with_error(match.value, match.stderr),
                    "difference": with_error(match.value - score.value, verdict.noise),
                    "verdict": _words(verdict, score, match, (a.name, b.name)),
                }
            )
    return rows


def compared_costs(a: Facts, b: Facts) -> list[dict[str, Any]]:
    """What each run took."""
    rows = [{"what": "parameters", **{facts.name: facts.run and facts.run.parameters.total for facts in (a, b)}}]
    rows += [{"what": key, **{facts.name: getattr(facts.run, key, None) for facts in (a, b)}} for key in COSTS]
    return [row for row in rows if row[a.name] is not None or row[b.name] is not None]


def _words(verdict: Verdict, score: Score, other: Score, names: tuple[str, str]) -> str:
    if not verdict.comparable:
        return f"not comparable: {verdict.why_not}"
    difference = other.value - score.value
    if verdict.within_noise or difference == 0:
        return "within noise"
    better = names[1] if (difference > 0) == score.higher_is_better else names[0]
    return f"{better} is better" + ("" if verdict.within_noise is not None else " (no error known)")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
