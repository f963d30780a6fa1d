"""What one server must do, a router with two shards behind it must do as well: the same tests, asked through it.

Hostile frames, limits, oracles and redis-py. Left out is what looks into the server's own process or settings.
"""

import pytest

from routed import Routed
from test_10_oracle import *  # noqa: F403 - tests
from test_20_redis_py import *  # noqa: F403
from test_30_limits import *  # noqa: F403
from test_31_hostile import *  # noqa: F403
from test_32_clients_that_trickle import test_slow_clients_do_not_hold_up_others  # noqa: F401

del test_fuzz  # noqa: F821 - starts servers of its own; the router's is in test_72
del test_error_codes  # noqa: F821 - RELOAD, which a router refuses, among them
del test_every_listed_command_answers_something_legal  # noqa: F821 - RELOAD among them, which a router refuses


@pytest.fixture(scope="session")
def server(folder, indexes):
    with Routed(*indexes.values(), folder=folder / "routed-all") as running:
        yield running


@pytest.fixture(scope="session")
def single(folder, indexes):
    with Routed(indexes["ip-hnsw"], folder=folder / "routed-single") as running:
        yield running


@pytest.fixture
def fresh(indexes, tmp_path):
    with Routed(indexes["ip-hnsw"], folder=tmp_path / "routed") as running:
        yield running
