"""What the API gives for good requests."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [place["item"]["item_id"] for place in answer.json()["items"]]


def test_a_history_gets_its_best_items_without_those_it_has(client: httpx.Client, fake_shop: Any) -> None:
    expected = fake_shop.recommend_many(
        [["i2", "i9"]],
        times=None,
        k=5,
        rerank=None,
        filters=(),
        context=None,
        exclude_seen=True,
        modalities=None,
    )[0]
    answer = client.post("/api/recommend", json={"history": ["i2", "i9"], "k": 5})
    assert ids(answer) == expected.item_ids
    places = answer.json()["items"]
    assert [place["rank"] for place in places] == [1, 2, 3, 4, 5]
    assert [place["score"] for place in places] == pytest.approx(expected.scores)
    assert answer.json()["retrieval"] == "exact"


def test_a_user_is_the_users_clicks_with_those_of_the_request_behind_them(client: httpx.Client) -> None:
    by_user = client.post("/api/recommend", json={"user_id": "u1", "history": ["i9"]})
    by_history = client.post("/api/recommend", json={"history": ["i0", "i1", "i2", "i9"]})
    assert ids(by_user) == ids(by_history)


def test_nobody_known_gets_what_is_popular(client: httpx.Client) -> None:
    requests: tuple[dict[str, Any], ...] = ({}, {"user_id": "v1"}, {"history": []})
    for request in requests:
        answer = client.post("/api/recommend", json={**request, "k": 3})
        assert ids(answer) == ["i0", "i1", "i2"]
        assert answer.json()["retrieval"] == "popular"


def test_hidden_items_give_their_places_to_those_behind_them(client: httpx.Client) -> None:
    whole = ids(client.post("/api/recommend", json={"history": ["i5"], "k": 6}))
    left = ids(client.post("/api/recommend", json={"history": ["i5"], "k": 5, "exclude": [whole[1]]}))
    assert left == [whole[0], *whole[2:6]]


def test_rerankers_go_by_name_and_options(client: httpx.Client) -> None:
    plain = ids(client.post("/api/recommend", json={"history": ["i5"], "k": 39}))
    request = {"history": ["i5"], "k": 39, "rerank": {"type": "mmr", "diversity": 0.5, "space": "text"}}
    assert ids(client.post("/api/recommend", json=request)) == plain[::-1]


def test_a_method_that_is_not_there_is_told_which_are(client: httpx.Client) -> None:
    assert client.options("/api/items").headers["allow"] == "GET, POST"
    assert client.get("/api/recommend").headers["allow"] == "POST"
    assert client.delete("/api/items/i1").headers["allow"] == "GET"


def test_what_is_not_a_number_is_null(client: httpx.Client) -> None:
    assert client.get("/api/items/i4").json()["price"] is None
    answer = client.post("/api/explain", json={"history": ["i1"], "item_id": "i2"})
    assert answer.json()["explanation"]["score"] is None
    assert "NaN" not in answer.text


def test_items_are_found_by_all_words_titles_first(client: httpx.Client) -> None:
    answer = client.get("/api/items", params={"q": "RED thing 3", "limit": 100}).json()
    texts = [item["text"] for item in answer["items"]]
    assert answer["total"] == len(texts) > 1
    assert all("red" in text and "3" in text for text in texts)
    titled = [item["title"] is not None for item in answer["items"]]
    assert titled == sorted(titled, reverse=True)
    assert client.get("/api/items", params={"q": "red purple"}).json() == {"items": [], "total": 0}


def test_a_search_is_paged(client: httpx.Client) -> None:
    pages = [client.get("/api/items", params={"offset": o, "limit": 15}).json() for o in (0, 15, 30, 45)]
    assert [len(page["items"]) for page in pages] == [15, 15, 10, 0]
    found = [item["item_id"] for page in pages for item in page["items"]]
    assert len(set(found)) == 40 == pages[0]["total"]


@pytest.mark.parametrize("item_id", ["i3", "with/slash", "Ünï code?#&"])
def test_every_id_has_an_address(client: httpx.Client, item_id: str) -> None:
    path = "/api/items/" + httpx.URL("http://x", params={"q": item_id}).query.decode()[2:].replace("+", "%20")
    assert client.get(path).json()["item_id"] == item_id
    similar = client.get(path.replace("/items/", "/similar/"), params={"k": 3})
    assert ids(similar)[0] == item_id


def test_pictures_are_small_jpegs_that_browsers_keep(client: httpx.Client) -> None:
    url = client.get("/api/items/i2").json()["image"]
    answer = client.get(url, params={"size": "128"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(answer.content)).size == (60, 40)
    again = client.get(url, params={"size": "128"}, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/api/items/i0").json()["image"] is None
    # No picture, and one that can't be read.
    assert [client.get(f"/api/items/{i}/image").status_code for i in ("i0", "i1")] == [404, 404]


def test_users_are_found_by_parts_of_their_ids(client: httpx.Client) -> None:
    assert client.get("/api/users").json() == {"users": ["u1", "u2", "v1"], "total": 3}
    assert client.get("/api/users", params={"q": "1"}).json()["users"] == ["u1", "v1"]
    history = client.get("/api/users/u2").json()["history"]
    assert [item["item_id"] for item in history] == ["i5", "i3", "i5", "i7"]


def test_an_explanation_comes_with_the_cards_that_it_speaks_of(client: httpx.Client) -> None:
    answer = client.post("/api/explain", json={"user_id": "u1", "item_id": "i9"}).json()
    assert answer["item"]["item_id"] == "i9"
    assert [item["item_id"] for item in answer["history"]] == ["i0", "i1", "i2"]
    assert answer["explanation"]["clicks"][0]["values"] == [0.5, -0.5, -1.5]


def test_the_model_says_what_it_is(client: httpx.Client) -> None:
    answer = client.get("/api/model").json()
    assert answer["note"] == "generated, not real shoppers"
    assert answer["metrics"] == {"ndcg@10": {"value": 0.1, "ci95": {"low": 0.05, "high": 0.15}}}
    rerankers = {entry["type"]: entry for entry in answer["rerankers"]}
    assert rerankers["mmr"]["spaces"] == ["category", "model", "text", "image", "content", "behaviour"]
    assert rerankers["popularity"]["spaces"] == []
    assert "context" not in rerankers
    assert answer["retrieval"]["kind"] == "exact"


def test_a_new_item_is_searched_shown_and_recommended_at_once(
    serving: Callable[..., Any], fake_shop: Any, picture: Callable[..., bytes]
) -> None:
    with serving(fake_shop) as client:
        data = {
            "item_id": " new 1 ",
            "title": "Novelty",
            "text": "very red",
            "price": "3.50",
            "categories": "a, b,a",
        }
        answer = client.post(
            "/api/items", data=data, files={"image": ("x.png", picture("blue"), "image/png")}
        )
        assert answer.status_code == 201
        item = answer.json()["item"]
        assert (item["item_id"], item["price"], item["categories"]) == ("new 1", 3.5, ["a", "b"])
        assert client.get("/api/items", params={"q": "novelty"}).json()["items"] == [item]
        shown = Image.open(io.BytesIO(client.get(item["image"]).content))
        assert np.asarray(shown)[5, 5, 2] > 200
        # It is like the first red thing, so whoever has that gets it.
        assert "new 1" in ids(client.post("/api/recommend", json={"history": ["i3"], "k": 3}))
        twice = client.post("/api/items", data=data)
        assert twice.status_code == 409
        assert client.get("/api/model").json()["items"] == 41
        assert "crossrec_items 41.0" in client.get("/metrics").text


def test_a_new_item_brings_further_columns_but_no_path(serving: Callable[..., Any], fake_shop: Any) -> None:
    with serving(fake_shop) as client:
        data = {"item_id": "n", "title": "New", "columns": '{"brand": "Acme"}'}
        assert client.post("/api/items", data=data).status_code == 201
        assert fake_shop.catalog.column("brand")[-1].as_py() == "Acme"
        for columns, message in (
            ('{"back_photo": "/etc/passwd"}', "'back_photo' can't be set here"),
            ('{"image": "/etc/passwd"}', "'image' can't be set here"),
            ("[1]", "needs a JSON mapping"),
            ("{", "not valid JSON"),
        ):
            answer = client.post("/api/items", data={**data, "item_id": "m", "columns": columns})
            assert answer.status_code == 422
            assert message in answer.json()["detail"]


def test_thumbs_are_kept_only_where_the_log_is_on(
    serving: Callable[..., Any], fake_shop: Any, client: httpx.Client, tmp_path: Path
) -> None:
    note = {
        "item_id": "i1",
        "vote": "up",
        "user_id": "u1",
        "history": ["i2"],
        "shown": ["i1", "i3"],
        "rank": 1,
    }
    assert client.post("/api/feedback", json=note).json() == {"logged": False}
    path = tmp_path / "logs" / "thumbs.jsonl"
    with serving(fake_shop, feedback_log=path) as logging_client:
        assert logging_client.get("/api/model").json()["feedback"] is True
        for vote in ("up", "down"):
            answer = logging_client.post("/api/feedback", json={**note, "vote": vote})
            assert answer.json() == {"logged": True}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line.pop("vote") for line in lines] == ["up", "down"]
    assert all(line.pop("timestamp") > 1.7e9 for line in lines)
    assert lines[0] == {key: value for key, value in note.items() if key != "vote"}


def test_metrics_count_by_route_and_not_by_what_clients_invent(client: httpx.Client) -> None:
    client.get("/api/items/i7")
    client.get("/nowhere/in/particular")
    client.request("BREW", "/health")
    text = client.get("/metrics").text
    assert 'route="/api/items/{item_id:path}",status="200"' in text
    assert "particular" not in text
    assert "BREW" not in text
    assert "crossrec_batch_size_count" in text
    assert "crossrec_index_recall 1.0" in text


def test_the_page_and_its_parts_come_from_here_alone(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/static/main.js", "/static/style.css", "/health"):
        answer = client.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e/app.py").status_code == 404


def test_no_module_makes_html_of_data() -> None:
    static = Path(__file__).parents[2] / "crossrec" / "server" / "static"
    modules = list(static.glob("*.js"))
    assert modules
    for module in modules:
        text = module.read_text()
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "https://",
        ):
            assert forbidden not in text, (module.name, forbidden)
