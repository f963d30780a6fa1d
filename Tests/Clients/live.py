"""What the tests of live users share: servers with a state, and a model in NumPy of what a server should know of a user.

The model is written from the documented rules and float64 equations, so that it shares nothing with the server.
"""

from __future__ import annotations

import shutil
import threading
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import lmdb
import numpy as np
import pytest

import annex
from annex import Connection, Server

CUT = 1_700_000_000_000  # what the versions were trained until
STATE = "state.lmdb"


def serve(*indexes, state: Path | None, log: Path, options=(), **more) -> Server:
    """A server, with a state where one is given."""
    live = ["--state", state] if state is not None else []
    return Server(*indexes, log=log, options=[*live, *options], **more)


def needs_option(name: str) -> None:
    """Skips where this annctl's serve does not have it."""
    if name not in annex.run_annctl("serve", "--help").stdout:
        pytest.skip(f"annctl serve has no {name}")


def text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def number(value) -> int | None:
    return None if value is None else int(value)


def now() -> int:
    return time.time_ns() // 1_000_000


# --- Asking ------------------------------------------------------------------------------------------------------------


def event(c: Connection, user, item, weight=None, at=None, index=None) -> None:
    words = ["EVENT", user, item]
    words += [] if weight is None else [repr(float(weight))]
    words += [] if at is None else ["AT", at]
    words += [] if index is None else ["INDEX", index]
    assert c.call(*words) == "OK"


def events_at_once(server: Server, events, connections: int = 16) -> None:
    """Many events, (user, item, weight, time) each, over so many connections that they share commits. Each user's keep
    their order."""
    shares = [[] for _ in range(connections)]
    for e in events:
        shares[zlib.crc32(e[0].encode()) % connections].append(e)
    replies: list = []

    def send(share):
        with server.connect(timeout=60) as c:
            c.send(b"".join(annex.encode("EVENT", user, item, repr(float(weight)), "AT", at) for user, item, weight, at in share))
            replies.extend(c.read() for _ in share)

    threads = [threading.Thread(target=send, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert len(replies) == len(events) and set(replies) <= {"OK"}, next(r for r in [*replies, "fewer replies"] if r != "OK")


def seen(c: Connection, user, *options) -> list[tuple[str, int | None]]:
    """[(item, time or None)] of SEEN … WITHTIMES, in either protocol."""
    reply = c.call("SEEN", user, "WITHTIMES", *options)
    if reply and isinstance(reply[0], list):
        return [(text(item), number(at)) for item, at in reply]
    return [(text(reply[n]), number(reply[n + 1])) for n in range(0, len(reply), 2)]


def fields(reply) -> dict:
    """A map of either protocol by its names; numbers as floats, where they are."""
    entries = list(reply) if reply and isinstance(reply[0], (tuple, list)) else list(zip(reply[::2], reply[1::2]))
    return {text(key): value for key, value in entries}


def real(value) -> float | None:
    return None if value is None else float(value)


def contributions(found: dict) -> list[tuple[str, float, float]]:
    """[(item, weight, contribution)] of EXPLAIN's reply."""
    given = found["contributions"]
    if given and not isinstance(given[0], (list, tuple)):
        given = [given[n:n + 3] for n in range(0, len(given), 3)]
    return [(text(item), float(weight), float(share)) for item, weight, share in given]


def state_line(c: Connection, index: str) -> dict[str, str]:
    """INFO's line of an index's state."""
    for line in text(c.call("INFO", "state")).splitlines():
        name, _, values = line.partition(":")
        if name == f"state_{index}":
            return dict(v.split("=", 1) for v in values.strip().split(",") if "=" in v)
    raise AssertionError(f"INFO has no state_{index}")


def scores(c: Connection, catalogue: annex.Catalogue, user, *options) -> np.ndarray:
    """The user's score of every item, by row, through SCORE."""
    reply = c.call("SCORE", user, len(catalogue.ids), *catalogue.ids, *options)
    return np.array([float(s) for s in reply])


def ranked_scores(c: Connection, catalogue: annex.Catalogue, user, *options) -> np.ndarray:
    """The same through TOPK with all items as answers, which takes HISTORY."""
    answer = annex.pairs(c.call("TOPK", user, len(catalogue.ids), "TRUTH", "WITHSEEN", "WITHSCORES", *options))
    assert len(answer) == len(catalogue.ids)
    found = np.full(len(catalogue.ids), np.nan)
    for item, score in answer:
        found[catalogue.rows[text(item)]] = score
    assert not np.isnan(found).any()
    return found


class Solver:
    """The vector that some scores follow from: on ip itself, on cosine its direction."""

    def __init__(self, catalogue: annex.Catalogue):
        rows = catalogue.items.astype(np.float64)
        if catalogue.metric == "cosine":
            rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        self.inverse, self.metric = np.linalg.pinv(rows), catalogue.metric

    def vector(self, found: np.ndarray) -> np.ndarray:
        return self.inverse @ found

    def off(self, found: np.ndarray, expected: np.ndarray) -> float:
        """The relative difference of the vector behind the scores from another."""
        if self.metric == "cosine":
            expected = expected / max(np.linalg.norm(expected), 1e-300)
        return float(np.linalg.norm(self.vector(found) - expected) / max(np.linalg.norm(expected), 1e-30))


# --- What should be ----------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """What one version should say of users: trained histories, then state events, less tombstones."""

    catalogue: annex.Catalogue
    method: str = "als"
    regularization: float = 0.7
    alpha: float = 5.0
    cut: int = CUT
    trained: dict[str, dict[int, float]] = field(default_factory=dict)  # user -> row -> weight
    stored: dict[str, np.ndarray] = field(default_factory=dict)  # the trainer's vectors
    events: dict[str, dict[tuple[int, int], float]] = field(default_factory=lambda: defaultdict(dict))
    removed: dict[str, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    forgotten: set[str] = field(default_factory=set)

    def __post_init__(self):
        items = self.catalogue.items.astype(np.float64)
        self.gram = items.T @ items

    # What happened.

    def event(self, user: str, item: str, weight: float, at: int) -> None:
        self.events[user][self.catalogue.rows[item], at] = weight

    def remove(self, user: str, item: str, at: int) -> bool:
        row, had = self.catalogue.rows[item], item in self.items_seen(user)
        self.events[user] = {key: w for key, w in self.events[user].items() if key[0] != row}
        self.removed[user][row] = at
        return had

    def forget(self, user: str) -> None:
        self.events.pop(user, None)
        self.removed.pop(user, None)
        self.forgotten.add(user)

    # What follows.

    def trained_left(self, user: str) -> dict[int, float] | None:
        """The trained history without what was removed; None where there is none."""
        if user in self.forgotten or user not in self.trained:
            return None
        gone = {row for row, at in self.removed.get(user, {}).items()
                if not any(r == row and at < t <= self.cut for r, t in self.events.get(user, {}))}
        return {row: weight for row, weight in self.trained[user].items() if row not in gone}

    def history(self, user: str, session=()) -> dict[int, float] | None:
        """What is folded in; None where the stored vector stands."""
        left = self.trained_left(user)
        if self.method == "none" or (left is None and user in self.stored and user not in self.forgotten):
            return None
        history = dict(left or {})
        for (row, at), weight in sorted(self.events.get(user, {}).items(), key=lambda e: e[0][1]):
            if left is None or at > self.cut:
                history[row] = history.get(row, 0.0) + weight
        for item, weight in session:
            history[self.catalogue.rows[item]] = history.get(self.catalogue.rows[item], 0.0) + weight
        return history

    def vector(self, user: str, session=()) -> np.ndarray | None:
        """None where there is nothing to make one from."""
        stored = None if user in self.forgotten else self.stored.get(user)
        history = self.history(user, session)
        if history is None:
            return stored
        if self.method == "ridge" and stored is not None and history == self.trained.get(user):
            return stored
        return self.solve(history) if history else None

    def system(self, history: dict[int, float]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """The matrix, and each item's part of the right side."""
        items = self.catalogue.items.astype(np.float64)
        identity = self.regularization * np.eye(items.shape[1])
        if self.method == "ridge":
            rows = items[list(history)]
            return rows.T @ rows + identity, {row: weight * items[row] for row, weight in history.items()}
        matrix, sides = self.gram + identity, {}
        for row, weight in history.items():
            confidence = self.alpha * weight
            sides[row] = max(0.0, confidence) * items[row]
            matrix = matrix + (abs(confidence) - 1) * np.outer(items[row], items[row])
        return matrix, sides

    def solve(self, history: dict[int, float]) -> np.ndarray:
        matrix, sides = self.system(history)
        return np.linalg.solve(matrix, np.sum(list(sides.values()), axis=0))

    def shares(self, user: str, item: str) -> dict[str, float]:
        """What each item of the history adds to an item's score."""
        matrix, sides = self.system(self.history(user))
        towards = np.linalg.solve(matrix, self.catalogue.item(item).astype(np.float64))
        return {self.catalogue.ids[row]: float(towards @ side) for row, side in sides.items()}

    def last_events(self, user: str) -> dict[str, int]:
        """Item -> its newest time, of events."""
        newest: dict[str, int] = {}
        for row, at in self.events.get(user, {}):
            item = self.catalogue.ids[row]
            newest[item] = max(at, newest.get(item, at))
        return newest

    def items_seen(self, user: str) -> set[str]:
        return set(self.last_events(user)) | {self.catalogue.ids[row] for row in self.trained_left(user) or {}}

    # What a server says.

    def check_seen(self, answer: list[tuple[str, int | None]], user: str) -> None:
        """`answer` [(item, time)] is what SEEN should say: events newest first, then the trained history."""
        events, items = self.last_events(user), [item for item, _ in answer]
        assert len(items) == len(set(items)), f"an item of {user} came twice"
        assert set(items) == self.items_seen(user), (
            f"{user}: too much {sorted(set(items) - self.items_seen(user))[:5]}, missing {sorted(self.items_seen(user) - set(items))[:5]}")
        times = [at for _, at in answer]
        first = times[:len(events)]
        assert None not in first and first == sorted(first, reverse=True), f"{user}: not newest first: {first}"
        assert times[len(events):] == [None] * (len(items) - len(events))
        for item, at in answer[:len(events)]:
            assert events[item] == at, f"{user}: {item} at {at}, not {events[item]}"


# --- The file, read by LMDB's own Python package -----------------------------------------------------------------------


def stored_events(path: Path) -> list[tuple[str, str, int, float]]:
    """(user, item, time, weight) of every record in a state that nobody writes, checksums left aside."""
    found = []
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=8) as environment:
        with environment.begin() as transaction:
            table = environment.open_db(b"events", transaction, create=False, dupsort=True)
            for key, value in transaction.cursor(table):
                at = int.from_bytes(value[:8], "big") - (1 << 63)
                length = value[8]
                weight = float(np.frombuffer(value[9 + length:17 + length], "<f8")[0])
                found.append((bytes(key).decode(), bytes(value[9:9 + length]).decode(), at, weight))
    return found


def stored_removals(path: Path) -> list[tuple[str, str, int]]:
    """(user, item, time) of every tombstone in a state that nobody writes."""
    found = []
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=8) as environment, environment.begin() as transaction:
        for key, value in transaction.cursor(environment.open_db(b"removed", transaction, create=False, dupsort=True)):
            length = value[0]
            at = int.from_bytes(value[1 + length:9 + length], "big") - (1 << 63)
            found.append((bytes(key).decode(), bytes(value[1:1 + length]).decode(), at))
    return found


def stored_forgotten(path: Path) -> set[bytes]:
    """The hashes of forgotten users: 16 bytes of the SHA-256 of the id."""
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=8) as environment, environment.begin() as transaction:
        return {bytes(key) for key, _ in transaction.cursor(environment.open_db(b"forgotten", transaction, create=False))}


def copy_state(source: Path, target: Path) -> Path:
    """A copy of STATE/NAME without its lock."""
    target.mkdir(parents=True)
    shutil.copyfile(source / STATE, target / STATE)
    return target


# --- Small shops -------------------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """An index on disk with what it was made of; `model()` is what it says of users before anything happened."""

    index: Path
    catalogue: annex.Catalogue
    trained: dict[str, dict[int, float]]
    method: str
    cut: int
    regularization: float = 0.7
    alpha: float = 5.0

    def model(self) -> Model:
        return Model(
            self.catalogue, self.method, self.regularization, self.alpha, self.cut, self.trained,
            {user: self.catalogue.user(user) for user in self.catalogue.user_ids},
        )


def make_catalogue(label: str, metric="ip", items=500, users=60, dimension=16) -> annex.Catalogue:
    """With items whose ids are words of the protocol."""
    catalogue = annex.make_catalogue(label, metric, items=items, users=users, dimension=dimension)
    ids = list(catalogue.ids)
    ids[10:14] = ["WEIGHTS", "AT", "INDEX", "1"]
    return annex.Catalogue(ids, catalogue.items, catalogue.user_ids, catalogue.users, metric)


def make_history(catalogue: annex.Catalogue, label: str) -> dict[str, dict[int, float]]:
    """Every tenth user has none; h0 to h4 have one and no factors; weights of either sign."""
    rng, history = annex.generator(label), {}
    users = [user for n, user in enumerate(catalogue.user_ids) if n % 10] + [f"h{n}" for n in range(5)]
    for user in users:
        rows = rng.choice(len(catalogue.ids), rng.integers(1, 30), replace=False)
        history[user] = {int(row): float(rng.integers(1, 9)) / 2 * (-1 if rng.random() < 0.05 else 1) for row in rows}
    return history


def save_history(path: Path, catalogue: annex.Catalogue, history: dict[str, dict[int, float]], cut=CUT) -> Path:
    path.write_text("".join(f"{user}\t{catalogue.ids[row]}\t{weight!r}\t{cut - row}\n"
                            for user, rows in history.items() for row, weight in rows.items()), encoding="utf-8")
    return path


def make_shop(folder: Path, name: str, *, metric="ip", index="Flat", method="als", history=True, cut=CUT, recall=0.5,
              catalogue: annex.Catalogue | None = None, trained=None, **more) -> Shop:
    catalogue = catalogue or make_catalogue(f"live {name}", metric, **more)
    files = annex.save_catalogue(catalogue, folder / "input" / name)
    if trained is None:
        trained = make_history(catalogue, f"live history {name}") if history else {}
    shop = Shop(folder / "indexes" / name, catalogue, trained, method, cut)
    options = {"index": index, "recall": recall}
    if trained:
        options |= {"history": save_history(folder / "input" / name / "history.tsv", catalogue, trained, cut), "trained_until": cut}
    if method != "none":
        options |= {"fold_in": method, "regularization": shop.regularization}
        options |= {"alpha": shop.alpha} if method == "als" else {}
    annex.built(shop.index, **files, **options)
    return shop
