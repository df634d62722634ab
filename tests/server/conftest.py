"""A small stand-in for a loaded recommender, and servers on it, over real HTTP."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from crossrec.data.catalog import Catalog
from crossrec.rerank.recommender import RerankConfig
from crossrec.server.app import build_server
from crossrec.server.config import ServerConfig
from crossrec.server.run import bound_socket
from crossrec.serving.results import Recommendations
from crossrec.types import InputError, Sequences, TopK

N_ITEMS, WIDTH = 40, 8
USERS = {"u1": [0, 1, 2], "u2": [5, 3, 5, 7], "v1": []}


def picture_bytes(colour: str = "red", size: tuple[int, int] = (60, 40), kind: str = "PNG") -> bytes:
    """An encoded picture of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


class FakeShop:
    """Keeps the interface of LoadedRecommender; scores are dot products with the mean of the history."""

    name = "fake"
    picture_columns = ("back_photo",)

    def __init__(self, n_items: int = N_ITEMS, width: int = WIDTH) -> None:
        ids = [f"i{i}" for i in range(n_items - 2)] + ["with/slash", "Ünï code?#&"]
        self.catalog = Catalog.from_columns(
            {
                "item_id": ids,
                "title": [f"Thing {i}" if i % 7 else None for i in range(n_items)],
                "text": [f"Thing {i} is {'red' if i % 2 else 'blue'} <b>x</b>" for i in range(n_items)],
                "image_bytes": [
                    b"broken" if i == 1 else picture_bytes() if i % 3 else None for i in range(n_items)
                ],
                "categories": [[f"kind {i % 5}"] for i in range(n_items)],
                "price": [float("nan") if i == 4 else float(i) for i in range(n_items)],
                "brand": [f"brand {i % 2}" for i in range(n_items)],
            }
        )
        generator = np.random.default_rng(0)
        vectors_ND = generator.normal(size=(n_items, width)).astype(np.float32)
        self.vectors_ND = vectors_ND / np.linalg.norm(vectors_ND, axis=1, keepdims=True)
        self.config = SimpleNamespace(rerank=None, evaluation=SimpleNamespace(exclude_seen=True))
        self.about = SimpleNamespace(
            model="fake (dot)",
            data_name="fake data",
            data_note="generated, not real shoppers",
            metrics={"ndcg@10": {"value": 0.1, "ci95": [0.05, 0.15]}, "gini@10": {"value": None}},
        )
        self.items = SimpleNamespace(
            spaces=SimpleNamespace(names=["text", "image", "content", "behaviour"]),
            rerankers=lambda config: (),
        )
        self.users = SimpleNamespace(
            histories=lambda users: Sequences.from_lists([USERS[user] for user in users])
        )
        self.user_ids = list(USERS)
        self.recommender = SimpleNamespace(
            item_vectors=lambda: torch.from_numpy(self.vectors_ND),
            queries=lambda histories: torch.from_numpy(self._queries(histories)),
            added=lambda histories: None,
        )
        self.model = SimpleNamespace(
            modalities=["id", "text", "image"], text_scorer=None, recommender=self.recommender
        )
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.working = 0
        self.met = False

    @property
    def n_items(self) -> int:
        return len(self.catalog)

    @property
    def item_ids(self) -> list[str]:
        return list(self.catalog.item_ids)

    def index(self, item_id: str) -> int:
        if item_id not in self.catalog.index:
            raise InputError(f"no item {item_id}")
        return self.catalog.index[item_id]

    def _queries(self, histories: Sequences) -> np.ndarray:
        rows = [self.vectors_ND[histories.row(row)].mean(0) for row in range(len(histories))]
        return np.asarray(rows, np.float32).reshape(len(histories), -1)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Notices when two calls of the model meet; waits while the gate is closed."""
        self.working += 1
        self.met = self.met or self.working > 1
        try:
            assert self.gate.wait(30)
            time.sleep(0.001)
            yield
        finally:
            self.working -= 1

    def recommend_many(
        self,
        histories: Sequence[Sequence[str]],
        *,
        times: Sequence[Sequence[float]] | None,
        k: int,
        rerank: RerankConfig | str | None,
        filters: Sequence[Any],
        context: Mapping[str, Any] | None,
        exclude_seen: bool,
        modalities: Any,
    ) -> list[Recommendations]:
        with self._alone():
            self.batches.append(len(histories))
            if rerank == "run":
                raise InputError("this run has no reranking of its own")
            rows = [[self.index(item_id) for item_id in history] for history in histories]
            scores_BN = self._queries(Sequences.from_lists(rows)) @ self.vectors_ND.T
            for scores_N, seen in zip(scores_BN, rows, strict=True):
                if exclude_seen:
                    scores_N[seen] = -np.inf
            if rerank is not None:
                scores_BN = np.where(np.isinf(scores_BN), scores_BN, -scores_BN)
            return [self._list(scores_N, k) for scores_N in scores_BN]

    def _list(self, scores_N: np.ndarray, k: int) -> Recommendations:
        ids_K = np.argsort(-scores_N, kind="stable")[:k]
        ids_K = ids_K[~np.isinf(scores_N[ids_K])]
        lists = TopK(ids_K[None], scores_N[ids_K][None])
        return Recommendations.of(lists.ids[0], lists.scores[0], self.catalog)

    def popular(self, k: int, *, filters: Sequence[Any] = ()) -> Recommendations:
        return self._list(-np.arange(self.n_items, dtype=np.float32), k)

    def similar(self, item_id: str, k: int, space: str) -> Recommendations:
        if space == "image":
            raise InputError(f"item '{item_id}' has no vector in the space 'image'")
        with self._alone():
            return self._list(self.vectors_ND @ self.vectors_ND[self.index(item_id)], k)

    def explain(self, history: Sequence[str], item_id: str, *, times: Any = None) -> Any:
        with self._alone():
            content = {
                "item": self.index(item_id),
                "score": float("nan"),
                "history": [{"item": self.index(click), "item_id": click} for click in history],
                "modalities": [
                    {
                        "method": "modality_leave_one_out",
                        "names": ["id", "text", "image"],
                        "both": [0.1, 0.4, -0.2],
                        "shares": [0.15, 0.57, 0.28],
                    }
                ],
                "clicks": [
                    {
                        "method": "click_leave_one_out",
                        "values": [0.5 - place for place, _ in enumerate(history)],
                    }
                ],
                "attention": None,
                "picture": {"method": "grad_cam", "map": [[0.0, 1.0], [0.5, 0.2]], "height": 40, "width": 60},
                "words": {
                    "text": "Thing is red",
                    "words": [{"text": "red", "start": 9, "end": 12, "weight": 0.3}],
                    "rest": 0.0,
                    "cut": False,
                },
                "left_out": {"attention": "this model has none"},
            }
            return SimpleNamespace(to_dict=lambda: content)

    def add_items(self, items: Sequence[Mapping[str, Any]]) -> list[str]:
        with self._alone():
            old = self.catalog
            columns = {name: old.column(name).to_pylist() for name in old.dataset.column_names}
            for item in items:
                for name in columns:
                    value = item.get("image" if name == "image_bytes" else name)
                    columns[name].append(value)
            # Known by its text: red things are like the first red thing.
            vector_D = self.vectors_ND[3 if "red" in str(items[0].get("text")) else 2]
            self.vectors_ND = np.concatenate([self.vectors_ND, vector_D[None]])
            self.catalog = Catalog.from_columns(columns)
            return [str(item["item_id"]) for item in items]


@contextmanager
def served(shop: Any, **options: Any) -> Iterator[httpx.Client]:
    """A server on a free port of the loopback, and a client of it."""
    config = ServerConfig(**{"port": 0, "batch_wait_ms": 5, **options})
    server = build_server(shop, config)
    address = bound_socket(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [address]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.005)
        port = address.getsockname()[1]
        limits = httpx.Limits(max_connections=None)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, limits=limits) as client:
            yield client
    finally:
        if hasattr(shop, "gate"):
            shop.gate.set()
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Starts a server on a recommender, with options of its configuration."""
    return served


@pytest.fixture
def fake_shop() -> FakeShop:
    """A fresh stand-in."""
    return FakeShop()


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Makes an encoded picture: colour, size, format."""
    return picture_bytes


@pytest.fixture
def large_shop() -> FakeShop:
    """A stand-in with more items."""
    return FakeShop(n_items=600, width=16)


@pytest.fixture(scope="package")
def client() -> Iterator[httpx.Client]:
    """A client of one server for the tests that change nothing."""
    with served(FakeShop()) as client:
        yield client
