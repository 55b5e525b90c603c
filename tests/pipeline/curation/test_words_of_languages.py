"""Words in forty languages: as many as spaCy's tokenizer for the language cuts, judged as datatrove judges those."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from functools import lru_cache
from pathlib import Path
from time import process_time

import numpy as np
import pyarrow as pa
import pytest

from pipeline.curation.filters.filters import Filters
from pipeline.curation.filters.verdicts import signals_of
from pipeline.curation.signals.signals import compute_quality
from pipeline.curation.text.normalizing import normalize
from pipeline.curation.text.segments import plain_words, tokens_and_symbols, words_of
from pipeline.curation.text.settings import Normalizing
from pipeline.curation.text.words import tokenize, word_hashes

DATA = Path(__file__).parents[3].parent / "shared" / "data"
BOOKS = (
    *("te hi kn mr ta bn ml or gu pa sa").split(),  # vowel signs
    *("yo lg kr ff adh lgg teo").split(),  # tones, and letters with marks below
    *("am fr pt af sw zu xh nuj myx lwg nso tn kam mas nr ve st tuv ss ts guz rw xog").split(),
)
NEWS = ("ar", "de", "ko", "ru")
SPACY = "te hi kn mr ta bn ml gu sa yo lg am fr pt af ar de ru".split()
"""Languages that spaCy has a tokenizer of, the others get its common one."""
DOCUMENTS = 16


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("हिन्दी में कहानी।", ["हिन्दी", "में", "कहानी", "।"]),
        ("తెలుగు కథ, ఒకటి", ["తెలుగు", "కథ", ",", "ఒకటి"]),
        ("ক্ষ্যাপা নদী", ["ক্ষ্যাপা", "নদী"]),
        ("ശ്രീ\u200dമതി", ["ശ്രീ\u200dമതി"]),
        ("می\u200cروم خانه", ["می\u200cروم", "خانه"]),
        ("בְּרֵאשִׁית בָּרָא", ["בְּרֵאשִׁית", "בָּרָא"]),
        ("كِتَابٌ جَمِيلٌ", ["كِتَابٌ", "جَمِيلٌ"]),
        ("ẹ̀kọ́ dára", ["ẹ̀kọ́", "dára"]),
        ("བོད་ཡིག་ཀློག", ["བོད", "ཡིག", "ཀློག"]),
        ("ሰላም፡ለዓለም።", ["ሰላም", "ለዓለም", "።"]),
        ("l’homme peut-être", ["l’homme", "peut-être"]),
        ("❤️ !", ["❤️", "!"]),
        ("ภาษาไทยง่าย", ["ภาษา", "ไทย", "ง่าย"]),
        ("ខ្ញុំ\u200bទៅ\u200bផ្សារ", ["ខ្ញុំ", "ទៅ", "ផ្សារ"]),
        ("联合国大会通过GPT-2。", ["联合", "国", "大会", "通过", "GPT-2", "。"]),
        ("人類社会のすべて", ["人類", "社会", "の", "すべて"]),
        ("\u200fשלום\u200f \u200f", ["שלום\u200f"]),
    ],
)
def test_a_letter_keeps_its_marks_and_joiners(text: str, tokens: list[str]) -> None:
    assert tokens_and_symbols(text) == tokens
    assert plain_words("".join(tokens[:1])) == [word for part in tokens[:1] for word in parts(part)]


def parts(token: str) -> list[str]:
    """What n-grams take of a token: nothing of a symbol, both sides of an apostrophe or a hyphen."""
    return [part for part in token.replace("’", "-").split("-") if any(char.isalnum() for char in part)]


def test_a_zero_width_space_parts_words_and_is_none() -> None:
    assert len(tokens_and_symbols("ab\u200bcd")) == len(plain_words("ab\u200bcd")) == 2


@pytest.mark.parametrize("text", ["က\u1037", "a\u0301", "a\u0301-", "\u0301", "\u200b", "क\u094d", "-", "’"])
def test_words_are_cut_in_time_that_grows_with_the_text(text: str) -> None:
    def seconds(size: int) -> float:
        best = min(timed(text * size) for _ in range(3))
        return max(best, 1e-3)

    tokens_and_symbols(text)  # the patterns are made at the first use
    assert seconds(80_000) < 20 * seconds(10_000)


def timed(text: str) -> float:
    begun = process_time()
    tokens_and_symbols(text)
    plain_words(text)
    return process_time() - begun


def test_words_of_a_text_are_those_of_its_chunks() -> None:
    text = "बड़ा हाथी \u0301x ẹ̀kọ́\u200b ok ไทย\u200bดี l´eau ﬁn ΟΔΟΣ."
    assert words_of(text) == [word for chunk in text.split() for word in words_of(chunk)]
    assert len(word_hashes([text])[0]) == len(words_of(text))


@lru_cache
def documents() -> dict[str, list[str]]:
    """Some documents of each language: children's books, and news whose sentences are put together by eight."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is not there")
    texts = defaultdict(list)
    for name, langs in (("childrens_books_multilingual", BOOKS), ("multilingual", NEWS)):
        with gzip.open(DATA / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            for record in map(json.loads, file):
                if record["lang"] in langs:
                    texts[record["lang"]].append(normalize(record["text"], Normalizing()))
    for lang in NEWS:
        texts[lang] = ["\n".join(texts[lang][start : start + 8]) for start in range(0, len(texts[lang]), 8)]
    return {lang: some[:DOCUMENTS] for lang, some in texts.items()}


def kept(texts: list[str], lang: str) -> list[bool]:
    """Which texts Gopher's rules of repetition keep."""
    signals = compute_quality(texts, [lang] * len(texts))
    batch = pa.RecordBatch.from_pydict({name: signals[name] for name in signals if name != "minhash"})
    rules = Filters.model_validate({"gopher_repetition": {}}).rules(signals_of(batch))
    return [not broken for broken in np.any([rule.broken for rule in rules], axis=0)]


@pytest.mark.parametrize("lang", [*BOOKS, *NEWS])
def test_documents_of_a_language_get_datatroves_verdict_on_repetition(lang: str, monkeypatch) -> None:
    texts = documents()[lang]
    pytest.importorskip("datatrove", reason="datatrove, the oracle, is in the test extra")
    from datatrove.data import Document
    from datatrove.pipeline.filters import GopherRepetitionFilter, gopher_repetition_filter
    from datatrove.utils.word_tokenizers import SpaCyTokenizer

    spacys = SpaCyTokenizer(lang if lang in SPACY else "xx").word_tokenize
    words = {text: spacys(text) for text in texts}
    monkeypatch.setattr(gopher_repetition_filter, "split_into_words", lambda text, language: words[text])
    verdicts = [GopherRepetitionFilter().filter(Document(text=text, id="")) is True for text in texts]
    ours = kept(texts, lang)
    assert sum(mine != theirs for mine, theirs in zip(ours, verdicts, strict=True)) <= len(texts) // 10
    assert sum(ours) >= 0.6 * len(texts), "a fair threshold keeps most of a language's documents"
    counts = np.diff(tokenize(texts, english=False).offsets)
    assert counts.sum() == pytest.approx(sum(map(len, words.values())), rel=0.15)
