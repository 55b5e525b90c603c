"""The imitated hub answers Hugging Face's own library as the real one does, as far as anything here asks it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import parse_ratelimit_headers

from tests.hub.corpora import FINEWEB_2, add_corpus
from tests.hub.faults import Damage, Fault
from tests.hub.limits import Limits
from tests.hub.repository import COMMIT
from tests.hub.server import TOKEN, Hub

FILE = "data/train-00000.parquet"
ADDRESS = f"/datasets/some/stories/resolve/{COMMIT}/{FILE}"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path) as hub:
        hub.add("some/stories", {FILE: bytes(range(256)) * 4}, readme="---\nlicense: mit\n---\n# Stories\n")
        yield hub


def get(hub: Hub, path: str, **headers: str) -> httpx2.Response:
    return httpx2.get(hub.url + path, headers=headers, follow_redirects=True, timeout=10, trust_env=False)


def api(hub: Hub, token: str | bool = False) -> HfApi:
    return HfApi(endpoint=hub.url, token=token)


def test_a_large_file_is_got_by_ranges_from_another_host_which_sees_no_token(hub: Hub) -> None:
    answer = get(hub, ADDRESS, Range="bytes=10-19", Authorization=f"Bearer {TOKEN}")
    assert answer.content == bytes(range(10, 20))
    assert answer.headers["Content-Range"] == "bytes 10-19/1024"
    assert answer.headers["ETag"] == answer.history[0].headers["X-Linked-ETag"]
    asked = {request.host: request.token for request in hub.requests}
    assert asked == {"hub": f"Bearer {TOKEN}", "cdn": ""}
    assert hub.ranges(FILE)[0].range == (10, 20)


def test_a_signed_address_ends(hub: Hub) -> None:
    hub.state.link_seconds = -10
    assert get(hub, ADDRESS).status_code == 403


def test_a_data_set_is_described_as_the_library_reads_it(hub: Hub) -> None:
    info = api(hub).dataset_info("some/stories")
    assert (info.sha, info.gated, info.tags) == (COMMIT, False, ["license:mit"])
    assert info.card_data is not None
    assert info.card_data["license"] == "mit"
    assert [branch.target_commit for branch in api(hub).list_repo_refs("some/stories", repo_type="dataset").branches]


def test_a_tree_comes_page_by_page(hub: Hub) -> None:
    hub.add("some/many", {f"data/{number:03d}.parquet": b"x" for number in range(25)})
    hub.state.tree_page = 10
    entries = api(hub).list_repo_tree("some/many", "data", repo_type="dataset", revision=COMMIT)
    assert [entry.path for entry in entries] == [f"data/{number:03d}.parquet" for number in range(25)]
    assert sum("/tree/" in request.path for request in hub.requests) == 3


def test_a_moved_branch_leaves_the_old_commit_where_it_is(hub: Hub) -> None:
    later = "f" * 40
    hub.commit("some/stories", {FILE: b"other"}, later)
    assert api(hub).dataset_info("some/stories").sha == later
    assert get(hub, ADDRESS).content == bytes(range(256)) * 4
    with pytest.raises(RevisionNotFoundError):
        api(hub).dataset_info("some/stories", revision="e" * 40)


def test_a_renamed_data_set_is_found_under_its_new_name(hub: Hub) -> None:
    hub.rename("old/name", "some/stories")
    assert api(hub).dataset_info("old/name").id == "some/stories"
    assert get(hub, ADDRESS.replace("some/stories", "old/name")).status_code == 200


def test_who_may_not_read_is_told_as_little_as_on_the_hub(hub: Hub) -> None:
    hub.add("some/gated", {FILE: b"x"}, gated=True)
    hub.add("some/private", {FILE: b"x"}, private=True)
    assert api(hub).dataset_info("some/gated").gated == "auto"
    with pytest.raises(GatedRepoError):
        api(hub).hf_hub_download("some/gated", FILE, repo_type="dataset")
    for dataset in ("some/private", "some/nothing"):
        with pytest.raises(RepositoryNotFoundError):
            api(hub).dataset_info(dataset)
    assert api(hub, TOKEN).dataset_info("some/private").private


def test_a_window_that_is_full_says_when_the_next_begins(hub: Hub) -> None:
    hub.state.limits = Limits(api=2, window=1.0)
    for _ in range(2):
        assert get(hub, "/api/datasets/some/stories").status_code == 200
    refused = get(hub, "/api/datasets/some/stories")
    limit = parse_ratelimit_headers(refused.headers)
    assert refused.status_code == 429
    assert limit is not None
    assert (limit.resource_type, limit.remaining, limit.limit) == ("api", 0, 2)
    time.sleep(limit.reset_in_seconds)
    assert get(hub, "/api/datasets/some/stories").status_code == 200


def test_faults_are_met_as_often_as_they_were_given(hub: Hub) -> None:
    hub.faults.add(Fault("GET /some/stories", damage=Damage.TRUNCATED), Fault("GET /some/stories", 503, times=2))
    with pytest.raises(httpx2.RemoteProtocolError):
        get(hub, ADDRESS)
    assert [get(hub, ADDRESS).status_code for _ in range(3)] == [503, 503, 200]
    hub.faults.add(Fault("/api/", damage=Damage.REFUSED))
    with pytest.raises((httpx2.NetworkError, httpx2.RemoteProtocolError)):
        get(hub, "/api/datasets/some/stories")
    hub.faults.add(Fault("/api/", 500, times=None))
    with pytest.raises(HfHubHTTPError):
        api(hub).dataset_info("some/stories")


def test_corpora_have_the_columns_of_the_real_ones(hub: Hub, tmp_path: Path) -> None:
    add_corpus(hub, FINEWEB_2, tmp_path / "corpora", rows=3)
    info = api(hub).dataset_info("HuggingFaceFW/fineweb-2")
    assert info.siblings is not None
    names = [file.rfilename for file in info.siblings]
    assert "data/fra_Latn/train/000_00000.parquet" in names
