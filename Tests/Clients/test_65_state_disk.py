"""A disk that is full, read-only or broken under the state (D3, D4): events are refused in words, reads go on, nothing that was
acknowledged is lost, and space alone makes it work again.

The disk is a small tmpfs, mounted by the test, which needs root. Where a mount or ptrace is refused, the test is skipped.
ANNEX_STATE_FILLS sets how often the disk is filled.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

import annex
import live
from annex import ServerError
from live import CUT, STATE, seen, serve

WITHIN = 1.0


class Disk:
    """A tmpfs of a few MiB, with a file beside the state that takes the rest."""

    def __init__(self, path: Path, size: int):
        self.path, self.ballast, self.size = path, path / "ballast", size

    def mount(self, options: str = "rw") -> None:
        if os.geteuid() != 0 or shutil.which("mount") is None:
            pytest.skip("a small disk cannot be mounted here: that needs root and mount")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},{options}", "annex-test", self.path],
                              capture_output=True, text=True, timeout=30)
        if done.returncode != 0:
            pytest.skip(f"mount is refused here: {done.stderr.strip()[:200]}")

    def remount(self, options: str) -> str:
        """What mount said, nothing where it worked."""
        done = subprocess.run(["mount", "-o", f"remount,{options}", self.path], capture_output=True, text=True, timeout=30)
        return done.stderr.strip() if done.returncode else ""

    def unmount(self) -> None:
        if subprocess.run(["umount", self.path], capture_output=True, timeout=30).returncode != 0:
            subprocess.run(["umount", "-l", self.path], capture_output=True, timeout=30)

    def fill(self) -> None:
        """Until not a byte is left, also of what the state takes meanwhile."""
        with open(self.ballast, "ab", buffering=0) as file:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self) -> None:
        os.unlink(self.ballast)

    def share(self) -> float:
        status = os.statvfs(self.path)
        return 1 - status.f_bfree / status.f_blocks


@pytest.fixture
def disk(tmp_path, request):
    (tmp_path / "disk").mkdir()
    disk = Disk(tmp_path / "disk", getattr(request, "param", 6 << 20))
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


@pytest.fixture(scope="module")
def shop(folder):
    return live.make_shop(folder / "disk", "shop", items=300, users=40)


class Reader(threading.Thread):
    """TOPK and SEEN without a pause; counts what fails."""

    def __init__(self, server, user: str):
        super().__init__()
        self.server, self.user, self.stop, self.reads, self.failures, self.longest = server, user, threading.Event(), 0, [], 0.0

    def run(self):
        try:
            with self.server.connect(timeout=10) as c:
                while not self.stop.is_set():
                    started = time.monotonic()
                    if len(c.call("TOPK", self.user, 10)) != 10 or not c.call("SEEN", self.user):
                        self.failures.append("a short answer")
                    self.longest = max(self.longest, time.monotonic() - started)
                    self.reads += 1
                    annex.pace(0.001)
        except Exception as error:  # noqa: BLE001: every failure counts
            self.failures.append(repr(error))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join(30)


class Sender(threading.Thread):
    """Events without a pause; when each answer came, and what was acknowledged."""

    def __init__(self, server, items, name: str):
        super().__init__()
        self.server, self.items, self.user, self.stop = server, items, name, threading.Event()
        self.acknowledged, self.answers, self.broken = {}, [], []

    def run(self):
        try:
            with self.server.connect(timeout=10) as c:
                n = 0
                while not self.stop.is_set():
                    n += 1
                    item, started = self.items[n % len(self.items)], time.monotonic()
                    try:
                        live.event(c, self.user, item, 2, CUT + n)
                        self.acknowledged[item] = CUT + n
                        error = None
                    except ServerError as refusal:
                        error = str(refusal)
                        annex.pace(0.002)
                    self.answers.append((time.monotonic(), time.monotonic() - started, error))
        except Exception as error:  # noqa: BLE001
            self.broken.append(repr(error))

    def latest(self, after: float):
        return [a for a in self.answers[-50:] if a[0] - a[1] >= after]

    def first(self, after: float, refused: bool) -> float | None:
        """Seconds from `after` to the first such answer."""
        return next((when - after for when, _, error in list(self.answers) if when > after and (error is not None) == refused), None)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.join(30)


def check_kept(c, senders) -> int:
    for sender in senders:
        told = {item: at for item, at in seen(c, sender.user) if at is not None}
        lost = {item: at for item, at in sender.acknowledged.items() if told.get(item, -1) < at}
        assert not lost, f"{len(lost)} acknowledged events of {sender.user} are lost"
    return sum(len(s.acknowledged) for s in senders)


def test_a_full_disk_refuses_events_and_reads_go_on(shop, disk, tmp_path, fact):
    rounds, items = annex.setting("ANNEX_STATE_FILLS", 4), shop.catalogue.ids
    refused_after, works_after, wrong = [], [], []
    with serve(shop.index, state=disk.path / "state", log=tmp_path / "log") as server, server.connect() as c:
        with Reader(server, "u1") as reader, contextlib.ExitStack() as stack:
            senders = [stack.enter_context(Sender(server, items, f"sender{n}")) for n in range(3)]
            for _ in range(rounds):
                annex.wait_until(lambda: all(s.answers and s.answers[-1][2] is None for s in senders), 10, "events are taken")
                disk.fill()
                full = time.monotonic()
                for sender in senders:
                    refused_after.append(annex.wait_until(lambda: sender.first(full, True), 10, "events are refused"))
                disk.fill()  # what an aborted write gave back
                annex.wait_until(lambda: all(s.latest(full + 0.2) for s in senders), 10, "everybody is answered on the full disk")
                assert not [s.broken for s in senders if s.broken]
                late = [a for s in senders for a in s.latest(full + 0.2)]
                assert late and all(error is not None for _, _, error in late), "an event was taken by a full disk"
                wrong += [e for _, _, e in late if not re.search("(?i)full|space", e)]
                assert max(took for _, took, _ in late) < WITHIN
                assert live.state_line(c, "shop")["status"] != "running"
                before = reader.reads
                annex.wait_until(lambda: reader.reads > before + 20, 10, "reads go on")
                disk.free()
                space = time.monotonic()
                for sender in senders:
                    works_after.append(annex.wait_until(lambda: sender.first(space, False), 10, "events are taken again"))
                annex.wait_until(lambda: live.state_line(c, "shop")["status"] == "running", 5, "INFO says running")
        assert not reader.failures, reader.failures[:3]
        assert not [s.broken for s in senders if s.broken]
        kept = check_kept(c, senders)
        assert server.stop() == 0
    with serve(shop.index, state=disk.path / "state", log=tmp_path / "log") as server, server.connect() as c:
        assert check_kept(c, senders) == kept
    fact(f"disk filled {rounds} times under events of 3 connections: refused after {1e3 * max(refused_after):.0f} ms at most, taken again "
         f"{1e3 * max(works_after):.0f} ms after there was space, 0 of {reader.reads} reads failed (longest {1e3 * reader.longest:.0f} ms), "
         "0 acknowledged events lost")
    assert not wrong, f"a refusal does not say that the disk is full: {wrong[0]}"
    assert max(refused_after) < WITHIN and max(works_after) < WITHIN


@pytest.mark.parametrize("disk", [64 << 20], indirect=True)
def test_events_alone_fill_it(shop, disk, tmp_path, fact):
    """Refused from 95 % on, so that what makes space (deleting, forgetting) still has some."""
    items = shop.catalogue.ids
    disk.ballast.write_bytes(bytes(59 << 20))  # 5 % must be more than what comes between two looks at it
    acknowledged: dict[str, dict[str, int]] = {}
    with serve(shop.index, state=disk.path / "state", log=tmp_path / "log") as server, server.connect() as c, Reader(server, "u1") as reader:
        refusal, n = None, 0
        while refusal is None and n < 100_000:
            group = range(n, n + 64)
            c.send(b"".join(annex.encode("EVENT", f"user{k // 50}", items[k % 300], 1, "AT", CUT + k) for k in group))
            for k in group:
                reply = c.read()
                if reply == "OK":
                    acknowledged.setdefault(f"user{k // 50}", {})[items[k % 300]] = CUT + k
                else:
                    refusal = refusal or reply
            n += 64
        assert refusal is not None, "it was never refused"
        share = disk.share()
        assert re.search("(?i)full|space", str(refusal))
        if "95 %" in str(refusal):
            for k in range(10):
                item = next(iter(acknowledged[f"user{k}"]))
                assert c.call("EVENT.DEL", f"user{k}", item) == 1
                del acknowledged[f"user{k}"][item]
            assert c.call("FORGET", "user11") == 1
            acknowledged["user11"] = {}
            c.error("EVENT", "user0", items[0])
        disk.free()
        freed = time.monotonic()
        annex.wait_until(lambda: takes(c, items[0]), 5, "events are taken again")
        back = time.monotonic() - freed
        assert not reader.failures, reader.failures[:3]
        for user, events in acknowledged.items():
            assert dict(seen(c, user)) == events
        assert server.stop() == 0
    with serve(shop.index, state=disk.path / "state", log=tmp_path / "log") as server, server.connect() as c:
        for user, events in acknowledged.items():
            assert dict(seen(c, user)) == events
    fact(f"a disk of 64 MiB filled by {sum(map(len, acknowledged.values()))} events: refused at {100 * share:.0f} %, "
         f"{'deleting and forgetting went on, ' if '95 %' in str(refusal) else ''}events taken again {1e3 * back:.0f} ms after there was space")
    assert "95 %" in str(refusal), "it filled up to the last byte, which leaves none to delete with"
    assert back < WITHIN


def takes(c, item) -> bool:
    try:
        live.event(c, "after", item)
        return True
    except ServerError:
        return False


def test_starting_on_a_full_disk(shop, disk, tmp_path):
    """It serves what there is, or says why not: never a signal (a mapped file without blocks behind it is one)."""
    with serve(shop.index, state=disk.path / "state", log=tmp_path / "log") as server, server.connect() as c:
        live.event(c, "before", shop.catalogue.ids[0])
    for emptied in (False, True):
        if emptied:  # without a state, and without the space to make one
            disk.free()
            shutil.rmtree(disk.path / "state")
        disk.fill()
        log = tmp_path / f"full{emptied}"
        try:
            with serve(shop.index, state=disk.path / "state", log=log) as server, server.connect() as c:
                assert len(c.call("TOPK", "u1", 10)) == 10
                if not emptied:
                    assert c.call("SEEN", "before") == [shop.catalogue.ids[0].encode()]
                assert c.error("EVENT", "after", shop.catalogue.ids[1]).code == "ERR"
                disk.free()
                annex.wait_until(lambda: takes(c, shop.catalogue.ids[1]), 5, "events are taken once there is space")
                disk.fill()
        except AssertionError:
            text = log.read_text(errors="replace")
            assert "exit 1;" not in text
            code = exit_code(shop, disk.path / "state")
            assert code == 1, f"exit {code}: {text}"
            assert re.search("(?i)space|full", text), text


def exit_code(shop, state) -> int:
    return annex.run_annctl("serve", shop.index, "--state", state, "--port", annex.free_port(), timeout=30).returncode


def test_a_state_that_may_not_be_written(shop, disk, tmp_path):
    """Read-only from the start: a message that names it and exit 1."""
    with serve(shop.index, state=disk.path / "state", log=tmp_path / "log") as server, server.connect() as c:
        live.event(c, "before", shop.catalogue.ids[0])
    assert disk.remount("ro") == ""
    done = annex.run_annctl("serve", shop.index, "--state", disk.path / "state", "--port", annex.free_port(), timeout=30)
    assert done.returncode == 1 and "read-only" in done.stderr.lower() and str(disk.path) in done.stderr
    assert disk.remount("rw") == ""
    with serve(shop.index, state=disk.path / "state", log=tmp_path / "log") as server, server.connect() as c:
        assert c.call("SEEN", "before") == [shop.catalogue.ids[0].encode()]


# --- Errors that no disk of a test gives: put in the way by strace -------------------------------------------------------


@contextlib.contextmanager
def injected(server, tmp_path, calls: str, fault: str):
    """While this lasts, these calls of the server on the state's file end with an error."""
    if shutil.which("strace") is None:
        pytest.skip("no strace: tools/install-deps --test installs it")
    log, path = tmp_path / "injected", None
    for fd in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(fd).endswith("/" + STATE):
                path = os.readlink(fd)
    assert path is not None, "the server has no state open"
    strace = subprocess.Popen(["strace", "-f", "-p", str(server.process.pid), "-P", path, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}",
                               "-o", str(log)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        # strace says so once it has every thread.
        first = strace.stderr.readline()
        if "attached" not in first:
            strace.wait(10)
            pytest.skip(f"ptrace is not allowed here: {first.strip()[:200]}")
        yield log
    finally:
        if strace.poll() is None:
            strace.send_signal(signal.SIGINT)
            strace.wait(20)
        strace.stderr.close()


WRITING = "pwrite64,pwritev,writev,fdatasync"


@pytest.mark.parametrize("calls, fault, words", [
    ("fdatasync", "error=EIO:when=1", "Input/output"), ("pwrite64,pwritev,writev", "error=EROFS", "[Rr]ead-only"),
    ("pwrite64,pwritev,writev", "error=EIO", "Input/output"),
])
def test_a_write_that_fails_ends_writing_and_not_reading(shop, tmp_path, fact, calls, fault, words):
    """The first error is final, as nobody knows what is on the disk after it: a flush that works later proves nothing."""
    items = shop.catalogue.ids
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect() as c, Reader(server, "u1") as reader:
        for n in range(20):
            live.event(c, "before", items[n], 1, CUT + n)
        with injected(server, tmp_path, calls, fault):
            started = time.monotonic()
            error = c.error("EVENT", "during", items[0])
            took = time.monotonic() - started
            assert error.code == "ERR" and re.search(words, str(error)), str(error)
            for n in range(5):
                c.error("EVENT", "during", items[n])
        assert took < 5  # strace itself takes its time
        for n in range(5):
            again = c.error("EVENT", "later", items[n])
            assert again.code == "ERR" and "again" in str(again), f"it does not say that a restart is needed: {again}"
        c.error("EVENT.DEL", "before", items[0])
        c.error("FORGET", "before")
        assert live.state_line(c, "shop")["status"] == "failed"
        assert len(c.call("SEEN", "before")) == 20 and len(c.call("TOPK", "before", 10)) == 10
        before = reader.reads
        annex.wait_until(lambda: reader.reads > before + 20, 10, "reads go on")
        assert not reader.failures, reader.failures[:3]
        assert server.stop() == 0
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect() as c:
        assert len(c.call("SEEN", "before")) == 20
        # A refused event whose commit failed at the flush may be there or not; each as it was sent.
        assert set(c.call("SEEN", "during")) <= {i.encode() for i in items[:5]} and c.call("SEEN", "later") == []
        live.event(c, "later", items[0])
    fact(f"{calls} with {fault}: refused ({words}) in {1e3 * took:.0f} ms, then all changes until a restart; {reader.reads} reads, 0 failed")


@pytest.mark.parametrize("calls", ["pwrite64,pwritev,writev", "fdatasync"])
def test_no_space_of_the_system_passes(shop, tmp_path, calls):
    """ENOSPC where the file system seems to have room (a quota): refused while it lasts, taken again without a restart."""
    items = shop.catalogue.ids
    with serve(shop.index, state=tmp_path / "state", log=tmp_path / "log") as server, server.connect() as c:
        live.event(c, "before", items[0], 1, CUT)
        with injected(server, tmp_path, calls, "error=ENOSPC"):
            for n in range(3):
                error = c.error("EVENT", "during", items[n])
                assert error.code == "ERR" and re.search("(?i)space", str(error)), str(error)
            assert c.call("SEEN", "before") == [items[0].encode()]
        started = time.monotonic()
        annex.wait_until(lambda: takes(c, items[5]), 5, "events are taken again")
        assert time.monotonic() - started < WITHIN
        assert live.state_line(c, "shop")["status"] == "running"
        assert c.call("SEEN", "before") == [items[0].encode()]
