"""EVENT.DEL and FORGET: what is taken out of a history, and users who are to be nobody."""

import lmdb
import numpy as np

import live
from annex import ServerError
from live import CUT, Solver, event, seen, serve
from live_place import DAY, Place
from live_place import als, c, items  # noqa: F401 (fixtures)


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
