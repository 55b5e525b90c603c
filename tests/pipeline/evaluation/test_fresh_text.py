"""Fresh text: domains of one's own, scored by language and position, with calibration."""

import math

import numpy as np
import pytest

from pipeline.assets.evaluation import stored_assets
from pipeline.base.errors import NotPossibleError, SourceError
from pipeline.base.settings import identity_of
from pipeline.evaluation.calibration import calibration, reliability
from pipeline.evaluation.scores.paired import Scored, paired
from pipeline.evaluation.suites.bits_per_byte import BitsPerByteSuite, evaluate_bits_per_byte
from pipeline.evaluation.suites.fresh_text import FreshTextSuite
from pipeline.evaluation.suites.suite import SuiteInputs
from pipeline.evaluation.suites.table import read_result
from pipeline.profile.profile import load_profile
from trainer.scoring.predictions import Predictions

LETTERS = ["The fox wrote to the hen on Monday. " * 20, "Dear dog, I sleep. " * 5, "Dear hen, come home. " * 30]
LETTRES = ["Le renard dort sous le toit. " * 12, "Le chien marche le long de la rivière. " * 9] * 3


@pytest.fixture
def texts(tmp_path):
    """Folders `en` and `fr` of letters, a file each."""
    for lang, letters in (("en", LETTERS), ("fr", [f"{text}{number}" for number, text in enumerate(LETTRES)])):
        (tmp_path / lang).mkdir()
        for number, text in enumerate(letters):
            (tmp_path / lang / f"{number}.txt").write_text(text)
    return tmp_path


def sources(folder, *languages):
    return [{"files": f"{folder / lang}/*.txt", "format": "whole", "lang": lang} for lang in languages]


def evaluate(scorer, tmp_path, domains, **settings):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    suite = FreshTextSuite(domains={name: {"sources": found} for name, found in domains.items()}, **settings)
    return suite.evaluate(scorer, SuiteInputs(cache=tmp_path), out), out


def test_a_domain_has_the_bits_per_byte_that_held_out_text_would_have(scorer, texts, heldout, tmp_path):
    result, out = evaluate(scorer, tmp_path, {"letters": sources(texts, "en")})
    folders = heldout({"letters": [(text.strip(), "en", str(n)) for n, text in enumerate(LETTERS)]})
    known = evaluate_bits_per_byte(scorer, folders, {}, BitsPerByteSuite(compressors=()), tmp_path)
    (score,) = [item for item in result.scores if item.metric == "fresh_bits_per_byte"]
    assert score.value == pytest.approx(known.scores[0].value, rel=1e-5)
    assert score.stderr == pytest.approx(known.scores[0].stderr, rel=1e-4)
    again = Scored(read_result(out), out)
    assert paired(score, score, again.values(score), again.values(score)).stderr == 0
    assert again.result.details == result.details


def test_languages_and_positions_add_up_to_the_domain(scorer, texts, tmp_path):
    result, _ = evaluate(scorer, tmp_path, {"letters": sources(texts, "en", "fr")})
    whole, french = result.details.rows  # three letters are too few for a row of their own
    assert (french.name, french.documents, whole.documents) == ("letters/fr", 6, 9)
    first, second, *beyond = whole.by_position
    assert beyond == [None, None]  # no letter has 1,024 bytes
    early = sum(min(len(text.strip().encode()), 256) for text in [*LETTERS, *(f"{text}1" for text in LETTRES)])
    together = (first * early + second * (whole.bytes - early)) / whole.bytes
    assert together == pytest.approx(whole.bits_per_byte, rel=0.02)  # a token may reach over the edge
    assert whole.loss * whole.tokens == pytest.approx(whole.bits_per_byte * whole.bytes)


def test_as_much_is_scored_as_the_limit_says_and_a_text_once(scorer, texts, tmp_path):
    (texts / "en" / "again.txt").write_text(LETTERS[0])
    result, _ = evaluate(scorer, tmp_path, {"letters": sources(texts, "en")})
    assert result.details.rows[0].documents == 3
    part, _ = evaluate(scorer, tmp_path, {"letters": sources(texts, "en")}, maximum_bytes=1)
    assert part.details.rows[0].documents == 1


def test_a_domain_without_documents_is_noted_and_one_that_matches_nothing_is_a_mistake(scorer, texts, tmp_path):
    (texts / "empty").mkdir()
    (texts / "empty" / "0.txt").write_text("  \n")
    both = {"letters": sources(texts, "en"), "none": [{"files": f"{texts}/empty/*.txt", "format": "whole"}]}
    result, _ = evaluate(scorer, tmp_path, both)
    assert [row.name for row in result.details.rows] == ["letters"]
    assert "domain none: no document" in result.details.notes[0]
    with pytest.raises(NotPossibleError, match="domain none: no document"):
        evaluate(scorer, tmp_path, {"none": both["none"]})
    with pytest.raises(SourceError, match=r"domain lost: no file of .* matches"):
        evaluate(scorer, tmp_path, {"lost": sources(texts, "de")})


def test_texts_lie_beside_the_profile_and_their_content_is_in_the_fingerprint(texts):
    def fingerprinted():
        asset = next(item for item in stored_assets(load_profile(str(texts / "mine.yaml"))) if item.key == "eval/fresh")
        return identity_of(asset.override(asset.settings, {}))

    (texts / "mine.yaml").write_text(
        "extends: sample\nevaluation:\n  suites:\n    fresh:\n      kind: fresh_text\n      domains:\n"
        "        letters: {sources: [{files: 'en/*.txt', format: whole, lang: en}]}\n"
    )
    before = fingerprinted()
    assert set(before["domain letters"]) == {"0.txt", "1.txt", "2.txt"}
    (texts / "en" / "0.txt").write_text("Another letter.")
    assert fingerprinted() != before


def test_the_calibration_error_is_the_mean_distance_of_expected_and_observed_over_tokens():
    confidence = np.array([0.5, 0.52, 0.95, 0.95])
    bins = reliability(confidence, np.array([True, False, True, True]))
    assert [(item.expected, item.observed, item.tokens) for item in bins] == [
        (pytest.approx(0.51), 0.5, 2),
        (pytest.approx(0.95), 1.0, 2),
    ]
    nats, entropy = np.log(2) * np.array([1.0, 2.0, 3.0, 4.0]), np.log(2) * np.ones(4)
    halves = [
        Predictions(nats[part], entropy[part], confidence[part], np.array([True, False, True, True])[part])
        for part in (slice(0, 1), slice(1, 4))
    ]
    found = calibration(halves)
    assert (found.loss, found.entropy) == (pytest.approx(2.5), pytest.approx(1.0))
    assert found.error == pytest.approx((2 * 0.01 + 2 * 0.05) / 4)
    assert found.gap_stderr == pytest.approx(math.hypot(1.5, 1.5) * math.sqrt(2) / 4)


def test_certainty_belongs_to_the_last_bin():
    assert [item.tokens for item in reliability(np.array([1.0, 0.99]), np.array([True, True]))] == [2]
