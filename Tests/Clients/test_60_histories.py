"""WITHSEEN and HISTORY: K answers while K are left, histories within a command, and their limits."""

import numpy as np
import pytest

import annex
import live
from annex import ServerError, encode, pairs
from live import CUT, event, fields, seen
from live_place import INT64, place_of
from live_place import als, c, items  # noqa: F401 (fixtures)


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
