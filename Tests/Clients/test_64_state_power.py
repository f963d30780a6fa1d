"""Power loss (D2): an event is acknowledged only after the flush that covers it has returned, as strace saw it.

ANNEX_STATE_TRACED sets how many events are traced. A user's id is in the request, in the page that LMDB writes and nowhere else, so
that each event has a commit of its own to wait for: its page written, then fdatasync, then the meta page through a descriptor that
was opened with O_DSYNC, then +OK.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import annex
import live
from annex import encode
from live import CUT, serve

CONNECTIONS, DEPTH = 16, 4
TRACED = ("read,readv,recvfrom,recvmsg,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fdatasync,fsync,msync,sync_file_range,"
          "open,openat,dup,dup2,dup3,close,accept,accept4,clone,clone3,fork,vfork")
USER = re.compile(r"trace-\d{6}(?!\d)")
LINE = re.compile(r"^(\d+)\s+(.*)$")


# --- The checker -------------------------------------------------------------------------------------------------------


@dataclass
class Call:
    """One system call: the places in the trace where it was entered and where it returned."""

    thread: str
    name: str
    arguments: str
    begun: int
    ended: int | None = None
    result: int | None = None

    @property
    def descriptor(self) -> int | None:
        number = re.match(r"\d+", self.arguments)
        return int(number.group()) if number else None


def calls(lines) -> list[Call]:
    """The calls of an `strace -f -o` in the order in which they were entered."""
    found, open_calls = [], {}
    for place, line in enumerate(lines):
        match = LINE.match(line)
        if not match:
            continue
        thread, rest = match.groups()
        if resumed := re.match(r"<\.\.\. (\w+) resumed>(.*)$", rest):
            call = open_calls.pop(thread, None)
            if call is None or call.name != resumed.group(1):
                continue
            rest = resumed.group(2)
            call.arguments += rest
        elif entered := re.match(r"(\w+)\((.*)$", rest):
            rest = entered.group(2)
            call = Call(thread, entered.group(1), rest, place)
            found.append(call)
            if rest.endswith("<unfinished ...>"):
                call.arguments = rest.removesuffix("<unfinished ...>")
                open_calls[thread] = call
                continue
        else:
            continue
        if result := re.search(r"\)\s+= (-?\d+|0x[0-9a-f]+|\?)[^=]*$", rest):
            call.ended = place
            call.result = None if result.group(1) == "?" else int(result.group(1), 0)
    return found


def server_only(found: list[Call]) -> list[Call]:
    """Those of the process that the trace began with: children (a check of the file, say) have descriptors of their own."""
    parents = {str(call.result): call.thread for call in found
               if call.name in ("clone", "clone3", "fork", "vfork") and call.result and "CLONE_THREAD" in call.arguments}

    def process(thread: str) -> str:
        while thread in parents:
            thread = parents[thread]
        return thread

    return [call for call in found if process(call.thread) == process(found[0].thread)]


@dataclass
class Verdict:
    acknowledged: int = 0
    commits: int = 0
    violations: list[str] = field(default_factory=list)


WRITES = {"write", "writev", "pwrite64", "pwritev", "pwritev2"}
SENDS = {"write", "writev", "sendto", "sendmsg"}
RECEIVES = {"read", "readv", "recvfrom", "recvmsg"}


def check(lines) -> Verdict:
    """Whether each +OK went out after a whole commit of its event. The state's file is known by its name."""
    verdict, opened = Verdict(), {}  # descriptor -> whether its writes are flushed by themselves
    sockets: dict[int, list[str]] = {}  # descriptor -> the users of the events that came and were not answered
    pages: dict[str, Call] = {}  # user -> the first write of a page that holds the id
    writes, flushes, metas, replies = [], [], [], []
    for call in server_only(calls(lines)):
        fd, worked = call.descriptor, call.result is not None and call.result >= 0
        if call.name in ("open", "openat") and worked:
            opened.pop(call.result, None)
            if '/state.lmdb"' in call.arguments:
                opened[call.result] = "O_DSYNC" in call.arguments or "O_SYNC" in call.arguments
        elif call.name in ("accept", "accept4") and worked:
            sockets[call.result] = []
        elif call.name == "close" and worked:
            opened.pop(fd, None)
            sockets.pop(fd, None)
        elif call.name in RECEIVES and fd in sockets and worked:
            sockets[fd] += USER.findall(call.arguments)
        elif call.name in WRITES and fd in opened:
            (metas if opened[fd] else writes).append(call)
            if not opened[fd]:
                for user in USER.findall(call.arguments):
                    pages.setdefault(user, call)
        elif call.name in ("fdatasync", "fsync", "msync") and (fd in opened or call.name == "msync"):
            flushes.append(call)
        elif call.name in SENDS and fd in sockets:
            for _ in range(call.arguments.count("+OK\\r\\n")):
                replies.append((call, sockets[fd].pop(0) if sockets[fd] else None))
    verdict.commits = len(metas)
    for reply, user in replies:
        if user is None:
            verdict.violations.append(f"line {reply.begun + 1}: an OK that nobody asked for")
            continue
        verdict.acknowledged += 1
        if fault := fault_of(user, reply, pages.get(user), writes, flushes, metas):
            verdict.violations.append(f"line {reply.begun + 1}: OK for {user}, {fault}")
    return verdict


def fault_of(user: str, reply: Call, page: Call | None, writes, flushes, metas) -> str | None:
    """Why the OK came too early; None where it did not."""
    if page is None or page.ended is None or page.ended >= reply.begun or page.result <= 0:
        return "whose page had not been written"
    # The commit ends with the first meta page after that page. All its pages must lie on the disk before it is written.
    meta = next((m for m in metas if m.begun > page.ended), None)
    if meta is None or meta.ended is None or meta.ended >= reply.begun:
        return "whose commit's meta page had not been written and flushed"
    if meta.result is None or meta.result <= 0:
        return "whose commit's meta page could not be written"
    last = max(w.ended or len(writes) + meta.begun for w in writes if page.begun <= w.begun < meta.begun)
    if not any(f.begun > last and f.ended is not None and f.ended < meta.begun and f.result == 0 for f in flushes):
        return "whose pages were not flushed before the meta page was written"
    return None


# --- The checker checked -----------------------------------------------------------------------------------------------

# As strace writes it: two threads, calls that are interrupted by others.
GOOD = r"""
7 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88) = 30
30 openat(AT_FDCWD, "/s/shop/state.lmdb", O_RDONLY|O_CLOEXEC) = 12
30 close(12) = 0
7 clone3({flags=CLONE_VM|CLONE_FILES|CLONE_THREAD} => {parent_tid=[8]}, 88) = 8
7 openat(AT_FDCWD, "/s/shop/state.lmdb", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 8
7 openat(AT_FDCWD, "/s/shop/state.lmdb", O_WRONLY|O_DSYNC|O_CLOEXEC) = 9
7 accept4(5, NULL, NULL, SOCK_NONBLOCK) = 12
7 read(12, "*3\r\n$5\r\nEVENT\r\n$12\r\ntrace-000001\r\n$1\r\n1\r\n", 2048) = 43
8 pwrite64(8, "\0\0\0trace-000001\0\0", 4096, 16384) = 4096
8 pwrite64(8, "\0\0\0other page", 4096, 20480) = 4096
7 read(12, "*3\r\n$5\r\nEVENT\r\n$12\r\ntrace-000002\r\n$1\r\n1\r\n", 2048 <unfinished ...>
8 fdatasync(8 <unfinished ...>
7 <... read resumed>) = 43
8 <... fdatasync resumed>) = 0
8 pwrite64(9, "meta", 136, 16) = 136
7 write(12, "+OK\r\n", 5) = 5
8 writev(8, [{iov_base="trace-000001 trace-000002", iov_len=4096}], 1) = 4096
8 fdatasync(8) = 0
8 pwrite64(9, "meta", 136, 4112 <unfinished ...>
8 <... pwrite64 resumed>) = 136
7 writev(12, [{iov_base="+OK\r\n", iov_len=5}], 1) = 5
""".strip().splitlines()


def changed(old: str, new: str, which: int = 0) -> list[str]:
    places = [n for n, line in enumerate(GOOD) if old in line]
    lines = list(GOOD)
    lines[places[which]] = lines[places[which]].replace(old, new)
    return lines


def moved(old: str, which: int, to: int) -> list[str]:
    places = [n for n, line in enumerate(GOOD) if old in line]
    lines = list(GOOD)
    line = lines.pop(places[which])
    lines.insert(to, line)
    return lines


def test_the_checker_passes_a_good_trace():
    verdict = check(GOOD)
    assert verdict.violations == [] and (verdict.acknowledged, verdict.commits) == (2, 2)


@pytest.mark.parametrize("lines, words", [
    ([line for line in GOOD if line != "8 fdatasync(8) = 0"], "trace-000002, whose pages were not flushed"),
    ([line for line in GOOD if "fdatasync(8 <" not in line and "fdatasync resumed" not in line], "trace-000001, whose pages were not"),
    (changed("8 fdatasync(8) = 0", "8 fdatasync(8) = -1 EIO (Input/output error)"), "trace-000002, whose pages were not"),
    (changed("8 fdatasync(8) = 0", "8 fdatasync(10) = 0"), "trace-000002, whose pages were not"),
    (moved("+OK", 1, 17), "trace-000002, whose commit's meta"), (moved("+OK", 1, 19), "trace-000002, whose commit's meta"),
    (moved("+OK", 0, 9), "trace-000001, whose commit's meta"), (moved("+OK", 0, 13), "trace-000001, whose commit's meta"),
    (moved("+OK", 0, 8), "trace-000001, whose page had not"), (moved("8 fdatasync(8) = 0", 0, 16), "trace-000002, whose pages were not"),
    (moved("other page", 0, 12), "trace-000001, whose pages were not"),
    (changed("O_DSYNC|", ""), "meta page"), (GOOD + ["7 write(12, \"+OK\\r\\n\", 5) = 5"], "nobody asked"),
    (changed("writev(12, [{iov_base=\"+OK", "writev(12, [{iov_base=\"+OK\\r\\n+OK"), "nobody asked"),
])
def test_the_checker_fails_a_doctored_trace(lines, words):
    assert any(words in violation for violation in check(lines).violations), check(lines).violations


# --- The server --------------------------------------------------------------------------------------------------------


def needs_strace(tmp_path):
    if shutil.which("strace") is None:
        pytest.skip("no strace: tools/install-deps --test installs it")
    done = subprocess.run(["strace", "-f", "-o", tmp_path / "probe", "true"], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        pytest.skip(f"ptrace is not allowed here: {done.stderr.strip()[:200]}")


def send_events(server, items, wanted: int, refused: list) -> None:
    """`wanted` events, each of a user of its own, from CONNECTIONS connections with DEPTH of them on their way."""
    share = [range(n, wanted, CONNECTIONS) for n in range(CONNECTIONS)]

    def send(numbers):
        with server.connect(timeout=120) as c:
            for start in range(0, len(numbers), DEPTH):
                group = numbers[start:start + DEPTH]
                for number in group:
                    c.send(encode("EVENT", f"trace-{number:06}", items[number % len(items)], 1, "AT", CUT + number))
                refused.extend(r for r in (c.read() for _ in group) if r != "OK")

    threads = [threading.Thread(target=send, args=(numbers,)) for numbers in share]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)


def traced(folder, tmp_path, wanted: int, options=()) -> list[str]:
    shop = live.make_shop(tmp_path, "shop", items=300, users=20)
    trace = tmp_path / "trace"
    prefix = ["strace", "-f", "-q", "-s", "70000", "-e", "abbrev=none", "-e", f"trace={TRACED}", "-e", "signal=none", "-o", str(trace)]
    refused: list = []
    server = serve(shop.index, state=tmp_path / "state", log=tmp_path / "log", prefix=prefix, options=options)
    with server:
        send_events(server, shop.catalogue.ids, wanted, refused)
        strace = server.process.pid
        for child in Path(f"/proc/{strace}/task/{strace}/children").read_text().split():  # strace ends with the server
            os.kill(int(child), signal.SIGTERM)
        server.process.wait(60)
    assert not refused, refused[:3]
    with open(trace, encoding="latin-1") as file:
        return file.read().split("\n")


def test_no_ok_before_its_flush(folder, tmp_path, fact):
    needs_strace(tmp_path)
    wanted = annex.setting("ANNEX_STATE_TRACED", 1000)
    lines = traced(folder, tmp_path, wanted)
    verdict = check(lines)
    assert verdict.violations == [], f"{len(verdict.violations)} violations: {verdict.violations[:5]}"
    assert verdict.acknowledged == wanted
    # The same trace with one flush taken away, or failed, does not pass.
    flushes = [c for c in server_only(calls(lines)) if c.name == "fdatasync" and c.ended is not None]
    caught = 0
    for number in {len(flushes) // 4, len(flushes) // 2, 3 * len(flushes) // 4}:
        doctored = list(lines)
        for place in {flushes[number].begun, flushes[number].ended}:
            doctored[place] = ""
        caught += bool(check(doctored).violations)
    assert caught > 0, "a trace without a flush passed"
    fact(f"events traced by strace: {verdict.acknowledged} from {CONNECTIONS} connections in {verdict.commits} commits, 0 acknowledged before "
         f"the flush; {caught} of 3 traces with a flush taken away were caught")


def test_the_checker_sees_what_interval_durability_gives_up(folder, tmp_path, fact):
    """With `--durability interval` OK may come before the flush: were that not seen, the checker would see nothing."""
    live.needs_option("--durability")
    needs_strace(tmp_path)
    verdict = check(traced(folder, tmp_path, 200, options=["--durability", "interval:500"]))
    fact(f"the same with --durability interval:500: {len(verdict.violations)} of {verdict.acknowledged} acknowledged before the flush")
    assert verdict.acknowledged == 200 and verdict.violations
