"""kill -9 while many connections send events (D1): what was acknowledged is there, what was not sent is not, nothing twice.

ANNEX_STATE_KILLS sets how many; a quarter of the servers are killed a second time, while they come up again.
"""

import collections
import contextlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import annex
import live
from annex import encode
from live import CUT, STATE, Solver, seen, serve

CONNECTIONS, DEPTH, BACK_WITHIN = 16, 4, 2.0


@pytest.fixture(scope="module")
def shop(folder):
    return live.make_shop(folder / "kills", "shop", items=400, users=40)


class Writer(threading.Thread):
    """One connection with up to DEPTH events on their way. `acknowledged` and `sent` are (user, item, time, weight)."""

    def __init__(self, server, turn: int, number: int, items):
        super().__init__()
        self.connection = server.connect(timeout=30)
        self.rng = annex.generator(f"state kill {turn} {number}")
        self.users = [f"k{turn}-{number}-{n}" for n in range(3)] + [f"shared{turn % 5}", f"u{1 + turn % 9}"]
        self.items, self.number, self.turn = items, number, turn
        self.sent, self.acknowledged, self.failure = [], [], None

    def draw(self):
        # The time makes each event one of its own, so that one too many or a phantom shows.
        n = len(self.sent)
        at = CUT + 1 + ((self.turn * CONNECTIONS + self.number) << 20) + n
        user, item = self.users[int(self.rng.integers(5))], self.items[int(self.rng.integers(len(self.items)))]
        return user, item, at, float(self.rng.integers(1, 9)) / 4

    def run(self):
        try:
            while True:
                while len(self.sent) - len(self.acknowledged) < DEPTH:
                    user, item, at, weight = self.draw()
                    self.sent.append((user, item, at, weight))
                    self.connection.send(encode("EVENT", user, item, repr(weight), "AT", at))
                reply = self.connection.read()
                if reply != "OK":
                    self.failure = reply
                    return
                self.acknowledged.append(self.sent[len(self.acknowledged)])
        except (OSError, EOFError):
            pass  # the server is gone, as it should be
        finally:
            self.connection.socket.close()


def start_raw(server):
    """The same command as Server's, without waiting until it answers."""
    command = [annex.annctl_path(), "serve", *map(str, server.indexes), "--host", "127.0.0.1", "--port", str(annex.free_port())]
    with open(server.log, "ab") as log:
        return subprocess.Popen([*command, *map(str, server.options)], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def test_kill_9_while_events_come_in(shop, tmp_path, fact):
    rng, wanted = annex.generator("state kills"), annex.setting("ANNEX_STATE_KILLS", 10)
    model, solver = shop.model(), Solver(shop.catalogue)
    known: dict[tuple[str, str, int], float] = {}  # what must be in the file
    counted, slowest, recovery = collections.Counter(), 0.0, 0.3
    for turn in range(wanted):
        state = tmp_path / f"state{turn // 10}"
        if turn % 10 == 0:  # or comparing takes longer and longer
            known, model = {}, shop.model()
        server = serve(shop.index, state=state, log=tmp_path / "server.log")
        with server:
            writers = [Writer(server, turn, n, shop.catalogue.ids) for n in range(CONNECTIONS)]
            for writer in writers:
                writer.start()
            annex.wait_until(lambda: all(w.acknowledged or not w.is_alive() for w in writers), 30, "every connection had an event stored")
            annex.drawn_moment(rng, 0, 0.5)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait(10)
            for writer in writers:
                writer.join(30)
        assert not [w.failure for w in writers if w.failure], [w.failure for w in writers if w.failure][:3]
        acknowledged = {(u, i, t): w for writer in writers for u, i, t, w in writer.acknowledged}
        flying = {(u, i, t): w for writer in writers for u, i, t, w in writer.sent[len(writer.acknowledged):]}
        counted["acknowledged"] += len(acknowledged)
        counted["in flight"] += len(flying)
        known |= acknowledged
        check_file(state / "shop" / STATE, known, flying, counted)
        if turn % 4 == 3:  # killed again while it comes up
            process = start_raw(server)
            annex.drawn_moment(rng, 0, 1.2 * recovery)
            counted["killed again"] += process.poll() is None
            process.kill()
            process.wait(10)
        started = time.monotonic()
        with serve(shop.index, state=state, log=tmp_path / "server.log") as again:
            took = time.monotonic() - started
            assert "state is in use" not in again.text(), "a process of the killed server still has the state"
            slowest, recovery = max(slowest, took), min(recovery, took)
            with again.connect(timeout=30) as c:
                users = {u for u, _, _ in [*acknowledged, *flying]}
                older = sorted({u for u, _, _ in known} - users)
                users |= set(rng.choice(older, min(20, len(older)), replace=False).tolist()) if older else set()
                check_server(c, shop, model, solver, known, users, counted)
                check_server(c, shop, model, solver, known, {"u10", "u11", "u31"}, counted)
                assert int(live.state_line(c, "shop")["events"]) == len(known)
            assert again.stop() == 0, again.text()[-3000:]
        check_file(state / "shop" / STATE, known, {}, counted)
    fact(f"servers killed by kill -9 under events of {CONNECTIONS} connections: {wanted}, {counted['killed again']} of them again while "
         f"coming up; {counted['acknowledged']} events acknowledged, 0 lost; {counted['kept']} of {counted['in flight']} in flight were "
         f"kept, 0 phantoms, 0 twice; {counted['users']} users compared; back within {slowest:.2f} s")
    assert slowest < BACK_WITHIN


def test_kill_9_while_the_state_is_made(shop, tmp_path, fact):
    """A state that was half made is made anew, or is there: never something in between."""
    rng, wanted, counted = annex.generator("state made"), annex.setting("ANNEX_STATE_KILLS", 10), collections.Counter()
    for turn in range(wanted):
        server = serve(shop.index, state=tmp_path / f"state{turn}", log=tmp_path / "server.log")
        process = start_raw(server)
        place = tmp_path / f"state{turn}" / "shop"
        end = time.monotonic() + 10
        while not place.exists() and process.poll() is None and time.monotonic() < end:
            pass
        # Making it takes some flushes: the moment of death is what the seed draws.
        annex.drawn_moment(rng, 0, 0.015)
        process.kill()
        process.wait(10)
        counted["made" if (place / STATE).exists() else "half made"] += 1
        with server, server.connect() as c:
            live.event(c, "first", shop.catalogue.ids[0], 1, CUT)
            assert live.state_line(c, "shop")["events"] == "1" and c.call("SEEN", "first") == [shop.catalogue.ids[0].encode()]
            assert server.stop() == 0
        assert len(live.stored_events(place / STATE)) == 1
        assert not [p for p in place.iterdir() if p.name.startswith(".tmp-")], "something half made is left"
    fact(f"servers killed by kill -9 while they made a state: {wanted} ({dict(counted)}), each began anew")


def processes_with(words: str) -> list[str]:
    """Command lines that hold these words."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            line = place.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if words in line:
                found.append(f"{place.parent.name}: {line}")
    return found


def test_kill_9_while_a_large_state_is_checked(shop, tmp_path, fact):
    """A start has all pages of the state walked first. Killed in the middle of that, it leaves nothing behind that the next one waits for."""
    rng, wanted, count = annex.generator("state checked"), max(3, annex.setting("ANNEX_STATE_KILLS", 10) // 3), 40_000
    server = serve(shop.index, state=tmp_path / "state", log=tmp_path / "server.log")
    with server:
        live.events_at_once(server, [(f"{n:07}".ljust(255, "x"), shop.catalogue.ids[n % 400], 1, CUT + n) for n in range(count)], connections=64)
    started = time.monotonic()
    with server:
        takes = time.monotonic() - started
    slowest, while_checking = 0.0, 0
    for _ in range(wanted):
        process = start_raw(server)
        end = time.monotonic() + float(rng.uniform(0.5, 1)) * takes
        while time.monotonic() < end and not any("check-state" in line for line in processes_with(str(tmp_path))):
            pass
        annex.drawn_moment(rng, 0, 0.2 * takes)
        while_checking += any("check-state" in line for line in processes_with(str(tmp_path)))
        process.kill()
        process.wait(10)
        started = time.monotonic()
        with server, server.connect() as c:
            slowest = max(slowest, time.monotonic() - started)
            assert live.state_line(c, "shop")["events"] == str(count)
        # `Server` tries again where a port is in use, and would take the state's lock for that.
        assert "state is in use" not in server.text(), "a process of the killed server still has the state"
    annex.wait_until(lambda: not processes_with(str(tmp_path / "state")), 5, "no process of a killed server is left")
    fact(f"starts with a state of {count} events killed by kill -9: {wanted}, {while_checking} of them while it was checked; the next start took "
         f"{slowest:.2f} s at most, an undisturbed one {takes:.2f} s")
    assert slowest < BACK_WITHIN


def check_file(path, known, flying, counted):
    """Read by LMDB's own Python package: all that was acknowledged, and nothing that was not sent. What was kept of that
    in flight becomes known."""
    records = live.stored_events(path)
    found = {(u, i, t): w for u, i, t, w in records}
    assert len(found) == len(records), "an event is there twice"
    lost = [key for key, weight in known.items() if found.get(key) != weight]
    assert not lost, f"{len(lost)} acknowledged events are lost, {lost[:3]} among them"
    more = {key: weight for key, weight in found.items() if key not in known}
    phantoms = [key for key, weight in more.items() if flying.get(key) != weight]
    assert not phantoms, f"{len(phantoms)} phantoms, {phantoms[:3]} among them"
    counted["kept"] += len(more)
    known |= more


def check_server(c, shop, model, solver, known, users, counted):
    """What the server says of `users` follows from what is known: seen items, times, vector; and answers leave them out."""
    for user in users:
        model.events[user] = {}
    for (user, item, at), weight in known.items():
        if user in users:
            model.event(user, item, weight, at)
    for user in users:
        if user not in model.trained and not model.events[user] and user not in model.stored:
            assert c.call("SEEN", user) == []
            continue
        model.check_seen(seen(c, user), user)
        out = {item.encode() for item in model.items_seen(user)}
        assert not out & set(c.call("TOPK", user, len(shop.catalogue.ids)))
        # Sums of thousands of events on few items: float32 has no more digits.
        off = solver.off(live.scores(c, shop.catalogue, user), model.vector(user))
        assert off < 1e-5, f"{user}'s vector is off by {off:.1e}"
        counted["users"] += 1


def test_by_interval_a_kill_loses_no_more_than_the_interval(shop, tmp_path, fact):
    """At full speed: what was answered longer ago than that is there."""
    live.needs_option("--durability")
    interval, slack, answered, stop = 0.3, 0.5, [], threading.Event()

    def send(n):
        try:
            with server.connect(timeout=30) as c:
                k = 0
                while not stop.is_set():
                    c.send(b"".join(encode("EVENT", f"i{n}", shop.catalogue.ids[0], 1, "AT", CUT + k + m) for m in range(100)))
                    for m in range(100):
                        if c.read() != "OK":
                            return
                    answered.append((time.monotonic(), n, k))
                    k += 100
        except (OSError, EOFError):
            pass

    options = ["--durability", f"interval:{int(1000 * interval)}"]
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log", options=options) as server:
        threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        # Longer than an interval, so that something has to be on the disk.
        annex.wait_until(lambda: answered and answered[-1][0] > begun + interval + slack + 0.5, 30, "events flow")
        killed = time.monotonic()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
        stop.set()
        for thread in threads:
            thread.join(30)
    stored = {(u, at - CUT) for u, _, at, _ in live.stored_events(tmp_path / "state" / "shop" / STATE)}
    old = [(f"i{n}", k + m) for when, n, k in answered if when < killed - interval - slack for m in range(100)]
    lost = [e for e in old if e not in stored]
    total, gone = 100 * len(answered), sum((f"i{n}", k + m) not in stored for _, n, k in answered for m in range(100))
    fact(f"kill -9 with --durability interval:300 at {total / 2:.0f} events a second: {gone} of {total} lost, {len(lost)} of them answered more than {1000 * (interval + slack):.0f} ms before")
    assert old and not lost


def test_by_interval_a_burst_counts_within_the_interval(shop, tmp_path, fact):
    live.needs_option("--durability")
    events = [(f"b{n % 97}", shop.catalogue.ids[n % 400], 1, CUT + n) for n in range(20_000)]
    options = ["--durability", "interval:500"]
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log", options=options) as server, server.connect() as c:
        live.events_at_once(server, events)
        started = time.monotonic()
        annex.wait_until(lambda: live.state_line(c, "shop")["events"] == "20000", 30, "all events are counted")
        took = time.monotonic() - started
    fact(f"20,000 events at once with --durability interval:500: the last is counted {1e3 * took:.0f} ms after its OK")
    assert took < 0.5 + 1.0


def checking_child(parent: int) -> int | None:
    """The process that checks the state for a server that starts."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        children += [c for task in Path(f"/proc/{parent}/task").iterdir() for c in (task / "children").read_text().split()]
    except OSError:
        return None
    for child in map(int, children):
        with contextlib.suppress(OSError):
            if b"check-state" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    return None


def test_killed_while_the_state_is_checked(shop, tmp_path, fact):
    """The check is stopped in its tracks and the server killed: the next start comes up all the same, and the check ends as soon as
    it can."""
    state = tmp_path / "state"
    with serve(shop.index, state=state, log=tmp_path / "first.log") as server:
        live.events_at_once(server, [(f"u{n % 500}", shop.catalogue.ids[n % 400], 1, CUT + 1 + n) for n in range(60_000)])
    caught = 0
    for turn in range(40):
        starting = serve(shop.index, state=state, log=tmp_path / f"killed{turn}.log")
        process, child = start_raw(starting), None
        deadline = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < deadline and not answers(process):
            child = child or checking_child(process.pid)
            if child is not None and reads_state(child):
                break
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
        process.kill()
        process.wait(10)
        if child is None or not is_stopped(child) or not reads_state(child):
            continue
        caught += 1
        with serve(shop.index, state=state, log=tmp_path / f"next{turn}.log") as server, server.connect() as c:
            assert len(seen(c, "u7")) > 0
        os.kill(child, signal.SIGCONT)
        annex.wait_until(lambda: not Path(f"/proc/{child}").exists(), 10, "the check ends with the server that it was for")
        if caught == 3:
            break
    fact(f"servers killed while their state was checked: {caught}, each followed by a start beside the check")
    assert caught > 0, "no check was caught"


def answers(process) -> bool:
    """Whether the server's threads have begun to serve, so that there is no check any more."""
    try:
        return any((task / "comm").read_text().strip() == "annex-state" for task in Path(f"/proc/{process.pid}/task").iterdir())
    except OSError:
        return True


def reads_state(pid: int) -> bool:
    """Whether the process is in the middle of the file."""
    with contextlib.suppress(OSError):
        return any(os.path.basename(os.readlink(fd)) == STATE for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


def is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    return False
