"""Live users: EVENT and SEEN, and what SCORE and TOPK make of them.

Truth is the trainer's equations in NumPy, float64, over what the test itself sent. A server's vector is read through its
scores: those of all items determine it.
"""

import numpy as np
import pytest

import annex
import live
from annex import encode
from live import CUT, event, fields, seen, text
from live_place import als, c, items  # noqa: F401 (fixtures)


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
