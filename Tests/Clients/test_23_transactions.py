"""MULTI … EXEC: all or none, whatever is refused, wherever it is sent, and whenever the server is killed."""

import os
import signal
import threading

import pytest
import redis

import annex
import live
from annex import encode
from live import seen, serve
from redis_log import Redis, caught_up, replica
from routed import Routed

TOGETHER = 20  # changes of one EXEC in the kills


@pytest.fixture(scope="module")
def shop(folder):
    return live.make_shop(folder / "together", "shop", items=400, users=20)


@pytest.fixture(scope="module", params=["direct", "log", "router"])
def target(request, folder, shop):
    """A server with a state of its own; one of two replicas of a log; a router before two shards."""
    where = folder / f"together-{request.param}"
    where.mkdir(parents=True, exist_ok=True)
    if request.param == "direct":
        with serve(shop.index, state=where / "state", log=where / "server.log") as server:
            yield server, [server]
    elif request.param == "log":
        with Redis(where / "redis", ["--appendonly", "yes"]) as log, replica(shop.index, where / "a", log) as a, \
                replica(shop.index, where / "b", log) as b:
            caught_up([a, b], "shop")
            yield a, [a, b]
    else:
        with Routed(shop.index, folder=where, shards=2, state=True) as routed:
            yield routed, [routed]


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_default_pipeline_of_redis_py(target, shop, protocol):
    server, everywhere = target
    items = shop.catalogue.ids
    user = f"{{r{protocol}}}a"
    with redis.Redis(port=server.port, protocol=protocol, decode_responses=True, socket_timeout=10) as client:
        with client.pipeline() as p:
            p.execute_command("TOPK", shop.catalogue.user_ids[0], 3)
            p.execute_command("EVENT", user, items[0], 2)
            p.execute_command("EVENT", f"{{r{protocol}}}b", items[1])
            p.execute_command("SEEN", user)
            p.execute_command("EVENT.DEL", user, items[0])
            p.execute_command("EVENT", user, items[2])
            before, one, two, between, gone, three = p.execute()
        assert len(before) == 3 and gone == 1 and all(reply in (True, "OK") for reply in (one, two, three))
        assert between == [items[2]], "a read behind the first change sees all of them"
        if len(everywhere) > 1:
            caught_up(everywhere, "shop")
        for each in everywhere:
            with each.connect() as c:
                assert [item for item, _ in seen(c, user)] == [items[2]]
                assert [item for item, _ in seen(c, f"{{r{protocol}}}b")] == [items[1]]


def test_what_is_refused_leaves_nothing(target, shop):
    """The advice in each error is tried: what it says to send is stored."""
    server, _ = target
    items = shop.catalogue.ids
    refusals = 0
    with redis.Redis(port=server.port, decode_responses=True, socket_timeout=10) as client, server.connect() as c:
        for words in (["EVENT", "{n}u", "absent"], ["EVENT", "{n}u"], ["NOSUCH"], ["EVENT", "{n}u", items[1], "AT", "1700000000"]):
            with client.pipeline() as p:
                p.execute_command("EVENT", "{n}u", items[0])
                p.execute_command(*words)
                with pytest.raises(redis.exceptions.RedisError):
                    p.execute()
            refusals += 1
            assert known(c, "{n}u") == []
        assert c.call("MULTI") == "OK"
        assert c.call("EVENT", "{n}u", items[0]) == "QUEUED"
        assert c.call("DISCARD") == "OK"
        assert known(c, "{n}u") == []
        assert c.error("WATCH", "k").code == "ERR"
        with client.pipeline() as p:
            p.execute_command("EVENT", "{n}u", items[0], "AT", "1700000000000")
            p.execute()
        assert known(c, "{n}u") == [items[0]]
    assert refusals == 4


def test_absurd_changes_are_nobody_elses_trouble(target, shop):
    """80,000 words in the changes of one EXEC, more than one command may have: refused where they came, and others notice nothing."""
    server, _ = target
    items = shop.catalogue.ids
    with server.connect(timeout=30) as c, server.connect(timeout=30) as other:
        for turn in range(5):
            c.send(encode("MULTI") + encode("EVENT", "{n}w", items[0], *["x"] * 2_000) * 40 + encode("EXEC"))
            other.send(b"".join(encode("EVENT", f"o{turn}-{n}", items[1]) for n in range(50)))
            replies = [c.read() for _ in range(42)]
            assert isinstance(replies[-1], annex.ServerError) and replies[-1].code == "EXECABORT"
            assert [other.read() for _ in range(50)] == ["OK"] * 50
        assert known(c, "{n}w") == []


def test_several_slots(target, shop):
    """One server stores them all; behind a router they have to be of one slot, and the error says how."""
    server, everywhere = target
    items = shop.catalogue.ids
    users = [f"slot-user-{n}" for n in range(12)]
    with server.connect() as c:
        for word in (["MULTI"], *(["EVENT", user, items[0]] for user in users)):
            c.call(*word)
        if isinstance(server, Routed):
            error = c.error("EXEC")
            assert error.code == "EXECABORT" and "{42}a" in str(error)
            assert all(known(c, user) == [] for user in users)
            for word in (["MULTI"], *(["EVENT", "{42}" + user, items[0]] for user in users)):
                c.call(*word)
            users = ["{42}" + user for user in users]
        assert c.call("EXEC") == ["OK"] * 12
        assert all(known(c, user) == [items[0]] for user in users)


def known(c, user) -> list:
    try:
        return [live.text(item) for item in c.call("SEEN", user)]
    except annex.ServerError as error:
        assert error.code == "NOUSER"
        return []


def test_a_large_transaction_passes_the_router(target, shop):
    """As many changes as there may be, and one more; with a log those of one slot are one entry, which has at most 100."""
    server, everywhere = target
    most = 100 if len(everywhere) > 1 else 500
    items = shop.catalogue.ids
    with server.connect(timeout=60) as c:
        for count in (most, most + 1):
            words = [encode("EVENT", f"{{big}}{count}", items[n % 300], "AT", live.CUT + n) for n in range(count)]
            c.send(encode("MULTI") + b"".join(words) + encode("EXEC"))
            replies = [c.read() for _ in range(count + 2)]
            if count == most:
                assert replies[-1] == ["OK"] * count
            else:
                assert isinstance(replies[-1], annex.ServerError) and replies[-1].code == "EXECABORT"
        assert len(known(c, f"{{big}}{most}")) == min(most, 300) and known(c, f"{{big}}{most + 1}") == []


# --- Kills -------------------------------------------------------------------------------------------------------------


class Sender(threading.Thread):
    """One connection that sends one EXEC after the other, each of a user of its own."""

    def __init__(self, server, label: str, items):
        super().__init__()
        self.connection, self.label, self.items = server.connect(timeout=30), label, items
        self.sent, self.acknowledged, self.failure = [], [], None

    def run(self):
        try:
            while len(self.sent) < 5_000:
                user = f"{self.label}-{len(self.sent)}"
                self.sent.append(user)
                changes = b"".join(encode("EVENT", user, self.items[n], "AT", live.CUT + n) for n in range(TOGETHER))
                self.connection.send(encode("MULTI") + changes + encode("EXEC"))
                replies = [self.connection.read() for _ in range(TOGETHER + 2)]
                if replies[-1] != ["OK"] * TOGETHER:
                    self.failure = replies[-1]
                    return
                self.acknowledged.append(user)
        except (OSError, EOFError):
            pass  # the server is gone, as it should be
        finally:
            self.connection.socket.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["direct", "log"])
def test_killed_at_any_moment_all_or_none(shop, tmp_path, fact, kind):
    rng, kills = annex.generator(f"together {kind}"), annex.setting("ANNEX_EXEC_KILLS", 4)
    partial, whole, none, acknowledged, injected = 0, 0, 0, 0, 0
    items = shop.catalogue.ids
    redis_server = Redis(tmp_path / "redis", ["--appendonly", "yes"]) if kind == "log" else None
    if redis_server:
        redis_server.__enter__()

    def start():
        if redis_server:
            return replica(shop.index, tmp_path / "a", redis_server)
        return serve(shop.index, state=tmp_path / "state", log=tmp_path / "server.log")

    try:
        for turn in range(kills):
            with start() as server:
                if redis_server:
                    caught_up([server], "shop")
                senders = [Sender(server, f"t{turn}-{n}", items) for n in range(6)]
                for sender in senders:
                    sender.start()
                annex.wait_until(lambda: sum(len(s.acknowledged) for s in senders) > 20 or any(s.failure for s in senders), 30, "events")
                annex.drawn_moment(rng, 0, 0.15)
                os.kill(server.process.pid, signal.SIGKILL)
                injected += 1
                for sender in senders:
                    sender.join(30)
                assert not [s.failure for s in senders if s.failure]
            with start() as server, server.connect() as c:
                if redis_server:
                    caught_up([server], "shop")
                for sender in senders:
                    for user in sender.sent:
                        count = len(known(c, user))
                        partial += count not in (0, TOGETHER)
                        whole += count == TOGETHER
                        none += count == 0
                        if user in sender.acknowledged:
                            acknowledged += 1
                            assert count == TOGETHER, f"{user}: acknowledged, and {count} of {TOGETHER} are there"
    finally:
        if redis_server:
            redis_server.__exit__()
    fact(f"transactions, {kind}: {injected} kills -9, {whole} whole, {none} not stored, {partial} in part; "
         f"{acknowledged} acknowledged, all of them whole")
    assert injected == kills and partial == 0 and whole > 20 * kills - 1
