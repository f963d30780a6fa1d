"""Live users of other kinds of versions: ridge, biased, cosine, without fold-in, without a state."""

import numpy as np
import pytest

import annex
import live
from annex import ServerError, built, pairs
from live import CUT, event, fields, real, seen, serve, text
from live_place import Place, history_words, place_of
from live_place import als, items  # noqa: F401 (fixtures)


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
