"""Live users: EVENT, EVENT.DEL, SEEN, FORGET, EXPLAIN, WHYNOT, HISTORY, WITHSEEN and what SCORE and TOPK make of them.

Truth is the trainer's equations in NumPy, float64, over what the test itself sent. A server's vector is read through its
scores: those of all items determine it. ANNEX_LIVE_STEPS sets how many random changes are made.
"""

import hashlib
import socket
import struct
import threading
import time
from dataclasses import dataclass

import lmdb
import numpy as np
import pytest
import redis
from redis.exceptions import ResponseError

import annex
import live
from annex import Server, ServerError, built, encode, pairs
from live import CUT, Model, Shop, Solver, event, fields, real, seen, serve, text

DAY = 86_400_000
INT64 = 1 << 63


@dataclass
class Place:
    shop: Shop
    model: Model
    solver: Solver
    server: Server

    def check_vector(self, c, user: str, within=1e-5, session=(), options=()) -> float:
        """The vector behind the scores of `user` is the model's; the relative difference."""
        expected = self.model.vector(user, session)
        assert expected is not None
        read = live.ranked_scores if session else live.scores
        words = [*options, *history_words(session)]
        off = self.solver.off(read(c, self.shop.catalogue, user, *words), expected)
        assert off < within, f"{user}'s vector is off by {off:.2e}"
        return off

    def check_top(self, c, user: str, k=20, session=(), options=()) -> None:
        leave_out = self.model.items_seen(user) | {item for item, _ in session}
        answer = pairs(c.call("TOPK", user, k, "TRUTH", "WITHSCORES", *options, *history_words(session)))
        self.shop.catalogue.check_exact(answer, self.model.vector(user, session), k, leave_out=leave_out)

    def check(self, c, user: str, within=1e-5) -> None:
        self.model.check_seen(seen(c, user), user)
        self.check_vector(c, user, within)
        self.check_top(c, user)


def history_words(session) -> list:
    if not session:
        return []
    return ["HISTORY", len(session), *[i for i, _ in session], "WEIGHTS", *[repr(float(w)) for _, w in session]]


def place_of(folder, name, options=(), **shop):
    made = live.make_shop(folder / "live", name, **shop)
    server = serve(made.index, state=folder / "live" / "state", log=folder / f"live-{name}.log", options=options)
    return Place(made, made.model(), Solver(made.catalogue), server)


@pytest.fixture(scope="module")
def als(folder):
    place = place_of(folder, "als")
    with place.server:
        yield place


@pytest.fixture
def c(als):
    with als.server.connect() as connection:
        yield connection


@pytest.fixture
def items(als):
    return als.shop.catalogue.ids


# --- What events do ----------------------------------------------------------------------------------------------------


def test_before_any_event(als, c):
    """Trained histories count as seen, and vectors are those of the build."""
    for user in ("u1", "u9", "h2"):
        als.check(c, user, within=1e-6)
    assert seen(c, "u10") == [] and len(c.call("TOPK", "u10", 10)) == 10
    als.check_vector(c, "u10", within=1e-6)
    for words in (("TOPK", "nobody", 5), ("SCORE", "nobody", 1, "1"), ("EXPLAIN", "nobody", "1"), ("WHYNOT", "nobody", "1", 5)):
        assert c.error(*words).code == "NOUSER"


def test_the_first_event_makes_a_new_user(als, c, items):
    event(c, "first", items[40], 2, CUT + 5)
    als.model.event("first", items[40], 2, CUT + 5)
    als.check(c, "first")
    assert c.call("SEEN", "first") == [items[40].encode()]


@pytest.mark.parametrize("user", ["u21", "h1", "newcomer", "u20"])
def test_trained_until_parts_what_is_known_from_what_is_new(als, c, items, user):
    """At T an event is in the trained history already, at T + 1 it is not. New users have no such history."""
    for place, at in enumerate((0, 1, 99_999_999, CUT - 1, CUT, CUT + 1, CUT + 2, 4_102_444_799_999)):
        item = items[60 + place]
        event(c, user, item, 1 + place / 4, at)
        als.model.event(user, item, 1 + place / 4, at)
        als.check(c, user)
        assert (item, at) in seen(c, user)


def test_the_same_time_replaces_and_other_times_add_up(als, c, items):
    for user in ("u22", "adder"):
        for weight, at in ((2, CUT + 7), (5, CUT + 7), (5, CUT + 7), (1, CUT + 8), (-0.5, CUT + 9), (0.125, CUT + 7)):
            event(c, user, items[50], weight, at)
            als.model.event(user, items[50], weight, at)
            als.check_vector(c, user)
        als.check(c, user)
        found = fields(c.call("EXPLAIN", user, items[51], "COUNT", 1000))
        weights = {item: weight for item, weight, _ in live.contributions(found)}
        assert weights[items[50]] == pytest.approx(als.model.history(user)[50], rel=1e-6)


def test_events_without_a_time_are_stamped_once_and_add_up(als, c, items):
    before = live.now()
    c.send(encode("EVENT", "stamped", items[5]) * 50 + encode("EVENT", "stamped", items[6], 3))
    assert [c.read() for _ in range(51)] == ["OK"] * 51
    after = live.now()
    (first, at), (second, then) = sorted(seen(c, "stamped"), key=lambda e: e[0] != items[6])
    assert (first, second) == (items[6], items[5])
    # Each comes a millisecond behind the user's newest, so that they stay in the order in which they came.
    assert before - 2 <= then < at <= after + 60
    als.model.event("stamped", items[5], 50, then)
    als.model.event("stamped", items[6], 3, at)
    als.check_vector(c, "stamped")


def test_a_stamp_never_replaces_an_event_with_a_time(als, c, items):
    ahead = live.now()
    c.send(b"".join(encode("EVENT", "ahead", items[7], "1", "AT", ahead + n) for n in range(1000)))
    c.send(encode("EVENT", "ahead", items[7], 10) * 20)
    assert all(c.read() == "OK" for _ in range(1020))
    als.model.event("ahead", items[7], 1000 + 200, ahead)
    als.check_vector(c, "ahead")


def test_an_unknown_item_stores_nothing(als, c):
    before = live.state_line(c, "als")["events"]
    for item in ("no such item", "é" * 100):
        assert c.error("EVENT", "u23", item).code == "NOITEM"
        assert c.error("EVENT", "unheard", item, 2, "AT", 5).code == "NOITEM"
    als.check(c, "u23")
    assert c.call("SEEN", "unheard") == [] and c.error("TOPK", "unheard", 5).code == "NOUSER"
    assert live.state_line(c, "als")["events"] == before


def test_the_order_of_events_does_not_matter(als, c, items):
    """Times and weights are the events' own, so that any order of arrival gives one vector."""
    rng = annex.generator("orders")
    events = [(items[int(rng.integers(100, 130))], float(rng.integers(1, 9)) / 4, CUT + int(rng.integers(-3, 40))) for _ in range(60)]
    events = list({(item, at): (item, weight, at) for item, weight, at in events}.values())
    found = []
    for turn in range(6):
        user, order = f"order{turn}", [events, events[::-1], *[rng.permutation(len(events)) for _ in range(4)]][turn]
        for e in order if turn < 2 else [events[n] for n in order]:
            event(c, user, *e)
        found.append(als.solver.vector(live.scores(c, als.shop.catalogue, user)))
    for item, weight, at in events:
        als.model.event("order0", item, weight, at)
    als.check_vector(c, "order0")
    for vector in found[1:]:
        assert np.linalg.norm(vector - found[0]) <= 1e-6 * np.linalg.norm(found[0])


def test_a_user_with_factors_and_no_history_keeps_them(als, c, items):
    """Folding in without the trained history would forget it: events only mark items as seen."""
    event(c, "u30", items[44], 3, CUT + 1)
    event(c, "u30", items[45])
    found = als.solver.vector(live.scores(c, als.shop.catalogue, "u30"))
    assert np.linalg.norm(found - als.shop.catalogue.user("u30")) < 1e-6 * np.linalg.norm(found)
    assert c.call("SEEN", "u30") == [items[45].encode(), items[44].encode()]
    assert not {items[44].encode(), items[45].encode()} & set(c.call("TOPK", "u30", 498))
    assert len(c.call("TOPK", "u30", 500)) == 498 and len(c.call("TOPK", "u30", 500, "WITHSEEN")) == 500


def test_a_read_follows_its_write_in_a_pipeline(als, c, items):
    """Replies keep their order, and what comes after an EVENT in one pipeline sees it."""
    c.send(b"".join(encode("EVENT", "pipe", items[n], 1, "AT", CUT + n) + encode("SEEN", "pipe", "COUNT", 1) + encode("TOPK", "pipe", 400)
                    for n in range(100)))
    for n in range(100):
        assert c.read() == "OK" and c.read() == [items[n].encode()]
        assert not {i.encode() for i in items[:n + 1]} & set(c.read())


# --- EVENT.DEL and FORGET ----------------------------------------------------------------------------------------------


def test_a_tombstone_takes_an_item_out(als, c, items):
    trained = als.shop.catalogue.ids[next(iter(als.shop.trained["u24"]))]
    assert trained.encode() in c.call("SEEN", "u24")
    for item, at in ((items[70], CUT + 1), (items[70], CUT - 1), (trained, CUT + 1)):
        event(c, "u24", item, 2, at)
        als.model.event("u24", item, 2, at)
    for item in (trained, items[70]):
        als.check(c, "u24")
        assert c.call("EVENT.DEL", "u24", item) == 1
        als.model.remove("u24", item, live.now())
        als.check(c, "u24")
        assert item.encode() not in c.call("SEEN", "u24")
        assert c.call("EVENT.DEL", "u24", item) == 0, "it is gone already"
    assert trained.encode() in c.call("TOPK", "u24", 500)
    # An event that comes later counts alone.
    for item in (trained, items[70]):
        event(c, "u24", item, 0.5, CUT + 3)
        als.model.event("u24", item, 0.5, CUT + 3)
        als.check(c, "u24")
    assert als.model.history("u24")[als.shop.catalogue.rows[trained]] == 0.5


def test_a_trained_item_is_removed_without_any_event(als, c):
    rows = list(als.shop.trained["u25"])
    for row in rows[:-1]:
        assert c.call("EVENT.DEL", "u25", als.shop.catalogue.ids[row]) == 1
        als.model.remove("u25", als.shop.catalogue.ids[row], live.now())
    als.check(c, "u25")
    # With the last item no history is left: nothing may draw on it any more.
    assert c.call("EVENT.DEL", "u25", als.shop.catalogue.ids[rows[-1]]) == 1
    assert c.call("SEEN", "u25") == []
    try:
        assert not np.any(live.scores(c, als.shop.catalogue, "u25")), "scores without any history"
    except ServerError as error:
        assert error.code == "NOUSER"


def test_deleting_what_is_not_there(als, c, items):
    assert c.call("EVENT.DEL", "never", items[0]) == 0
    assert c.call("SEEN", "never") == [] and c.error("TOPK", "never", 3).code == "NOUSER"
    try:
        assert c.call("EVENT.DEL", "u26", "no such item") == 0
    except ServerError as error:
        assert error.code == "NOITEM"
    als.check(c, "u26")


def test_a_forgotten_user_is_nobody(als, c, items):
    for user in ("u27", "u40", "h3", "brief"):
        event(c, user, items[90], 2, CUT + 1)
        assert c.call("FORGET", user) == 1
        als.model.forget(user)
        assert c.call("SEEN", user) == [], "what was trained is forgotten as well"
        for words in (("TOPK", user, 5), ("SCORE", user, 1, "1"), ("EXPLAIN", user, "1"), ("WHYNOT", user, "1", 5)):
            assert c.error(*words).code == "NOUSER"
        assert c.call("MTOPK", 2, user, "u1", 3)[0] is None
        assert c.call("FORGET", user) == 0
        # What comes later makes a new user, of the events alone, whatever their times.
        for place, at in enumerate((CUT - 5, CUT, CUT + 5, live.now())):
            event(c, user, items[91 + place], 2, at)
            als.model.event(user, items[91 + place], 2, at)
            als.check(c, user)
    assert c.call("FORGET", "nobody at all") == 0


def test_what_forgetting_leaves_behind(tmp_path, fact):
    """No event and no tombstone, and of the id a hash. Whether the id itself is left anywhere is reported."""
    shop = live.make_shop(tmp_path, "gone", items=40, users=11)
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect() as c:
        for n in range(30):
            event(c, "somebody-unique", shop.catalogue.ids[n])
        assert c.call("EVENT.DEL", "somebody-unique", shop.catalogue.ids[3]) == 1
        assert c.call("FORGET", "somebody-unique") == 1
        event(c, "another-unique", shop.catalogue.ids[0])
    path, holding = tmp_path / "state" / "gone" / live.STATE, []
    assert [(user, item) for user, item, _, _ in live.stored_events(path)] == [("another-unique", shop.catalogue.ids[0])]
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=8) as file, file.begin() as transaction:
        for name in [bytes(key) for key, _ in transaction.cursor()]:
            table = file.open_db(name, transaction, create=False, dupsort=name in (b"events", b"removed"))
            if any(b"somebody" in bytes(k) + bytes(v) for k, v in transaction.cursor(table)):
                holding.append(name.decode())
    assert not {"events", "removed", "forgotten"} & set(holding)
    fact(f"after FORGET the id is left in the tables {holding}, and {path.read_bytes().count(b'somebody-unique')} times in all pages, free ones too")


def test_a_trained_until_in_the_future_lifts_tombstones(folder, tmp_path):
    """An event later than the tombstone and not after T says that the item came back before the cut."""
    cut = live.now() + DAY
    shop = live.make_shop(tmp_path, "ahead", items=60, users=11, cut=cut)
    model, solver = shop.model(), Solver(shop.catalogue)
    place = Place(shop, model, solver, None)
    rows = list(shop.trained["u1"])
    item = shop.catalogue.ids[rows[0]]
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect() as c:
        assert c.call("EVENT.DEL", "u1", item) == 1
        model.remove("u1", item, live.now())
        model.check_seen(seen(c, "u1"), "u1")
        early = live.now() - DAY
        event(c, "u1", item, 9, early)  # before the tombstone: the item stays removed from what was trained
        model.event("u1", item, 9, early)
        assert item.encode() in c.call("SEEN", "u1")
        if len(rows) > 1:
            place.check_vector(c, "u1")
        late = cut - 1000
        event(c, "u1", item, 9, late)  # after it and before T: the trained weight stands, as it has this event
        model.event("u1", item, 9, late)
        assert model.history("u1") == shop.trained["u1"]
        place.check(c, "u1")
        event(c, "u1", item, 9, cut + 1)
        model.event("u1", item, 9, cut + 1)
        place.check(c, "u1")


# --- SEEN --------------------------------------------------------------------------------------------------------------


def test_seen_is_newest_first_each_item_once(als, c, items):
    for n, at in ((1, 10), (2, 30), (3, 20), (1, 40), (2, 5)):
        event(c, "u28", items[140 + n], 1, CUT + at)
        als.model.event("u28", items[140 + n], 1, CUT + at)
    answer = seen(c, "u28")
    als.model.check_seen(answer, "u28")
    assert answer[:3] == [(items[141], CUT + 40), (items[142], CUT + 30), (items[143], CUT + 20)]
    plain = [text(item) for item in c.call("SEEN", "u28")]
    assert plain == [item for item, _ in answer]
    for count in (1, 2, 3, 4, len(plain) - 1, len(plain), len(plain) + 1, 10_000):
        assert [text(i) for i in c.call("SEEN", "u28", "COUNT", count)] == plain[:count]
        assert seen(c, "u28", "COUNT", count) == answer[:count]
    c.call("HELLO", 3)
    assert seen(c, "u28", "COUNT", 4) == answer[:4] and all(len(pair) == 2 for pair in c.call("SEEN", "u28", "WITHTIMES"))


def test_a_trained_item_with_an_event_comes_once(als, c):
    row = next(iter(als.shop.trained["u29"]))
    item = als.shop.catalogue.ids[row]
    event(c, "u29", item, 1, CUT + 3)
    als.model.event("u29", item, 1, CUT + 3)
    als.check(c, "u29")
    assert seen(c, "u29")[0] == (item, CUT + 3)


# --- Always K answers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric, kind, engine", [
    ("ip", "Flat", "annex"), ("ip", "HNSW16", "annex"), ("ip", "IVF8,SQ8", "annex"), ("ip", "IVF8,PQ8", "annex"), ("cosine", "HNSW16,SQ8", "annex"),
    ("cosine", "IVF8,Flat", "annex"), ("ip", "HNSW16", "faiss"), ("ip", "IVF8,SQ8", "faiss"), ("cosine", "Flat", "faiss"),
])
def test_always_k_answers_while_k_are_eligible(folder, metric, kind, engine):
    """However much was seen: its best items, random ones, nearly all."""
    name = f"{engine}-{metric}-{kind.replace(',', '-')}"
    place = place_of(folder, name, ["--engine", engine, "--threads", 1], metric=metric, index=kind)
    shop, model = place.shop, place.model
    everything = shop.catalogue.ids
    with place.server as server, server.connect() as c:
        orders = {user: annex.generator(name + user).permutation(500)[:count].tolist()
                  for user, count in (("few", 3), ("many", 455), ("most", 497), ("all", 500))}
        # What somebody like this one would get.
        orders["some"] = [shop.catalogue.rows[i] for i in shop.catalogue.order(model.vector("u1"))[:120]]
        live.events_at_once(server, [(user, everything[n], 1, CUT + 1) for user, order in orders.items() for n in order])
        for user, order in orders.items():
            count = len(order)
            for n in order:
                model.event(user, everything[n], 1, CUT + 1)
            left = 500 - count
            out = {everything[n].encode() for n in order}
            efforts = [[], ["TRUTH"], *[[["EF", 1]] if "HNSW" in kind else [["NPROBE", 1], ["KAPPA", 0.05]] if kind == "IVF8,SQ8" and engine == "annex" else []][0]]
            for effort in efforts:
                for k in {1, 10, 45, max(1, left), min(left + 1, 500), 10_000}:
                    answer = c.call("TOPK", user, k, *effort)
                    assert len(answer) == len(set(answer)) == min(k, left), f"{user} {effort} k={k}: {len(answer)} of {left}"
                    assert not out & set(answer)
                assert len(c.call("TOPK", user, 500, "WITHSEEN", *effort)) == 500
            if left > 5:
                five = [i for i in everything if i.encode() not in out][:5]
                more = [everything[order[0]], *five, "no such item", five[0]]
                answer = c.call("TOPK", user, 500, "EXCLUDE", len(more), *more)
                assert len(answer) == left - 5 and not {i.encode() for i in five} & set(answer)
            place.check_vector(c, user)
            place.check_top(c, user, k=30)


# --- HISTORY -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["anonymous", "u31", "h4"])
def test_a_temporary_history_is_folded_in_and_not_stored(als, c, items, user):
    before = live.state_line(c, "als")["events"]
    had = c.call("SEEN", user)
    for count in (1, 2, 17, 200):
        session = [(items[200 + n], 1 + n % 5 / 2) for n in range(count)]
        als.check_vector(c, user, session=session)
        als.check_top(c, user, session=session)
        plain = [(item, 1.0) for item, _ in session]
        answer = pairs(c.call("TOPK", user, 20, "TRUTH", "WITHSCORES", "HISTORY", count, *[i for i, _ in plain]))
        als.shop.catalogue.check_exact(answer, als.model.vector(user, plain), 20, leave_out=als.model.items_seen(user) | {i for i, _ in plain})
    assert c.call("SEEN", user) == had and live.state_line(c, "als")["events"] == before


def test_a_temporary_history_and_events_add_up(als, c, items):
    event(c, "u32", items[150], 2, CUT + 1)
    als.model.event("u32", items[150], 2, CUT + 1)
    session = [(items[150], 1.5), (items[151], 1.0), (items[150], 0.25)]
    als.check_vector(c, "u32", session=session)
    als.check_top(c, "u32", session=session)
    als.check(c, "u32")


def test_histories_of_any_length(als, c, items):
    assert c.error("TOPK", "anonymous", 5, "HISTORY", 0).code == "NOUSER"
    assert c.call("TOPK", "u33", 5, "HISTORY", 0) == c.call("TOPK", "u33", 5)
    many = [items[n % 400] for n in range(65_000)]
    answer = pairs(c.call("TOPK", "anonymous", 20, "TRUTH", "WITHSCORES", "HISTORY", len(many), *many))
    session = [(items[n], float(sum(1 for k in range(n, 65_000, 400)))) for n in range(400)]
    als.shop.catalogue.check_exact(answer, als.model.vector("anonymous", session), 20, leave_out=set(items[:400]))
    # Ids that are words of the protocol are ids.
    answer = c.call("TOPK", "anonymous", 500, "HISTORY", 3, "WEIGHTS", "AT", "INDEX", "WEIGHTS", 1, 2, 3)
    assert len(answer) == 497
    over = many[:65_536]
    c.send(encode("TOPK", "anonymous", 5, "HISTORY", 65_536, *over, *over[:536]))
    assert isinstance(c.read(), ServerError)
    als.server.assert_alive()


@pytest.mark.parametrize("words", [
    ["HISTORY"], ["HISTORY", "x"], ["HISTORY", -1], ["HISTORY", 1], ["HISTORY", 2, "1"], ["HISTORY", INT64 - 1, "1"],
    ["HISTORY", -INT64, "1"], ["HISTORY", INT64, "1"], ["HISTORY", 1, "1", "WEIGHTS"], ["HISTORY", 2, "1", "AT", "WEIGHTS", 1],
    ["HISTORY", 1, "1", "WEIGHTS", "nan"], ["HISTORY", 1, "1", "WEIGHTS", "inf"], ["HISTORY", 1, "1", "WEIGHTS", "-inf"],
    ["HISTORY", 1, "1", "WEIGHTS", "1e39"], ["HISTORY", 1, "1", "WEIGHTS", "x"], ["HISTORY", 1, "1", "WEIGHTS", "1", "2"],
    ["WEIGHTS", "1"], ["HISTORY", 1, "1", "HISTORY", 1, "1"], ["WITHSEEN", "WITHSEEN"], ["HISTORY", 1, ""],
])
def test_histories_that_are_refused(als, c, words):
    c.error("TOPK", "u34", 5, *words)
    c.error("MTOPK", 1, "u34", 5, *words)
    als.check(c, "u34")


# --- Limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    ["EVENT"], ["EVENT", "u35"], ["EVENT", "u35", "1", "nan"], ["EVENT", "u35", "1", "inf"], ["EVENT", "u35", "1", "-inf"],
    ["EVENT", "u35", "1", "1e400"], ["EVENT", "u35", "1", "1.0001e30"], ["EVENT", "u35", "1", "-3.4e38"], ["EVENT", "u35", "1", ""], ["EVENT", "u35", "1", "x"], ["EVENT", "u35", "1", "1,5"],
    ["EVENT", "u35", "1", " 1"], ["EVENT", "u35", "1", "1", "AT"], ["EVENT", "u35", "1", "1", "AT", "1.5"],
    ["EVENT", "u35", "1", "1", "AT", INT64], ["EVENT", "u35", "1", "1", "AT", -INT64 - 1], ["EVENT", "u35", "1", "1", "AT", ""],
    ["EVENT", "u35", "1", "1", "AT", "now"], ["EVENT", "u35", "1", "1", "AT", 5, "AT", 6], ["EVENT", "u35", "1", "1", "2"],
    ["EVENT", "u35", "1", "1", "EX", "2"], ["EVENT", "u35", "1", "INDEX"], ["EVENT", "u35", "1", "INDEX", "absent"],
    ["EVENT", "", "1"], ["EVENT", "u35", ""], ["EVENT", "x" * 256, "1"], ["EVENT", "u35", "x" * 256], ["EVENT", b"\xff\xfe", "1"],
    ["EVENT", "u35", b"\xc3"], ["EVENT.DEL", "u35"], ["EVENT.DEL", "u35", "1", "2"], ["EVENT.DEL", "u35", "1", "INDEX"],
    ["EVENT.DEL", "u35", "1", "INDEX", "absent"], ["EVENT.DEL", "u35", "1", "AT", "5"], ["FORGET"], ["FORGET", "u35", "now"],
    ["FORGET", "u35", "INDEX", "absent"], ["SEEN"], ["SEEN", "u35", "COUNT"], ["SEEN", "u35", "COUNT", 0], ["SEEN", "u35", "COUNT", -1],
    ["SEEN", "u35", "COUNT", "x"], ["SEEN", "u35", "COUNT", INT64], ["SEEN", "u35", "COUNT", 1_000_001], ["SEEN", "u35", "COUNT", -INT64], ["SEEN", "u35", "WITHTIMES", "WITHTIMES"],
    ["SEEN", "u35", "COUNT", 1, "COUNT", 1], ["SEEN", "u35", "INDEX", "absent"], ["SEEN", "u35", "x"], ["EXPLAIN", "u35"],
    ["EXPLAIN", "u35", "1", "COUNT", 0], ["EXPLAIN", "u35", "1", "COUNT", INT64 - 1], ["EXPLAIN", "u35", "1", "WITHTIMES"],
    ["EXPLAIN", "u35", "1", "INDEX", "absent"], ["WHYNOT", "u35", "1"], ["WHYNOT", "u35", "1", 0], ["WHYNOT", "u35", "1", 10_001],
    ["WHYNOT", "u35", "1", -1], ["WHYNOT", "u35", "1", INT64 - 1], ["WHYNOT", "u35", "1", 5, "EXCLUDE", 2, "1"],
    ["WHYNOT", "u35", "1", 5, "WITHSEEN", "WITHSEEN"], ["WHYNOT", "u35", "1", 5, "INDEX", "absent"], ["TOPK", "u35", 0],
    ["TOPK", "u35", 10_001], ["TOPK", "u35", -1], ["TOPK", "u35", INT64 - 1], ["TOPK", "u35", INT64], ["MTOPK", 11, *["u35"] * 11, 10_000],
    ["MTOPK", 101, *["u35"] * 101, 5, "HISTORY", 1000, *["1"] * 1000],
])
def test_what_is_refused_changes_nothing(als, c, words):
    c.error(*words)
    als.check(c, "u35")


def test_limits_themselves_are_allowed(als, c, items):
    longest = "ü" * 127 + "x"  # 255 bytes
    # Alpha is 5, and alpha × weight at most 1e6.
    for user, weight, at in ((longest, 200_000, 5), ("x", -200_000, 0), ("\x01\n\r", 1e-45, 4_102_444_799_999), ("x", 0, 0)):
        event(c, user, items[3], weight, at)
        assert (items[3], at) in seen(c, user) or user == "x"
    for weight in (200_000.1, -200_001, 1e18, 1e30, -1e30):
        assert "a weight is at most 200000" in str(c.error("EVENT", "x", items[3], weight, "AT", 6))
    for user in (longest, "x", "\x01\n\r"):  # whatever it makes of them, it lives
        c.send(encode("TOPK", user, 5, "WITHSCORES") + encode("EXPLAIN", user, items[1]) + encode("WHYNOT", user, items[1], 5) + encode("PING"))
        replies = [c.read() for _ in range(4)]
        assert replies[-1] == "PONG"
        if not isinstance(replies[0], ServerError):
            assert all(np.isfinite(score) for _, score in pairs(replies[0])), f"{user!r} has scores that are no numbers"
    assert len(c.call("TOPK", "u35", 10_000)) == 500 - len(als.model.items_seen("u35"))
    assert len(c.call("MTOPK", 10, *["u35"] * 10, 10_000)) == 10
    assert len(c.call("SEEN", "u35", "COUNT", 1_000_000)) == len(als.model.items_seen("u35"))
    assert len(c.call("MTOPK", 100, *["u35"] * 100, 5, "HISTORY", 1000, *["1"] * 1000)) == 100
    out = items[:400] + [f"unknown {n}" for n in range(9_600)]
    answer = c.call("TOPK", "u35", 500, "EXCLUDE", 10_000, *out)
    assert len(answer) == len(set(items[400:]) - als.model.items_seen("u35")) and not {i.encode() for i in items[:400]} & set(answer)
    found = fields(c.call("WHYNOT", "u35", items[0], 10_000, "EXCLUDE", 10_000, *out))
    assert found["reason"] in (b"excluded", b"seen")
    als.server.assert_alive()


# --- Clients -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(als, protocol, items):
    user = f"redis{protocol}"
    with redis.Redis(port=als.server.port, protocol=protocol, socket_timeout=10, decode_responses=True) as r:
        assert r.execute_command("EVENT", user, items[3], 2.5, "AT", CUT + 9) in ("OK", True)
        assert r.execute_command("EVENT", user, items[4]) in ("OK", True)
        assert r.execute_command("SEEN", user) == [items[4], items[3]]
        times = r.execute_command("SEEN", user, "WITHTIMES")
        if protocol == 2:
            assert times[0] == items[4] and times[2:] == [items[3], times[3]] and int(times[3]) == CUT + 9
        else:
            assert times[1] == [items[3], CUT + 9]
        trained = r.execute_command("SEEN", "u36", "WITHTIMES")
        assert trained[1] is None if protocol == 2 else trained[0][1] is None
        als.model.event(user, items[3], 2.5, CUT + 9)
        als.model.event(user, items[4], 1, CUT + 10)
        answer = pairs(r.execute_command("TOPK", user, 10, "TRUTH", "WITHSCORES"))
        als.shop.catalogue.check_exact(answer, als.model.vector(user), 10, leave_out=set(items[3:5]))
        explained = r.execute_command("EXPLAIN", user, items[9])
        explained = explained if isinstance(explained, dict) else dict(zip(explained[::2], explained[1::2]))
        assert set(explained) == {"score", "method", "events", "baseline", "contributions", "rest"} and float(explained["baseline"]) == 0
        assert explained["method"] == "als" and int(explained["events"]) == 2
        why = r.execute_command("WHYNOT", user, items[3], 10)
        why = why if isinstance(why, dict) else dict(zip(why[::2], why[1::2]))
        assert set(why) == {"reason", "rank", "score", "kth-score"} and why["reason"] == "seen"
        assert r.execute_command("EVENT.DEL", user, items[3]) in (1, True)
        assert r.execute_command("FORGET", user) in (1, True)
        with pytest.raises(ResponseError, match="NOUSER"):
            r.execute_command("TOPK", user, 10)
        with pytest.raises(ResponseError, match="NOITEM"):
            r.execute_command("EVENT", user, "no such item")
        table = {str(name).lower(): entry for name, entry in r.command().items()}
        for name in ("event", "event.del", "seen", "forget", "explain", "whynot"):
            assert table[name]["first_key_pos"] == 1 and r.command_getkeys(name, "ann", "x", "3") == ["ann"], name
        flags = {name: {str(f) for f in table[name]["flags"]} for name in ("event", "event.del", "forget", "seen", "topk")}
        assert all("write" in flags[name] for name in ("event", "event.del", "forget")) and "readonly" in flags["seen"]


def test_a_plain_line_is_enough(als, items):
    with als.server.connect() as c:
        c.send(b"EVENT line 1 2 AT 1700000000009\r\nSEEN line WITHTIMES\r\n")
        assert c.read() == "OK" and text(c.read()[0]) == "1"


def test_a_read_on_another_connection_sees_an_acknowledged_write(als, items, fact):
    """As many connections as there could be event loops, several times over."""
    connections = [als.server.connect() for _ in range(16)]
    rng, wrong = annex.generator("other connections"), 0
    for n in range(400):
        writer, reader = (connections[int(k)] for k in rng.choice(16, 2, replace=False))
        item, user = items[n], f"other{n % 3}"
        event(writer, user, item, 1, CUT + n)
        wrong += reader.call("SEEN", user, "COUNT", 1) != [item.encode()]
        wrong += item.encode() in reader.call("TOPK", user, 500)
        if n % 10 == 9:
            assert writer.call("EVENT.DEL", user, item) == 1
            wrong += item.encode() in reader.call("SEEN", user)
            wrong += item.encode() not in reader.call("TOPK", user, 500)
    for connection in connections:
        connection.socket.close()
    fact(f"reads on another connection after an acknowledged write: 880, {wrong} stale")
    assert wrong == 0


def test_events_of_many_connections_on_one_item_add_up(als, items):
    def send(n):
        with als.server.connect(timeout=30) as c:
            c.send(encode("EVENT", "crowded", items[20]) * 100 + encode("EVENT", "crowded", items[20], 1, "AT", n))
            replies.extend(c.read() for _ in range(101))

    replies: list = []
    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert replies == ["OK"] * 808
    als.model.event("crowded", items[20], 808, CUT + 1)
    with als.server.connect() as c:
        als.check_vector(c, "crowded")
        found = fields(c.call("EXPLAIN", "crowded", items[21]))
        assert [(i, w) for i, w, _ in live.contributions(found)] == [(items[20], 808.0)]


# --- Replies that have to wait -----------------------------------------------------------------------------------------


def test_replies_keep_their_order(als, c, items):
    """Events wait for the disk, long histories are worked out elsewhere, a PING is ready at once: all come in order."""
    rng, expected = annex.generator("order of replies"), []
    long = [items[n % 300] for n in range(3000)]
    for n in range(300):
        kind = int(rng.integers(6))
        words, reply = [
            (("EVENT", "inorder", items[n], 1, "AT", CUT + n), "OK"), (("ECHO", f"number {n}"), f"number {n}".encode()),
            (("TOPK", "inorder-absent", 4, "HISTORY", 3000, *long), 4), (("SEEN", "inorder-absent"), []),
            (("WHYNOT", "u1", "no such item", 3), 8), (("MTOPK", 2, "u1", "inorder-absent", 3, "HISTORY", 3000, *long), 2),
        ][kind]
        c.send(encode(*words))
        expected.append(reply)
    for n, wanted in enumerate(expected):
        reply = c.read()
        assert (len(reply) if isinstance(wanted, int) else reply) == wanted, f"reply {n}: {reply!r:.100}"


@pytest.mark.parametrize("end", ["quit", "half-close", "reset"])
def test_an_event_before_the_end_of_a_connection(als, items, end):
    """`printf 'EVENT …' | nc` closes its half at once: the answer comes all the same, and then the end."""
    user = f"ending-{end}"
    with als.server.connect() as c:
        c.send(b"".join(encode("EVENT", user, items[n], 1, "AT", CUT + n) for n in range(5)))
        if end == "half-close":
            c.socket.shutdown(socket.SHUT_WR)
        else:
            c.send(encode(end.upper()))
        assert [c.read() for _ in range(5)] == ["OK"] * 5
        if end == "quit":
            assert c.read() == "OK"
        if end == "reset":
            assert c.read() == "RESET" and c.call("PING") == "PONG"
        else:
            assert c.at_end()
    with als.server.connect() as c:
        assert len(c.call("SEEN", user)) == 5


def test_a_new_protocol_after_an_event(als, c, items):
    c.send(encode("EVENT", "hello", items[0], 1, "AT", 7) + encode("SEEN", "hello", "WITHTIMES") + encode("HELLO", 3)
           + encode("EVENT", "hello", items[0], 1, "AT", 8) + encode("SEEN", "hello", "WITHTIMES") + encode("EVENT.DEL", "hello", items[0])
           + encode("HELLO", 2) + encode("EXPLAIN", "u1", items[0], "COUNT", 1))
    assert c.read() == "OK" and [text(v) for v in c.read()] == [items[0], "7"]
    assert isinstance(c.read(), annex.Pairs) and c.read() == "OK" and c.read() == [[items[0].encode(), 8]]
    assert c.read() in (1, True) and not isinstance(c.read(), annex.Pairs)
    explained = c.read()
    assert isinstance(explained, list) and not isinstance(explained, annex.Pairs) and explained[0] == b"score"


def test_replies_that_nobody_wants(als, c, items):
    """CLIENT REPLY SKIP and OFF hold for answers that come later as well."""
    c.send(encode("CLIENT", "REPLY", "SKIP") + encode("EVENT", "skipped", items[0]) + encode("PING"))
    assert c.read() == "PONG"
    c.send(encode("CLIENT", "REPLY", "OFF") + encode("EVENT", "skipped", items[1]) + encode("EVENT.DEL", "skipped", items[0])
           + encode("FORGET", "nobody") + encode("CLIENT", "REPLY", "ON") + encode("SEEN", "skipped"))
    assert c.read() == "OK" and c.read() == [items[1].encode()]


def test_clients_that_hang_up(als, items, fact):
    """Events of clients that are gone before the answer: stored or not, whole, and nothing is left of the connection."""
    before = als.server.descriptors()
    for n in range(300):
        c = als.server.connect()
        c.send(encode("EVENT", "gone", items[n], 1, "AT", CUT + n) + encode("TOPK", "gone", 10, "HISTORY", 2, items[0], items[1]))
        if n % 2:
            c.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.socket.close()
    with als.server.connect() as c:
        kept = seen(c, "gone")
        assert set(kept) <= {(items[n], CUT + n) for n in range(300)}
    annex.wait_until(lambda: als.server.descriptors() <= before + 2, 10, "the connections are gone")
    als.server.assert_alive()
    fact(f"clients that hung up after an EVENT: 300, {len(kept)} of their events stored")


def test_what_is_kept_in_memory_follows_the_file(tmp_path, fact):
    """Many connections change and read the same few users at once; in the end each answer is what follows from the file, as LMDB's
    own Python package reads it."""
    place = place_of(tmp_path, "races")
    items, path = place.shop.catalogue.ids, tmp_path / "live" / "state" / "races" / live.STATE
    users = ["u1", "u2", "u10", "h1", "race0", "race1"]
    some = {user: [items[row] for row in list(place.shop.trained.get(user, {}))[:4]] + items[:8] for user in users}
    failures, rounds, changed, read = [], 3, [0], [0]

    def change(number, turn):
        rng = annex.generator(f"race {number} {turn}")
        with place.server.connect(timeout=30) as c:
            for _ in range(120):
                user, draw = users[int(rng.integers(6))], rng.random()
                item = some[user][int(rng.integers(len(some[user])))]
                if draw < 0.75:
                    event(c, user, item, float(rng.integers(1, 5)), CUT + int(rng.integers(-5, 50)))
                elif draw < 0.95:
                    c.call("EVENT.DEL", user, item)
                else:
                    c.call("FORGET", user)
                changed[0] += 1

    def look(number, stop):
        rng = annex.generator(f"race reader {number}")
        with place.server.connect(timeout=30) as c:
            while not stop.is_set():
                user = users[int(rng.integers(6))]
                c.send(encode("TOPK", user, 10) + encode("SEEN", user) + encode("MTOPK", 2, user, "u3", 5))
                replies = [c.read() for _ in range(3)]
                assert not isinstance(replies[0], ServerError) or replies[0].code == "NOUSER"
                read[0] += 3

    def guarded(body, *arguments):
        try:
            body(*arguments)
        except Exception as error:  # noqa: BLE001: every failure counts
            failures.append(repr(error))

    with place.server as server, server.connect() as c:
        for turn in range(rounds):
            stop = threading.Event()
            readers = [threading.Thread(target=guarded, args=(look, n, stop)) for n in range(4)]
            writers = [threading.Thread(target=guarded, args=(change, n, turn)) for n in range(8)]
            for thread in readers + writers:
                thread.start()
            for thread in writers:
                thread.join(120)
            stop.set()
            for thread in readers:
                thread.join(30)
            assert not failures, failures[:3]
            model, forgotten = place.shop.model(), live.stored_forgotten(path)
            for user, item, at, weight in live.stored_events(path):
                model.event(user, item, weight, at)
            for user, item, at in live.stored_removals(path):
                model.removed[user][model.catalogue.rows[item]] = at
            model.forgotten = {user for user in users if hashlib.sha256(user.encode()).digest()[:16] in forgotten}
            place.model = model
            for user in users:
                model.check_seen(seen(c, user), user)
                if model.vector(user) is not None:
                    place.check_vector(c, user)
                    place.check_top(c, user)
                elif not model.trained_left(user):
                    assert c.error("TOPK", user, 5).code == "NOUSER"
    fact(f"{changed[0]} changes and {read[0]} reads of 6 users by 12 connections at once, in {rounds} rounds: what is served follows from the file")


# --- MTOPK, EXPLAIN, WHYNOT --------------------------------------------------------------------------------------------


def test_mtopk_answers_as_topk_does(als, c, items):
    event(c, "u37", items[33], 2, CUT + 1)
    users = ["u37", "unknown", "u1", "u10", "h2", "u37"]
    for options in ([], ["WITHSEEN"], ["TRUTH", "WITHSCORES"], ["EXCLUDE", 2, items[0], items[1]]):
        many = c.call("MTOPK", len(users), *users, 10, *options)
        assert many[1] is None
        for user, answer in zip(users, many):
            if user != "unknown":
                assert answer == c.call("TOPK", user, 10, *options)
    # With a temporary history nobody is unknown.
    session = ["HISTORY", 2, items[5], items[6], "WEIGHTS", 1, 2]
    many = c.call("MTOPK", len(users), *users, 10, *session)
    for user, answer in zip(users, many):
        assert answer == c.call("TOPK", user, 10, *session) and not {items[5].encode(), items[6].encode()} & set(answer)


@pytest.mark.parametrize("protocol", [2, 3])
def test_explain_says_where_a_score_comes_from(als, items, protocol):
    with als.server.connect() as c:
        if protocol == 3:
            c.call("HELLO", 3)
        for user in ("u38", "explained"):
            for n in range(12):
                event(c, user, items[30 + n], 1 + n / 4 if n % 5 else -0.5, CUT + 1 + n)
                als.model.event(user, items[30 + n], 1 + n / 4 if n % 5 else -0.5, CUT + 1 + n)
        for user in ("u38", "explained", "u39", "h2"):
            for item in (items[0], items[33], items[99]):
                expected, vector = als.model.shares(user, item), als.model.vector(user)
                score = float(vector @ als.shop.catalogue.item(item).astype(np.float64))
                size = sum(abs(s) for s in expected.values())
                for count in (None, 1, 3, 1000):
                    words = [] if count is None else ["COUNT", count]
                    found = fields(c.call("EXPLAIN", user, item, *words))
                    shown = live.contributions(found)
                    total = sum(s for _, _, s in shown) + real(found["rest"]) + real(found["baseline"])
                    assert abs(total - real(found["score"])) <= 1e-5 * max(abs(score), size)
                    assert abs(real(found["score"]) - score) <= 1e-5 * max(abs(score), size)
                    assert text(found["method"]) == "als"
                    assert len(shown) == min(count or 10, len(expected)) and len({i for i, _, _ in shown}) == len(shown)
                    for shown_item, weight, share in shown:
                        assert abs(share - expected[shown_item]) <= 1e-5 * size
                        assert weight == pytest.approx(als.model.history(user)[als.shop.catalogue.rows[shown_item]], rel=1e-6)
                    shares = [share for _, _, share in shown]
                    assert shares == sorted(shares, reverse=True) or [abs(s) for s in shares] == sorted(map(abs, shares), reverse=True)
        assert real(fields(c.call("EXPLAIN", "explained", items[0]))["events"]) == 12
        assert c.error("EXPLAIN", "u38", "no such item").code == "NOITEM"


def test_explaining_a_vector_that_no_history_made(als, c, items):
    """The trainer's vector of a user without a history: there is nothing to share out; whatever is said, it adds up."""
    event(c, "u50", items[33])
    try:
        found = fields(c.call("EXPLAIN", "u50", items[0]))
    except ServerError as error:
        assert error.code in ("ERR", "NOUSER") and len(str(error)) > 20
    else:
        assert live.contributions(found) == [] and real(found["rest"]) == pytest.approx(real(found["score"]), rel=1e-5)


@pytest.mark.parametrize("protocol", [2, 3])
def test_whynot_gives_the_true_reason(als, items, protocol):
    with als.server.connect() as c:
        if protocol == 3:
            c.call("HELLO", 3)
        user = f"u4{protocol}"
        event(c, user, items[77], 3, CUT + 1)
        als.model.event(user, items[77], 3, CUT + 1)
        catalogue, vector, out = als.shop.catalogue, als.model.vector(user), als.model.items_seen(user)
        scores = catalogue.scores(vector)
        order = catalogue.order(vector, leave_out=out)
        for k in (1, 10, 400):
            kth = scores[catalogue.rows[order[k - 1]]]
            for rank in (0, 1, k - 1, k, k + 1, k + 2, 200, len(order) - 1):
                if rank >= len(order):
                    continue
                item = order[rank]
                found = fields(c.call("WHYNOT", user, item, k, "TRUTH"))
                near = catalogue.tolerance(vector)[catalogue.rows[item]]
                assert text(found["reason"]) == ("answered" if rank < k else "rank"), f"rank {rank + 1} of k={k}"
                assert abs(real(found["score"]) - scores[catalogue.rows[item]]) <= near
                assert abs(real(found["kth-score"]) - kth) <= near
                assert int(found["rank"]) == rank + 1
                loose = fields(c.call("WHYNOT", user, item, k))
                answered = item.encode() in c.call("TOPK", user, k)
                assert text(loose["reason"]) == ("answered" if answered else "rank" if rank >= k else "missed")
        for item, options, reason in (
            ("no such item", [], "unknown-item"), (order[3], ["EXCLUDE", 1, order[3]], "excluded"), (items[77], [], "seen"),
            (order[5], ["HISTORY", 1, order[5]], "seen"),
        ):
            found = fields(c.call("WHYNOT", user, item, 10, *options))
            assert text(found["reason"]) == reason
            if reason == "unknown-item":
                assert found["rank"] is None and found["score"] is None
        # Seen, and asked to be let in: the rank among all.
        everything = catalogue.order(vector)
        for item in (items[77], everything[0], everything[30]):
            found = fields(c.call("WHYNOT", user, item, 10, "WITHSEEN", "TRUTH"))
            assert text(found["reason"]) == ("answered" if everything.index(item) < 10 else "rank")
            assert int(found["rank"]) == everything.index(item) + 1
        # What is excluded has no rank of its own, but does not count for others.
        found = fields(c.call("WHYNOT", user, order[20], 5, "EXCLUDE", 10, *order[:10]))
        assert text(found["reason"]) == "rank" and int(found["rank"]) == 11


# --- Other kinds of versions -------------------------------------------------------------------------------------------


def test_ridge(folder):
    """Users with factors keep them until something changes; then the history is solved by ridge's equation."""
    place = place_of(folder, "ridge", method="ridge")
    items = place.shop.catalogue.ids
    with place.server as server, server.connect() as c:
        for user in ("u1", "h1"):
            place.check(c, user, within=1e-6)
        for user in ("u1", "h1", "fresh", "u2"):
            for n in range(3):
                event(c, user, items[300 + n], 1 + n, CUT + 1)
                place.model.event(user, items[300 + n], 1 + n, CUT + 1)
                place.check(c, user)
        found = fields(c.call("EXPLAIN", "u1", items[5], "COUNT", 1000))
        expected = place.model.shares("u1", items[5])
        assert text(found["method"]) == "ridge" and len(live.contributions(found)) == len(expected)
        for item, _, share in live.contributions(found):
            assert abs(share - expected[item]) <= 1e-5 * sum(map(abs, expected.values()))
        place.check_vector(c, "passing", session=[(items[3], 4.0), (items[9], 2.0)])
        assert c.call("EVENT.DEL", "u2", items[300]) == 1
        place.model.remove("u2", items[300], live.now())
        place.check(c, "u2")


@pytest.mark.parametrize("method, metric", [("als", "ip"), ("als", "cosine"), ("ridge", "ip")])
def test_weights_that_are_too_large_or_nothing(folder, method, metric):
    """What cannot be solved in floats is refused in words; no score is ever no number."""
    place = place_of(folder, f"weights-{method}-{metric}", method=method, metric=metric)
    items = place.shop.catalogue.ids
    with place.server as server, server.connect() as c:
        most = 1e6 / 5 if method == "als" else 1e6
        for user, weights in (("largest", [most]), ("twice", [most, most]), ("both", [most, -most]), ("usual", [1e3]), ("none", [0]), ("tiny", [1e-30]),
                              ("negative", [-2]), ("cancels", [2, -2])):
            for n, weight in enumerate(weights):
                event(c, user, items[3], weight, CUT + n)
                place.model.event(user, items[3], weight, CUT + n)
            for words in (("TOPK", user, 500, "WITHSCORES", "TRUTH"), ("TOPK", user, 10, "WITHSCORES"), ("SCORE", user, 500, *items),
                          ("EXPLAIN", user, items[5]), ("WHYNOT", user, items[5], 10)):
                try:
                    reply = c.call(*words)
                except ServerError as error:
                    annex.check_error_text(str(error))
                    assert user in ("largest", "twice", "both"), f"{words[0]} of {user}: {error}"
                    continue
                numbers = ([score for _, score in pairs(reply)] if words[0] == "TOPK" else [float(s) for s in reply] if words[0] == "SCORE" else
                           [real(fields(reply)["score"])])
                assert np.isfinite(numbers).all(), f"{words[0]} of {user} has scores that are no numbers: {numbers[:3]}"
            # What repairs it, as the refusal says.
            assert c.call("EVENT.DEL", user, items[3]) == 1
            event(c, user, items[4], 1, CUT + 1)
            place.model.events[user] = {}
            place.model.event(user, items[4], 1, CUT + 1)
            place.check(c, user)


@pytest.mark.parametrize("with_users", [True, False], ids=["user-bias", "item-bias"])
def test_ridge_of_a_biased_model(folder, with_users):
    """What biases leave is solved for, b_u with it where users have one: argmin Σ (w − μ − b_i − b_u − x·y)² + λ(‖x‖² + b_u²)."""
    name, penalty = f"biased-{with_users}", 0.7
    catalogue = live.make_catalogue(f"live {name}", items=300, users=40)
    trained, rng = live.make_history(catalogue, name), annex.generator(name)
    item_bias, user_bias = rng.normal(0, 1, 300).astype(np.float32), rng.normal(0, 1, 40).astype(np.float32)
    mean = 3.25 if with_users else 0.0
    files = annex.save_catalogue(catalogue, folder / "live" / "input" / name)
    place = folder / "live" / "input" / name
    np.save(place / "bias.npy", item_bias)
    np.save(place / "user_bias.npy", user_bias)
    biases = dict(bias=place / "bias.npy", **(dict(user_bias=place / "user_bias.npy", global_mean=mean) if with_users else {}))
    index = built(folder / "live" / "indexes" / name, **files, **biases, index="IVF8,SQ8", recall=0.5, fold_in="ridge", regularization=penalty,
                  history=live.save_history(place / "history.tsv", catalogue, trained), trained_until=CUT)
    rows = catalogue.items.astype(np.float64)

    def solved(history: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
        """Scores of all items, and the part of them that no event made."""
        numbers = list(history)
        side = np.array([history[n] for n in numbers]) - mean - item_bias[numbers]
        matrix = np.column_stack([rows[numbers], np.ones(len(numbers))]) if with_users else rows[numbers]
        x = np.linalg.solve(matrix.T @ matrix + penalty * np.eye(matrix.shape[1]), matrix.T @ side)
        return mean + item_bias + rows @ x[:16] + (x[16] if with_users else 0), mean + item_bias

    with serve(index, state=folder / "live" / "state", log=folder / f"live-{name}.log") as server, server.connect() as c:
        histories = {"u1": dict(trained["u1"]), "h1": dict(trained["h1"]), "new": {}}
        everybody = catalogue.items.astype(np.float64) @ catalogue.users.astype(np.float64).T
        known = mean + item_bias[:, None] + everybody + (user_bias if with_users else 0)
        assert np.abs(live.scores(c, catalogue, "u1") - known[:, 1]).max() < 1e-4, "the trainer's own until something changes"
        for user, history in histories.items():
            for n in range(8):
                row, weight = 250 + n % 6, 1 + n / 2
                event(c, user, catalogue.ids[row], weight, CUT + 1 + n)
                history[row] = history.get(row, 0.0) + weight
                expected, baseline = solved(history)
                size = np.abs(expected).max()
                assert np.abs(live.scores(c, catalogue, user) - expected).max() <= 1e-5 * size, f"{user} after {n + 1} events"
            order = sorted((n for n in range(300) if n not in history), key=lambda n: -expected[n])[:10]
            answer = pairs(c.call("TOPK", user, 10, "TRUTH", "WITHSCORES"))
            assert [text(i) for i, _ in answer] == [catalogue.ids[n] for n in order]
            for row in (0, 250, order[0]):
                found = fields(c.call("EXPLAIN", user, catalogue.ids[row], "COUNT", 1000))
                total = real(found["baseline"]) + sum(share for _, _, share in live.contributions(found)) + real(found["rest"])
                assert abs(real(found["baseline"]) - baseline[row]) <= 1e-5 * size
                assert abs(total - real(found["score"])) <= 1e-5 * size and abs(real(found["score"]) - expected[row]) <= 1e-5 * size
            found = fields(c.call("WHYNOT", user, catalogue.ids[order[9]], 3, "TRUTH"))
            assert text(found["reason"]) == "rank" and int(found["rank"]) == 10
            assert c.call("EVENT.DEL", user, catalogue.ids[250]) == 1
            del history[250]
            assert np.abs(live.scores(c, catalogue, user) - solved(history)[0]).max() <= 1e-5 * size
            session = {n: float(n % 3) for n in range(100, 110)}
            found = live.ranked_scores(c, catalogue, user, *history_words([(catalogue.ids[n], w) for n, w in session.items()]))
            assert np.abs(found - solved({**history, **{n: history.get(n, 0.0) + w for n, w in session.items()}})[0]).max() <= 1e-5 * size
        event(c, "u10", catalogue.ids[5], 2, CUT + 1)
        assert np.abs(live.scores(c, catalogue, "u10") - known[:, 10]).max() < 1e-4, "without a history the trainer's vector stands"


@pytest.mark.parametrize("name, shop", [
    ("unfolded", dict(method="none")), ("bare", dict(method="none", history=False)), ("l2", dict(method="none", metric="l2")),
    ("cosine-none", dict(method="none", metric="cosine")),
])
def test_without_fold_in_events_only_mark_items_as_seen(folder, name, shop):
    place = place_of(folder, name, **shop)
    catalogue, model = place.shop.catalogue, place.model
    with place.server as server, server.connect() as c:
        for user in ("u1", "u10"):
            for n in range(5):
                event(c, user, catalogue.ids[n], 2, CUT + n)
                model.event(user, catalogue.ids[n], 2, CUT + n)
            model.check_seen(seen(c, user), user)
            vector, out = catalogue.user(user), model.items_seen(user)
            catalogue.check_exact(pairs(c.call("TOPK", user, 25, "TRUTH", "WITHSCORES")), vector, 25, leave_out=out)
            catalogue.check_exact(pairs(c.call("TOPK", user, 25, "TRUTH", "WITHSCORES", "WITHSEEN")), vector, 25)
            assert len(c.call("TOPK", user, 10_000)) == 500 - len(out)
            found = fields(c.call("WHYNOT", user, catalogue.ids[0], 10))
            assert text(found["reason"]) == "seen"
        event(c, "stranger", catalogue.ids[0])
        assert c.call("SEEN", "stranger") == [catalogue.ids[0].encode()]
        assert c.error("TOPK", "stranger", 5).code == "NOUSER"
        assert c.call("EVENT.DEL", "u1", catalogue.ids[0]) == 1
        model.remove("u1", catalogue.ids[0], live.now())
        model.check_seen(seen(c, "u1"), "u1")
        # A history that cannot be folded in is refused, or is left out of the answers: never ignored.
        try:
            answer = c.call("TOPK", "u1", 10_000, "HISTORY", 2, catalogue.ids[50], catalogue.ids[51])
        except ServerError as error:
            assert error.code == "ERR"
        else:
            assert not {catalogue.ids[50].encode(), catalogue.ids[51].encode()} & set(answer)
        c.error("EXPLAIN", "u1", catalogue.ids[7])
        assert c.call("FORGET", "u10") == 1 and c.error("TOPK", "u10", 5).code == "NOUSER"


def test_fold_in_without_histories(folder):
    """A version with an equation and no histories: users of the build keep their vectors, new ones get theirs."""
    place = place_of(folder, "historyless", history=False)
    items = place.shop.catalogue.ids
    with place.server as server, server.connect() as c:
        for user in ("u1", "new"):
            for n in range(4):
                event(c, user, items[n], 1 + n, CUT + n)
                place.model.event(user, items[n], 1 + n, CUT + n)
            place.check(c, user)


def test_cosine_folds_in_too(folder):
    place = place_of(folder, "cosine", metric="cosine")
    items = place.shop.catalogue.ids
    with place.server as server, server.connect() as c:
        for user in ("u1", "h1", "new"):
            for n in range(6):
                event(c, user, items[310 + n], 1 + n, CUT + 1)
                place.model.event(user, items[310 + n], 1 + n, CUT + 1)
                place.check(c, user)
            vector = place.model.vector(user)
            expected, length = place.model.shares(user, items[7]), np.linalg.norm(place.shop.catalogue.item(items[7])) * np.linalg.norm(vector)
            found = fields(c.call("EXPLAIN", user, items[7], "COUNT", 1000))
            shown = live.contributions(found)
            score = place.shop.catalogue.scores(vector)[place.shop.catalogue.rows[items[7]]]
            size = sum(map(abs, expected.values())) / length
            assert abs(real(found["score"]) - score) <= 1e-5 * max(1, size)
            assert abs(sum(s for _, _, s in shown) + real(found["rest"]) - score) <= 1e-5 * max(1, size)
            for item, _, share in shown:
                assert abs(share - expected[item] / length) <= 1e-5 * size
        order = place.shop.catalogue.order(place.model.vector("u1"), leave_out=place.model.items_seen("u1"))
        found = fields(c.call("WHYNOT", "u1", order[99], 10, "TRUTH"))
        assert text(found["reason"]) == "rank" and int(found["rank"]) == 100


def test_without_a_state(als, tmp_path, items):
    """Nothing can be stored, and the refusal says what to give; what a version knows is told as before."""
    with serve(als.shop.index, state=None, log=tmp_path / "log") as server, server.connect() as c:
        for words in (("EVENT", "u1", items[0]), ("EVENT", "u1", items[0], 2, "AT", 5), ("EVENT.DEL", "u1", items[0]), ("FORGET", "u1")):
            error = c.error(*words)
            assert error.code == "ERR" and "--state" in str(error)
        bare = als.shop.model()
        bare.check_seen(seen(c, "u1"), "u1")
        place = Place(als.shop, bare, als.solver, server)
        place.check(c, "u1")
        place.check_vector(c, "anonymous", session=[(items[3], 1.0), (items[4], 2.0)])
        assert text(fields(c.call("WHYNOT", "u1", "no such item", 5))["reason"]) == "unknown-item"


# --- The state as a whole ----------------------------------------------------------------------------------------------


def test_several_indexes_keep_their_users_apart(folder, tmp_path):
    one, two = (live.make_shop(tmp_path, name, items=80, users=11) for name in ("one", "two"))
    two_items = two.catalogue.ids
    with serve(one.index, two.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect() as c:
        event(c, "u10", one.catalogue.ids[0], index="one")
        event(c, "u10", two_items[1], index="two")
        assert c.call("SEEN", "u10", "INDEX", "one") == [one.catalogue.ids[0].encode()]
        assert c.call("SEEN", "u10", "INDEX", "two") == [two_items[1].encode()]
        assert c.call("FORGET", "u10", "INDEX", "one") == 1 and c.call("SEEN", "u10", "INDEX", "two") == [two_items[1].encode()]
        for words in (("EVENT", "u1", two_items[0]), ("SEEN", "u1"), ("FORGET", "u1"), ("EVENT.DEL", "u1", two_items[0]),
                      ("EXPLAIN", "u1", two_items[0]), ("WHYNOT", "u1", two_items[0], 5)):
            assert "INDEX" in str(c.error(*words))
        assert live.state_line(c, "one")["status"] == live.state_line(c, "two")["status"] == "running"
        assert live.state_line(c, "two")["events"] == "1" and live.state_line(c, "one")["events"] == "0"
    assert (tmp_path / "state" / "one" / live.STATE).is_file() and (tmp_path / "state" / "two" / live.STATE).is_file()


def test_a_state_outlives_the_server(folder, tmp_path):
    place = place_of(tmp_path, "kept", items=120, users=21)
    shop, items = place.shop, place.shop.catalogue.ids
    users = [f"u{n}" for n in range(21)] + ["new1", "new2", "h1"]
    rng = annex.generator("kept")
    for turn in range(3):
        with serve(shop.index, state=tmp_path / "live" / "state", log=tmp_path / "log") as server, server.connect() as c:
            for user in users:
                if place.model.vector(user) is not None:
                    place.check(c, user)
            for n in range(60):
                user, item = users[int(rng.integers(len(users)))], items[int(rng.integers(120))]
                event(c, user, item, 2, CUT + turn * 100 + n)
                place.model.event(user, item, 2, CUT + turn * 100 + n)
            assert c.call("EVENT.DEL", users[turn + 1], item) in (0, 1)
            place.model.remove(users[turn + 1], item, live.now())
            c.call("FORGET", users[10 + turn])
            place.model.forget(users[10 + turn])
            assert server.stop() == 0
            assert "damaged" not in server.text().lower()


def test_one_server_at_a_time_has_a_state(als, folder, tmp_path):
    done = annex.run_annctl("serve", als.shop.index, "--state", folder / "live" / "state", "--port", annex.free_port(), timeout=30)
    assert done.returncode == 1 and "use" in done.stderr and als.server.process.poll() is None
    path = tmp_path / "file"
    path.write_text("not a folder")
    done = annex.run_annctl("serve", als.shop.index, "--state", path, "--port", annex.free_port(), timeout=30)
    assert done.returncode == 1 and str(path) in done.stderr


@pytest.mark.parametrize("options", [["--durability", "never"], ["--durability", "interval:0"], ["--durability", "interval:x"],
                                     ["--durability", "interval:-5"], ["--cold", "warm"], ["--watch", "-1"], ["--watch", "x"]])
def test_options_that_are_refused(als, tmp_path, options):
    done = annex.run_annctl("serve", als.shop.index, "--state", tmp_path / "state", *options, "--port", annex.free_port(), timeout=30)
    assert done.returncode == 64 and options[0].lstrip("-") in done.stderr


def test_durability_by_interval(als, tmp_path, items):
    """OK comes before the disk, events count at most so much later, what deletes waits and keeps its place; SIGTERM writes the rest."""
    live.needs_option("--durability")
    options = ["--durability", "interval:300"]
    with serve(als.shop.index, state=tmp_path / "state", log=tmp_path / "log", options=options) as server:
        with server.connect() as c, server.connect() as d:
            event(c, "quick", items[0], 1, CUT)
            started = time.monotonic()
            for n in range(1, 100):
                event(c, "quick", items[n], 1, CUT + n)
            assert time.monotonic() - started < 2, "OK waits for the disk"
            annex.wait_until(lambda: len(d.call("SEEN", "quick")) == 100, 2, "events are counted within the interval")
            event(c, "quick", items[100], 1, CUT + 100)
            assert c.call("EVENT.DEL", "quick", items[100]) == 1, "the event came first"
            assert len(d.call("SEEN", "quick")) == 100
            event(c, "brief-quick", items[100], 1, CUT + 100)
            assert c.call("FORGET", "brief-quick") == 1 and d.call("SEEN", "brief-quick") == []
            for n in range(100, 200):
                event(c, "quick", items[n], 1, CUT + n)
            assert c.error("EVENT", "quick", "no such item").code == "NOITEM"
            assert server.stop() == 0
    with serve(als.shop.index, state=tmp_path / "state", log=tmp_path / "log", options=options) as server, server.connect() as c:
        assert len(c.call("SEEN", "quick")) == 200, "SIGTERM writes what is left"


def test_popular_items_for_strangers(als, folder, tmp_path, items):
    with serve(als.shop.index, state=tmp_path / "state", log=tmp_path / "log", options=["--cold", "popular"]) as server, server.connect() as c:
        answer = c.call("TOPK", "stranger", 10)
        assert len(set(answer)) == 10 and {i.decode() for i in answer} <= set(items)
        assert c.call("TOPK", "another", 10) == answer, "one list for all"
        assert not set(answer[:5]) & set(c.call("TOPK", "stranger", 10, "EXCLUDE", 5, *answer[:5]))
        place = Place(als.shop, als.shop.model(), als.solver, server)
        event(c, "stranger", text(answer[0]), 2, CUT + 1)
        place.model.event("stranger", text(answer[0]), 2, CUT + 1)
        place.check(c, "stranger")
        place.check(c, "u1")


def test_popular_items_are_those_of_the_most_events(tmp_path):
    """Of the state's events where nothing was trained; users of the build get their own answers."""
    shop = live.make_shop(tmp_path, "popular", history=False, items=100, users=11)
    ids, state = shop.catalogue.ids, tmp_path / "state"
    counts = {ids[40]: 12, ids[3]: 9, ids[77]: 6, ids[12]: 3}
    with serve(shop.index, state=state, log=tmp_path / "log") as server:
        live.events_at_once(server, [(f"fan{n}", item, 1, live.now() - n) for item, count in counts.items() for n in range(count)])
    with serve(shop.index, state=state, log=tmp_path / "log", options=["--cold", "popular"]) as server, server.connect() as c:
        assert [text(i) for i in c.call("TOPK", "stranger", 4)] == list(counts)
        assert len(c.call("TOPK", "stranger", 100)) == 100
        assert [text(i) for i in c.call("TOPK", "fan0", 100, "WITHSEEN")] != [text(i) for i in c.call("TOPK", "stranger", 100)]
        many = c.call("MTOPK", 2, "stranger", "u1", 4)
        assert [text(i) for i in many[0]] == list(counts) and many[1] == c.call("TOPK", "u1", 4)


def test_info_counts(als, c):
    line = live.state_line(c, "als")
    assert line["status"] == "running" and int(line["events"]) > 0 and int(line["users"]) > 0 and int(line["commits"]) > 0
    assert int(line["waiting"]) >= 0
    for section in ("all", "everything", ""):
        assert b"# State" in c.call("INFO", section) if section else True


def check_many(c, place, users, exclude) -> None:
    """MTOPK of several users at once, some of whom may be unknown."""
    words = ["EXCLUDE", len(exclude), *exclude] if exclude else []
    for user, answer in zip(users, c.call("MTOPK", len(users), *users, 15, "TRUTH", "WITHSCORES", *words)):
        vector = place.model.vector(user)
        if vector is None:
            assert answer is None, user
        else:
            place.shop.catalogue.check_exact(pairs(answer), vector, 15, leave_out=place.model.items_seen(user) | set(exclude))


# --- At random ---------------------------------------------------------------------------------------------------------


def test_random_lives(folder, fact):
    """Changes of all kinds, each compared with the model at once: vector, seen items, best items. Some users have seen more
    than half of all items, by events or by their trained history."""
    rng, steps = annex.generator("random lives"), annex.setting("ANNEX_LIVE_STEPS", 600)
    catalogue = live.make_catalogue("live random")
    trained = live.make_history(catalogue, "live history random")
    for user in ("u4", "h2"):
        trained[user] = {int(row): float(rng.integers(1, 5)) for row in rng.choice(500, 320, replace=False)}
    place = place_of(folder, "random", catalogue=catalogue, trained=trained)
    model = place.model
    users = ["u1", "u2", "u3", "u4", "u10", "u20", "h0", "h1", "h2", "many0", "many1", *[f"n{n}" for n in range(5)]]
    trained_rows = [row for user in users for row in list(model.trained.get(user, {}))[:3]]
    pool = [catalogue.ids[row] for row in [*trained_rows, *range(12)]]
    counted = {"events": 0, "deletions": 0, "forgotten": 0, "compared": 0}
    worst, started = 0.0, time.monotonic()
    with place.server as server, server.connect() as c, server.connect() as d:
        many = [(user, catalogue.ids[int(row)], 0.5, CUT + 1) for user in ("many0", "many1", "u20") for row in rng.choice(500, 300, replace=False)]
        live.events_at_once(server, many)
        for e in many:
            model.event(*e)
        for step in range(steps):
            user, item, draw = users[int(rng.integers(len(users)))], pool[int(rng.integers(len(pool)))], rng.random()
            if draw < 0.7:
                weight = float(rng.choice([0.25, 0.5, 1, 1, 2, 3, -1]))
                at = int(rng.choice([CUT - 1000, CUT, CUT + 1, CUT + int(rng.integers(1, 30)), live.now() - int(rng.integers(5000, 9999))]))
                event(c, user, item, weight, at)
                model.event(user, item, weight, at)
                counted["events"] += 1
            elif draw < 0.8:
                before = live.now()
                event(c, user, item)
                at = dict(seen(d, user))[item]
                assert before - 2 <= at <= live.now() + 50
                taken = {t for row, t in model.events[user] if row == catalogue.rows[item]}
                assert at not in taken, "the stamp replaced an event"
                model.event(user, item, 1.0, at)
                counted["events"] += 1
            elif draw < 0.97:
                was_there = item in model.items_seen(user)
                assert c.call("EVENT.DEL", user, item) == was_there, f"{user} {item}"
                model.remove(user, item, live.now())
                counted["deletions"] += 1
            else:
                known = bool(model.events.get(user) or model.removed.get(user)) or (
                    user not in model.forgotten and (user in model.trained or user in model.stored))
                assert c.call("FORGET", user) == known
                model.forget(user)
                counted["forgotten"] += 1
            model.check_seen(seen(d, user), user)
            if model.vector(user) is not None:
                worst = max(worst, place.check_vector(d, user))
                counted["compared"] += 1
                if step % 5 == 0:
                    place.check_top(d, user)
            elif user not in model.trained or user in model.forgotten:
                assert d.error("TOPK", user, 5).code == "NOUSER"
            if step % 7 == 0:
                check_many(d, place, [users[int(n)] for n in rng.choice(len(users), 5)], [pool[int(n)] for n in rng.choice(len(pool), step % 3)])
        for user in users:
            if model.vector(user) is not None:
                place.check(c, user)
    fact(f"live users at random: {counted['events']} events, {counted['deletions']} deletions, {counted['forgotten']} users forgotten; "
         f"{counted['compared']} vectors compared, at most {worst:.1e} off NumPy; {time.monotonic() - started:.1f} s")
