"""Damaged event stores (D8): the server starts and serves what is whole, or ends with a message. Never by a signal.

ANNEX_STATE_DAMAGES sets how many copies are damaged. Records carry checksums, so that what is served was stored once, whatever
the damage.
"""

import collections
import concurrent.futures
import contextlib
import os
import shutil
import subprocess
import time

import pytest

import annex
import live
from annex import ServerError
from live import CUT, STATE, seen, serve, text

PAGE = 4096


@pytest.fixture(scope="module")
def whole(folder):
    """A shop and a state of some hundred pages, with every kind of record: (shop, folder, each user's items and their newest times)."""
    shop = live.make_shop(folder / "damage", "shop", items=200, users=30)
    rng, events, sent = annex.generator("state damage"), collections.defaultdict(dict), []
    for user in [*shop.catalogue.user_ids, *[f"n{n}" for n in range(170)], "big"]:  # "big" fills pages of its own
        for at in range(1500 if user == "big" else int(rng.integers(1, 60 if user.startswith("u") else 12))):
            item = shop.catalogue.ids[at % 200 if user == "big" else int(rng.integers(200))]
            events[user][item] = CUT + 1 + at
            sent.append((user, item, 2, CUT + 1 + at))
    with serve(shop.index, state=folder / "damage" / "state", log=folder / "damage.log") as server, server.connect(timeout=30) as c:
        live.events_at_once(server, sent)
        for n in range(5):
            item = next(iter(events[f"n{n}"]))
            assert c.call("EVENT.DEL", f"n{n}", item) == 1
            del events[f"n{n}"][item]
            assert c.call("FORGET", f"n{n + 5}") == 1
            events[f"n{n + 5}"] = {}
    return shop, folder / "damage" / "state" / "shop", events


KINDS = ["bit", "header", "zeroed page", "garbage page", "swapped pages", "cut", "first pages", "bits", "bit", "header", "cut within a page",
         "appended", "bit", "garbage", "empty"]


def damage(path, kind: str, rng) -> None:
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        def put(offset, data):
            file.seek(offset)
            file.write(data)

        def flip(low, high):
            offset = int(rng.integers(low, high))
            file.seek(offset)
            put(offset, bytes([file.read(1)[0] ^ (1 << int(rng.integers(8)))]))

        page = int(rng.integers(size // PAGE)) * PAGE
        if kind == "bit":
            flip(0, size)
        elif kind == "bits":
            for _ in range(int(rng.integers(2, 200))):
                flip(0, size)
        elif kind == "first pages":
            flip(0, min(size, 8 * PAGE))
        elif kind == "header":  # of a page: its kind, its number of entries, its pointers
            flip(page, page + 64)
        elif kind == "cut":
            file.truncate(page)
        elif kind == "cut within a page":
            file.truncate(int(rng.integers(size)))
        elif kind == "zeroed page":
            put(page, bytes(PAGE))
        elif kind == "garbage page":
            put(page, rng.bytes(PAGE))
        elif kind == "swapped pages":
            other = int(rng.integers(size // PAGE)) * PAGE
            file.seek(page)
            one = file.read(PAGE)
            file.seek(other)
            put(page, file.read(PAGE))
            put(other, one)
        elif kind == "garbage":
            put(0, rng.bytes(size))
        elif kind == "empty":
            file.truncate(0)
        else:
            put(size, rng.bytes(int(rng.integers(1, 3 * PAGE))))


def start(shop, state, log, within=30.0):
    """(process, port): as soon as the server answers, or has ended."""
    port = annex.free_port()
    command = [annex.annctl_path(), "serve", str(shop.index), "--state", str(state), "--host", "127.0.0.1", "--port", str(port)]
    with open(log, "wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    deadline = time.monotonic() + within
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with annex.Connection(port, timeout=1) as c:
                if c.call("PING") == "PONG":
                    return process, port
        except (OSError, EOFError):
            annex.pace(0.01)
    return process, port


def ask_everything(port, shop, events) -> collections.Counter:
    """SEEN, TOPK, EVENT and EVENT.DEL of every user; counts answers, errors, and events that were not told. What is told was
    stored once."""
    counted, users = collections.Counter(), list(events)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for task in [pool.submit(ask, port, shop, events, users[n::16], counted) for n in range(16)]:
            task.result()
    with annex.Connection(port, timeout=30) as c:
        counted["damaged records"] = int(live.state_line(c, "shop")["damaged_records"])
        for words in (("FORGET", "n20"), ("INFO",), ("INDEXES",)):
            with contextlib.suppress(ServerError):
                c.call(*words)
    return counted


def ask(port, shop, events, users, counted) -> None:
    with annex.Connection(port, timeout=30) as c:
        for user in users:
            for words in (("SEEN", user, "WITHTIMES"), ("TOPK", user, 10), ("EVENT", user, shop.catalogue.ids[1], 1, "AT", CUT - 7),
                          ("EVENT.DEL", user, shop.catalogue.ids[2]), ("SEEN", user), ("TOPK", user, 10, "WITHSCORES")):
                try:
                    reply = c.call(*words)
                except ServerError as error:
                    annex.check_error_text(str(error))
                    counted["errors"] += 1
                    continue
                counted["answers"] += 1
                if "WITHTIMES" in words:
                    told = {text(reply[n]) for n in range(0, len(reply), 2) if reply[n + 1] is not None}
                    # An older event of an item may show where a newer one's record is damaged, so only the item is compared.
                    invented = told - set(events[user])
                    assert not invented, f"{user} never had {sorted(invented)[:3]}"
                    counted["missing"] += len(set(events[user]) - told)


def test_damaged_states(whole, tmp_path, fact):
    shop, source, events = whole
    rng, wanted = annex.generator("state damages"), annex.setting("ANNEX_STATE_DAMAGES", 30)
    outcome, kinds, errors, missing, silent = collections.Counter(), collections.Counter(), 0, 0, []
    for turn in range(wanted):
        place = live.copy_state(source, tmp_path / f"state{turn}" / "shop")
        before = (place / STATE).read_bytes()
        kind = KINDS[turn % len(KINDS)]
        damage(place / STATE, kind, rng)
        unharmed = (place / STATE).read_bytes() == before
        kinds[kind] += 1
        what = f"damage {turn} ({kind})"
        process, port = start(shop, place.parent, tmp_path / "server.log")
        said = (tmp_path / "server.log").read_text(errors="replace")
        try:
            if process.poll() is None:
                found = ask_everything(port, shop, events)
                errors += found["errors"]
                missing += found["missing"]
                if found["missing"] and not found["damaged records"] + found["errors"]:
                    silent.append(f"{what}: {found['missing']} events")
                assert process.poll() is None, f"{what}: ended with {process.returncode} while asked"
                process.terminate()
                code = process.wait(20)
                assert code == 0, f"{what}: exit {code} after SIGTERM:\n{(tmp_path / 'server.log').read_text()[-2000:]}"
                outcome["served"] += 1
            else:
                assert not unharmed, f"{what}: nothing was damaged, yet it is refused: {said}"
                assert process.returncode == 1, f"{what}: ended with {process.returncode}:\n{said[-2000:]}"
                assert STATE in said, f"{what}: the message does not name the file:\n{said[-2000:]}"
                outcome["refused"] += 1
        except (OSError, EOFError) as error:
            process.wait(20)
            raise AssertionError(f"{what}: {error!r}, exit {process.returncode}:\n"
                                 f"{(tmp_path / 'server.log').read_text(errors='replace')[-2000:]}") from error
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)
        os.unlink(place / STATE)
    fact(f"damaged states: {wanted} ({dict(kinds)}): {outcome['served']} served, {outcome['refused']} refused with a message, 0 signals, "
         f"{errors} error replies and {missing} events skipped while served, in {len(silent)} copies without a word")
    assert not silent, f"events are missing and INFO counts no damaged record: {silent[:5]}"


def test_the_whole_one_is_served(whole, tmp_path):
    """So that the campaign does not pass for the wrong reason."""
    shop, source, events = whole
    place = live.copy_state(source, tmp_path / "state" / "shop")
    with serve(shop.index, state=place.parent, log=tmp_path / "log") as server, server.connect() as c:
        for user, items in events.items():
            told = {item: at for item, at in seen(c, user) if at is not None}
            assert told == items, user
    stored = {(u, i) for u, i, _, _ in live.stored_events(source / STATE)}
    assert stored == {(u, i) for u, items in events.items() for i in items}


def test_a_record_with_a_wrong_checksum_is_skipped_and_counted(whole, tmp_path):
    """One byte of one weight, found by its record: that event is not served, all others are."""
    shop, source, events = whole
    place = live.copy_state(source, tmp_path / "state" / "shop")
    content = bytearray((place / STATE).read_bytes())
    user = next(u for u in events if u.startswith("n") and len(events[u]) >= 5)
    item, at = max(events[user].items(), key=lambda e: e[1])
    record = (at + (1 << 63)).to_bytes(8, "big") + bytes([len(item.encode())]) + item.encode()
    hits = [n for n in range(len(content)) if content.startswith(record, n)]
    assert hits, "the record cannot be found"
    for hit in hits:  # old pages may hold it too
        content[hit + len(record) + 6] ^= 0x10
    (place / STATE).write_bytes(content)
    with serve(shop.index, state=place.parent, log=tmp_path / "log") as server, server.connect() as c:
        told = {i: t for i, t in seen(c, user) if t is not None}
        assert item not in told or told[item] != at, "an event with a wrong checksum was served"
        assert {i: t for i, t in told.items() if i != item} == {i: t for i, t in events[user].items() if i != item}
        assert len(c.call("TOPK", user, 10)) == 10


def odd_files(shop, source) -> dict:
    """What may lie where the state should, and how to make it."""

    def sparse(path):
        with open(path, "wb") as file:
            file.truncate(1 << 40)

    def sparse_after(path):
        shutil.copyfile(source / STATE, path)
        os.truncate(path, 1 << 38)

    version = annex.current_version(shop.index)
    return {
        "folder": os.mkdir, "pipe": os.mkfifo, "link to nothing": lambda path: os.symlink("nowhere", path),
        "link to itself": lambda path: os.symlink(path.name, path), "link to /dev/zero": lambda path: os.symlink("/dev/zero", path),
        "hole of 1 TiB": sparse, "hole behind it": sparse_after, "one byte": lambda path: path.write_bytes(b"x"),
        "text": lambda path: path.write_text("not a state\n" * 1000), "another LMDB": lambda path: shutil.copyfile(version / "items.lmdb", path),
        "vectors": lambda path: shutil.copyfile(version / "vectors.f32", path),
    }


def test_what_is_no_state_at_all(whole, tmp_path, fact):
    """Refused in words within seconds, and left as it was; nothing waits for ever, nothing takes all memory."""
    shop, source, _ = whole
    outcome, wrong = collections.Counter(), []
    for what, make in odd_files(shop, source).items():
        place = tmp_path / what.replace(" ", "-").replace("/", "") / "shop"
        place.mkdir(parents=True)
        make(place / STATE)
        process, port = start(shop, place.parent, tmp_path / "server.log", within=5)
        said = (tmp_path / "server.log").read_text(errors="replace")
        try:
            if process.poll() is None and what in ("link to nothing", "hole behind it") and said:  # made, or taken for what it was
                outcome["served"] += 1
                process.terminate()
                assert process.wait(20) == 0
            elif process.poll() == 1 and STATE in said and os.path.lexists(place / STATE):
                outcome["refused"] += 1
            else:
                wrong.append(f"{what}: {'does not end' if process.poll() is None else f'exit {process.returncode}'}: {said[-300:]}")
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)
    fact(f"things that are no state: {dict(outcome)}")
    assert not wrong, wrong
