"""What the tests of live users share: a server, and the model of what it should know."""

from dataclasses import dataclass
from pathlib import Path

import pytest

import live
from annex import Server, pairs
from live import Model, Shop, Solver, seen, serve


DAY = 86_400_000
INT64 = 1 << 63


@dataclass
class Place:
    shop: Shop
    model: Model
    solver: Solver
    server: Server
    state: Path | None = None

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
    """A shop made for the test, and a server that keeps a state; not started yet."""
    return served(live.make_shop(folder / "live", name, **shop), folder / "live" / "state", options)


def served(shop: Shop, state: Path, options=()) -> Place:
    server = serve(shop.index, state=state, log=state.parent / f"{shop.index.name}.log", options=options)
    return Place(shop, shop.model(), Solver(shop.catalogue), server, state)


@pytest.fixture(scope="module")
def als(als_shop, tmp_path_factory):
    """A server of the module's own, over the shop that all share."""
    place = served(als_shop, tmp_path_factory.mktemp("als") / "state")
    with place.server:
        yield place


@pytest.fixture
def c(als):
    with als.server.connect() as connection:
        yield connection


@pytest.fixture
def items(als):
    return als.shop.catalogue.ids
