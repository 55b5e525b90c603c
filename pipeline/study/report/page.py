"""The study's page in markdown: what it asked, what each idea is worth, every arm, what it costs, what has not run.

In: the results, and the ideas and questions of the study's settings. Out: markdown, which goes between two marks of a
page, so that what people write around it stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipeline.base.errors import StudyError
from pipeline.base.files import write_text
from pipeline.study.report.tables import all_arms, benchmarks, by_corpus, costs, share, table
from pipeline.study.results.benchmark_spread import BY_LENGTH, OF_ANSWERS, bits_spread, spreads
from pipeline.study.results.effects import Effect
from pipeline.study.results.intervals import shown
from pipeline.study.results.results import Results
from pipeline.study.results.run_result import POOLED
from pipeline.study.settings import StudySettings

BEGIN: Final = "<!-- made by squeeze study: begin -->"
END: Final = "<!-- made by squeeze study: end -->"


def markdown(results: Results, effects: Sequence[Effect], study: StudySettings) -> str:
    """All sections that have anything to show."""
    sections = {
        "The questions": _questions(results, study),
        study.ideas_heading: _ideas(results, effects, study),
        "Every arm": all_arms(results, effects),
        "By corpus, at the end": by_corpus(effects),
        "Costs": costs(results),
        "Benchmarks over seeds": benchmarks(results),
        "Not run": _not_run(results),
    }
    return "\n\n".join(f"### {heading}\n\n{body}" for heading, body in sections.items() if body)


def write_page(page: Path, text: str) -> None:
    """Put the markdown between the page's two marks. Raises StudyError where the page has none."""
    write_between(page, BEGIN, END, text)


def write_between(page: Path, first: str, last: str, text: str) -> None:
    """Put a text between two marks of a page. Raises StudyError where the page has none."""
    content = page.read_text(encoding="utf-8")
    before, begin, rest = content.partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise StudyError(f"{page}: the marks {first!r} and {last!r} are missing; put them where the tables belong")
    write_text(page, f"{before}{first}\n\n{text}\n\n{last}{after}")


def _questions(results: Results, study: StudySettings) -> str:
    answers = [question.answer(results) for question in study.questions]
    return "\n".join(f"- {answer}" for answer in answers if answer)


def _ideas(results: Results, effects: Sequence[Effect], study: StudySettings) -> str:
    if not study.ideas:
        return ""
    rows = []
    for number, idea in enumerate(study.ideas, start=1):
        if idea.shows == "spread":
            cells = [_spread(results), _told_apart(results)]
        else:
            tested = [item for item in effects if item.idea == number]
            differences = [f"{item.title}: {shown(item.pooled.at_end)}{_against(item, study)}" for item in tested]
            verdicts = [f"{item.title}: {item.verdict}" for item in tested]
            untested = "not run" if any(arm.idea == number for arm in study.arms.values()) else "no arm"
            cells = ["; ".join(differences) or "-", "; ".join(verdicts) or untested]
        rows.append([str(number), idea.title, *cells])
    return table(["", "idea", "bits per byte at the end, against the reference", "verdict at this size"], rows)


def _against(item: Effect, study: StudySettings) -> str:
    return f" (against `{item.against}`)" if item.against != study.baseline else ""


def _spread(results: Results) -> str:
    """One standard deviation over seeds, of bits per byte and of every benchmark."""
    bits = bits_spread(results.runs, POOLED)
    if bits is None:
        return "no arm has two seeds"
    said = f"spread over seeds: bits per byte {bits[0]:.4f} pooled, {bits[1]:.4f} in the middle arm"
    shares = [row for row in spreads(results) if row.metric not in OF_ANSWERS]
    return ", ".join([said, *(f"{row.task} {share(row.over_seeds)}" for row in shares)])


def _told_apart(results: Results) -> str:
    """How many benchmarks tell the recipe from the baseline."""
    design = results.design
    rows = [row for row in spreads(results) if row.difference and row.difference.values > 1]
    if not rows:
        return "no benchmark has been scored on both"
    told = f"benchmarks tell `{design.recipe}` from `{design.baseline}` on these items"
    said = []
    for words, metrics in ((told, ("acc", BY_LENGTH)), *((f"by {metric}", (metric,)) for metric in OF_ANSWERS)):
        asked = [row for row in rows if row.metric in metrics]
        sure = [row.task for row in asked if row.tells_apart]
        if asked:
            named = f" ({', '.join(sure)})" if sure else ""
            said.append(f"{len(sure)} of {len(asked)} {words}{named}")
    return "; ".join(said)


def _not_run(results: Results) -> str:
    missing = [f"`{name}`" for name in results.design.arms if name not in results.by_arm]
    return f"{', '.join(missing)}." if missing else "Every arm has run."
