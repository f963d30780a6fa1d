"""The state as a whole: several indexes, restarts, options, popular items, and lives at random (ANNEX_LIVE_STEPS)."""

import time

import pytest

import annex
import live
from annex import pairs
from live import CUT, event, seen, serve, text
from live_place import Place, place_of
from live_place import als, c, items  # noqa: F401 (fixtures)


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


def test_one_server_at_a_time_has_a_state(als, tmp_path):
    done = annex.run_annctl("serve", als.shop.index, "--state", als.state, "--port", annex.free_port(), timeout=30)
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


def test_info_counts(als, c, items):
    event(c, "u1", items[0])
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
