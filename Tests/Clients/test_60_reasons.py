"""MTOPK, EXPLAIN and WHYNOT say what the equations in NumPy say."""

import numpy as np
import pytest

import live
from annex import ServerError
from live import CUT, event, fields, real, text
from live_place import als, c, items  # noqa: F401 (fixtures)


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
