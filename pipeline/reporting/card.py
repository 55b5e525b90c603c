"""The model card: `README.md` of an exported model, from the same facts as the report.

The exported model is an artifact, built before anything is scored and never changed. So its own card has no scores;
`squeeze export` writes the card anew beside the copy, and the `report` keeps one too, both with the scores there are.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.base.errors import StoreError
from pipeline.base.numbers import figure
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteDetails, TextRow
from pipeline.reporting.facts import MODEL, Facts, facts_of
from pipeline.reporting.lineage import lineage_tree
from pipeline.reporting.scores import score_rows
from pipeline.reporting.tables import markdown_table
from pipeline.store import Artifact, Store


def card_of(store: Store, exported: Artifact) -> str:
    """The card of an exported model with what is known of the model it was exported from by now."""
    parent = exported.manifest.inputs[MODEL]
    model = store.get(parent.key, parent.fingerprint)
    if model is None:
        raise StoreError(
            f"{exported.path}: the model it was exported from ({parent.fingerprint[:8]}) is not in the store any "
            "more, and nothing is known about it; materialize model and model_hf again"
        )
    return model_card(facts_of(store, model, name=f"squeeze-{store.profile}"))


def model_card(facts: Facts) -> str:
    """Markdown, with the front matter the hub reads (languages of the held-out text, no licence claimed)."""
    languages = sorted({row.lang for row in _texts(facts) if row.lang and row.lang != "und"})
    run = facts.run
    size, tokens, steps = map(figure, (run.parameters.total, run.tokens, run.steps) if run else (None, None, None))
    parts = ["---", "library_name: transformers", "pipeline_tag: text-generation"]
    if languages:
        parts += ["language:", *(f"- {language}" for language in languages)]
    parts += [
        "---",
        "",
        f"# {facts.name}",
        "",
        f"A language model of {size} parameters, trained on {tokens} tokens in {steps} steps. Fingerprint "
        f"`{facts.fingerprint}`.",
        "",
        "## Use",
        "",
        "```python",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        "model = AutoModelForCausalLM.from_pretrained(folder)",
        'inputs = tokenizer("Once upon a time", return_tensors="pt")',
        "written = model.generate(**inputs, max_length=50)",
        "print(tokenizer.decode(written[0], skip_special_tokens=True))",
        "```",
        "",
        "The tokenizer begins every text with end-of-text, as every document began that the model was trained on. "
        "lm-eval scores it as the project does with `--model hf --model_args pretrained=FOLDER,add_bos_token=False`.",
        "",
        "It continues text; it follows no instructions, and says false things fluently.",
    ]
    if facts.corpora:
        data = [
            {"corpus": name, "documents": steps[-1].documents, "bytes": steps[-1].bytes}
            for name, steps in facts.corpora.items()
            if steps
        ]
        parts += ["", "## Trained on", "", markdown_table(data)]
    if facts.stages:
        order = [{"stage": label, "tokens": int(sum(amounts.values()))} for label, amounts in facts.stages]
        parts += ["", "In this order:", "", markdown_table(order)]
    tables = [table for result in facts.suites.values() if (table := result.details.table())]
    if tables or facts.scorecard is not None:
        parts += ["", "## Scores", "", "Each with one standard error."]
        parts += [line for table in tables for line in ("", markdown_table(table))]
    if facts.scorecard is not None:
        shown_above = {name for name, result in facts.suites.items() if result.details.table()}
        rows = [row for row in facts.scorecard.rows if row.suite not in shown_above]
        parts += ["", markdown_table(score_rows(rows))]
    if facts.lineage:
        parts += ["", "## Lineage", "", "```", *lineage_tree(facts.lineage), "```"]
    return "\n".join(parts) + "\n"


def _texts(facts: Facts) -> Iterator[TextRow]:
    for result in facts.suites.values():
        if isinstance(result.details, BitsPerByteDetails):
            yield from result.details.rows
