"""Caps on domains: no domain has more than its cap, which documents stay depends on no order, everything is counted."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.assets.every import every_asset
from pipeline.base.errors import CurationError, ProfileError
from pipeline.base.settings import identity_of
from pipeline.curation.doc_ids import DOC_ID, doc_id
from pipeline.curation.domain_caps import DOMAIN_CAP, over_cap
from pipeline.curation.settings import DomainCap
from pipeline.curation.text.hosts import host_of, registered_domains
from pipeline.profile.profile import load_profile
from tests.pipeline.curation.stories import corpus, heldout_texts, kept_texts, story


def batches_of(documents, size=3):
    """Documents as (host, bytes), whose id is their place's, a few in a batch."""
    rows = [(doc_id(str(place).encode()), length, host, place) for place, (host, length) in documents]
    for start in range(0, len(rows), size):
        ids, sizes, hosts, places = zip(*rows[start : start + size], strict=True)
        columns = {"doc_id": pa.array(ids, DOC_ID), "bytes": pa.array(sizes, pa.uint32()), "host": pa.array(hosts)}
        yield pa.RecordBatch.from_pydict(columns), np.array(places)


def staying(cap, documents):
    documents = list(enumerate(documents)) if not isinstance(documents[0][1], tuple) else documents
    over = over_cap(cap, batches_of(documents))
    return {place for place, _ in documents} - set(over.rows.tolist()), over


DOCUMENTS = st.lists(st.tuples(st.sampled_from(["", "a.org", "b.org", "c.org"]), st.integers(1, 40)), min_size=1)


@settings(max_examples=50)
@given(DOCUMENTS, st.integers(1, 5), st.integers(1, 100), st.randoms())
def test_no_domain_is_over_its_cap_in_any_order_of_documents(documents, most, most_bytes, random) -> None:
    cap = DomainCap(most_documents=most, most_bytes=most_bytes, by="host")
    kept, over = staying(cap, documents)
    counts, sizes = Counter(), Counter()
    for place in kept:
        counts[documents[place][0]] += 1
        sizes[documents[place][0]] += documents[place][1]
    capped = {host for host, _ in documents} - {""}
    assert all(counts[host] <= most and sizes[host] <= most_bytes for host in capped)
    assert counts[""] == sum(host == "" for host, _ in documents) == over.counts.documents_without
    shuffled = list(enumerate(documents))
    random.shuffle(shuffled)
    assert staying(cap, shuffled)[0] == kept
    looser = cap.model_copy(update={"most_documents": most + 1})
    assert kept <= staying(looser, documents)[0]


def test_a_share_is_of_all_the_text_that_is_left_and_what_is_larger_than_it_is_passed_over() -> None:
    documents = [("a.org", 10)] * 6 + [("b.org", 30), ("b.org", 5), ("", 5)]
    kept, over = staying(DomainCap(most_share=0.25, by="host"), documents)
    assert sum(documents[place][0] == "a.org" for place in kept) == 2, "25 of 100 bytes hold two of ten"
    assert {6, 7} & kept == {7}, "30 bytes are over the cap by themselves, and take nobody's place"
    assert (over.counts.domains, over.counts.capped, over.counts.documents_without) == (2, 2, 1)
    first = over.counts.largest[0]
    assert (first.domain, first.documents, first.bytes, first.removed_documents, first.removed_bytes) == (
        *("a.org", 2, 20),
        *(4, 40),
    )


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://News.BBC.co.uk:443/a?b#c", "news.bbc.co.uk"),
        ("http://user:pass@example.com./x", "example.com"),
        ("example.com/page", "example.com"),
        ("//cdn.example.com/x", "cdn.example.com"),
        ("http://[2001:db8::1]/", "2001:db8::1"),
        ("http://[broken/", ""),
        ("no address at all", ""),
        ("/a/path", ""),
        ("", ""),
        (None, ""),
        (3.5, ""),
        ("http://" + "a" * 300 + ".org", ""),
    ],
)
def test_the_host_of_an_address(address, host) -> None:
    assert host_of(address) == host


@settings(max_examples=50)
@given(st.text(max_size=60))
def test_no_text_makes_the_host_fail(text) -> None:
    host_of(text).encode()


def test_a_domain_is_what_is_registered_under_a_public_suffix() -> None:
    pytest.importorskip("publicsuffixlist")
    domain_of = registered_domains()
    hosts = {"news.bbc.co.uk": "bbc.co.uk", "bbc.co.uk": "bbc.co.uk", "a.b.example.com": "example.com"}
    hosts |= {"192.168.0.1": "192.168.0.1", "2001:db8::1": "2001:db8::1", "co.uk": "co.uk", "localhost": "localhost"}
    hosts |= {"someone.github.io": "github.io"}  # a hoster's customers are one domain
    assert {host: domain_of(host) for host in hosts} == hosts


def web(tmp_path, hosts, **settings):
    lines = [json.dumps({"text": story(seed), "url": f"https://{host}/{seed}"}) for seed, host in enumerate(hosts)]
    path = tmp_path / "web.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    sources = [{"files": [str(path)], "lang": "en", "url_field": "url"}]
    return corpus(path, **settings).model_validate({"sources": sources, **settings})


def test_the_cap_is_the_last_step_of_the_waterfall_and_says_what_stays(curation, tmp_path) -> None:
    hosts = ["www.big.org"] * 20 + ["big.org"] * 20 + [f"site{number}.org" for number in range(20)]
    cap = {"most_documents": 5, "by": "host"}
    (summary,) = curation.run({"web": web(tmp_path, hosts, domain_cap=cap, filters={"minimum_words": 10})}).values()
    assert pq.read_table(curation.folder("documents", "web") / "part-00000.parquet")["host"].to_pylist() == hosts
    host_of_text = {story(seed): host for seed, host in enumerate(hosts)}
    counts = Counter(host_of_text[text] for text in kept_texts(curation, "web"))
    assert counts["www.big.org"] == counts["big.org"] == 5
    held = heldout_texts(curation, "web")
    assert summary.documents == 60 - len(held) - summary.waterfall[-1].removed_documents
    last = summary.waterfall[-1]
    assert last.step == DOMAIN_CAP
    assert last.removed_documents == 30 - sum(host_of_text[text].endswith("big.org") for text in held)
    assert {example.detail.split(":")[0] for example in last.examples} <= {"www.big.org", "big.org"}
    assert last.examples[0].detail.endswith("documents stay")
    assert summary.domains is not None
    assert sum(row.removed_bytes for row in summary.domains.largest) == last.removed_bytes


def test_without_the_list_a_cap_by_domain_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "publicsuffixlist", None)
    with pytest.raises(CurationError, match=r"pip install 'squeeze-gpt\[domains\]', or set `by: host`"):
        over_cap(DomainCap(most_documents=1), [])


def test_a_cap_enters_the_fingerprint_of_its_own_corpus_alone(tmp_path) -> None:
    def settings_of(cap):
        path = tmp_path / "mine.yaml"
        source = "sources: [{files: web.jsonl, url_field: url}]"
        path.write_text(f"extends: sample\ncorpora: {{fineweb_edu: {{{source}{cap}}}}}\n")
        assets = {asset.key: asset for asset in every_asset(load_profile(str(path)))}
        return {key: identity_of(assets[f"corpus/{key}"].settings) for key in ("fineweb_edu", "wikipedia")}

    without, with_cap = settings_of(""), settings_of(", domain_cap: {most_share: 0.01, by: host}")
    assert with_cap["wikipedia"] == without["wikipedia"]
    assert with_cap["fineweb_edu"].pop("domain_cap") == {
        "most_documents": None,
        "most_bytes": None,
        "most_share": 0.01,
        "by": "host",
    }
    assert with_cap["fineweb_edu"] == without["fineweb_edu"]


@pytest.mark.parametrize(
    ("cap", "message"),
    [
        (
            "{most_documents: 3}",
            r"line 2: corpora.fineweb_edu.domain_cap: no source of 'fineweb_edu' has a `url_field`",
        ),
        ("{by: host}", "give most_documents, most_bytes or most_share"),
        ("{most_share: 1}", "most_share: must be below 1, found 1"),
    ],
)
def test_a_cap_that_cannot_be_is_refused_where_the_profile_is_read(tmp_path, cap, message) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: sample\ncorpora: {{fineweb_edu: {{domain_cap: {cap}}}}}\n")
    with pytest.raises(ProfileError, match=message):
        load_profile(str(path))
