"""Hostile frames as fast as one process makes them (P1). A program of its own, so that who watches the server meanwhile
shares no interpreter with it:

    hostile_traffic.py PORT SEED FRAMES

Each connection gets, in RESP2, RESP3 or as lines: frames whose framing is right and whose contents are not (each is owed
exactly one reply, an empty one none), an ECHO of a mark that must come right after as many replies, then frames whose
framing is damaged too, and the end of the client's side. What the server says up to its own end must be legal replies.

The damaged part goes out with the rest, or once the mark has come back. In the first case the kernel resets the connection
where the server closes it (as it must after a protocol error) with bytes of ours unread, and throws away what it had not
delivered; the replies are then only counted as far as they came.
Prints what was done as JSON; the first broken promise ends it with exit 1, the seed and the bytes.
"""

from __future__ import annotations

import collections
import json
import random
import re
import socket
import sys

import hiredis

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
CODED = re.compile(r"[A-Z][A-Z0-9]* \S")
NUMBERS = [
    b"0", b"-1", b"1", b"2", b"10000", b"10001", b"65536", b"65537", b"1048576", b"1048577", b"2147483647", b"2147483648",
    b"4294967296", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"18446744073709551616",
    b"99999999999999999999999", b"+5", b"05", b" 5", b"5 ", b"0x10", b"1e3", b"\xd9\xa3",
]
WORDS = NUMBERS + [
    b"", b"\r\n", b"\x00", b"\xff\xfe", b"\"", b"'", b"nan", b"-inf", b"1e39", b"1e-46", b"\x1b[31m", b"*1\r\n$4\r\nPING\r\n",
    b"%s%n", b"../../etc/passwd", "é".encode(), b"TRUTH", b"EXCLUDE", b"WITHSCORES", b"INDEX", b"EF", b"NPROBE", b"COUNT", b"VALUES",
    b"AT", b"HISTORY", b"WEIGHTS", b"WITHSEEN", b"WITHTIMES",
]


def commands(indexes: list[bytes], version: int) -> list[list[bytes]]:
    """Of every command that neither ends the connection nor turns replies or settings off."""
    a, b = indexes[0], indexes[-1]
    blob = bytes(range(96))
    texts = [
        [b"PING"], [b"PING", b"x"], [b"ECHO", b"hello"], [b"TOPK", b"u1", b"5", b"INDEX", a], [b"TOPK", b"u2", b"10", b"INDEX", a, b"WITHSCORES"],
        [b"TOPK", b"u3", b"7", b"INDEX", b, b"EXCLUDE", b"2", b"i1", b"i2", b"WITHATTRIBS"], [b"TOPK", b"u4", b"3", b"INDEX", a, b"EF", b"40"],
        [b"MTOPK", b"2", b"u1", b"u2", b"3", b"INDEX", b], [b"SCORE", b"u1", b"2", b"i1", b"i2", b"INDEX", a],
        [b"VSIM", a, b"ELE", b"i1", b"COUNT", b"3"], [b"VSIM", a, b"FP32", blob], [b"VSIM", b, b"VALUES", b"3", b"1", b"2", b"0.5", b"WITHSCORES"],
        [b"VCARD", a], [b"VDIM", b], [b"VEMB", a, b"i1"], [b"VEMB", b, b"i3", b"RAW"], [b"VGETATTR", a, b"i1"], [b"VINFO", a],
        [b"VISMEMBER", a, b"i1"], [b"VLINKS", a, b"i1", b"WITHSCORES"], [b"VRANDMEMBER", a, b"-3"], [b"EXISTS", a, b"no"],
        [b"MEMORY", b"USAGE", a], [b"SCAN", b"0", b"MATCH", b"*", b"COUNT", b"10"], [b"TYPE", a], [b"ACL", b"WHOAMI"], [b"COMMAND", b"COUNT"],
        [b"COMMAND", b"DOCS", b"topk"], [b"COMMAND", b"GETKEYS", b"MTOPK", b"1", b"a", b"1"], [b"COMMAND", b"INFO", b"vsim"],
        [b"CONFIG", b"GET", b"max*"], [b"DBSIZE"], [b"INDEXES"], [b"INFO", b"server"], [b"LATENCY", b"LATEST"], [b"SLOWLOG", b"LEN"],
        [b"SLOWLOG", b"GET", b"1"], [b"CLIENT", b"ID"], [b"CLIENT", b"SETNAME", b"x"], [b"CLIENT", b"INFO"], [b"RELOAD", b"nothing"], [b"GET", b"x"],
        [b"EVENT", b"u1", b"i1", b"2", b"AT", b"5", b"INDEX", a], [b"EVENT", b"new", b"i2", b"INDEX", b], [b"EVENT.DEL", b"u1", b"i1", b"INDEX", a],
        [b"SEEN", b"u1", b"COUNT", b"3", b"WITHTIMES", b"INDEX", a], [b"FORGET", b"new", b"INDEX", b], [b"EXPLAIN", b"u1", b"i1", b"COUNT", b"2", b"INDEX", a],
        [b"WHYNOT", b"u1", b"i2", b"3", b"INDEX", a, b"WITHSEEN"],
        [b"TOPK", b"new", b"3", b"HISTORY", b"2", b"i1", b"i2", b"WEIGHTS", b"1", b"2", b"INDEX", b, b"WITHSCORES"],
        [b"MTOPK", b"2", b"u1", b"no", b"3", b"HISTORY", b"1", b"i1", b"INDEX", a],
    ]
    return texts + ([[b"HELLO", b"3"]] if version == 3 else [])


def encode(words: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%s\r\n" % (len(w), w) for w in words])


QUOTED = [b"\\x%02x" % n for n in range(256)]
for plain in b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-*.:":
    QUOTED[plain] = bytes([plain])


def line(words: list[bytes]) -> bytes:
    """As a line for people; quoted, so that it begins with no asterisk and keeps every byte."""
    return b" ".join([b"\"" + b"".join([QUOTED[n] for n in w]) + b"\"" for w in words]) + b"\r\n"


class Traffic:
    def __init__(self, seed: int, indexes: list[bytes]):
        self.random = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.commands = {version: commands(indexes, version) for version in (2, 3)}

    # Frames that are owed one reply -----------------------------------------------------------------------------------

    def words(self, version: int) -> list[bytes]:
        rng = self.random
        words = list(rng.choice(self.commands[version]))
        draw = rng.random()
        if draw < 0.2:
            return words
        for _ in range(1 if draw < 0.7 else rng.randrange(2, 5)):
            at = rng.randrange(len(words))
            kind = rng.randrange(7)
            if kind == 0:
                words[at] = rng.choice(WORDS)
            elif kind == 1:
                words.insert(at + 1, rng.choice(WORDS))
            elif kind == 2 and len(words) > 1:
                del words[max(at, 1)]
            elif kind == 3 and words[at]:
                old, place = words[at], rng.randrange(len(words[at]))
                words[at] = old[:place] + bytes([old[place] ^ (1 << rng.randrange(8))]) + old[place + 1:]
            elif kind == 4:
                words[at] = rng.randbytes(rng.randrange(1, 40))
            elif kind == 5:
                words += words[at:at + 3]
            else:
                words[at] = words[at] * rng.randrange(2, 9)
        # A draw may spell what ends a connection or its replies; that is other tests' business.
        head = words[0].upper()
        if head in (b"QUIT", b"AUTH") or head == b"HELLO" and version == 2:
            words[0] = b"NOTHING"
        if head == b"CLIENT" and len(words) > 1 and words[1].upper() in (b"KILL", b"REPLY") or head == b"CONFIG" and len(words) > 2:
            words[1] = b"HELP"
        if draw > 0.9998:
            words.append(rng.randbytes(rng.randrange(1_000, 1_000_000)))
            self.counts["with an argument of up to 1 MB"] += 1
        return words

    # Frames whose framing is damaged --------------------------------------------------------------------------------

    def damaged(self, version: int) -> bytes:
        rng = self.random
        kind = rng.randrange(8)
        if kind == 0:
            self.counts["random bytes"] += 1
            return rng.randbytes(rng.randrange(1, 200))
        if kind == 1:
            self.counts["huge or odd lengths"] += 1
            n = rng.choice(NUMBERS)
            return rng.choice([b"*%s\r\n", b"*1\r\n$%s\r\n", b"*2\r\n$4\r\nPING\r\n$%s\r\n", b"$%s\r\n", b"*%s\r\n$4\r\nPING\r\n"]) % n
        if kind == 2:
            self.counts["nested"] += 1
            return rng.choice([b"*1\r\n", b"*2\r\n$4\r\nPING\r\n", b"%1\r\n", b"~1\r\n", b">1\r\n", b"*3\r\n:1\r\n"]) * rng.randrange(2, 2000)
        frame = bytearray(encode(self.words(version)) if rng.random() < 0.8 else line(self.words(version)))
        if kind == 3:
            self.counts["cut"] += 1
            return bytes(frame[: rng.randrange(len(frame))])
        if kind == 4:
            self.counts["joined halves"] += 1
            other = encode(self.words(version))
            return bytes(frame[: rng.randrange(len(frame))]) + other[rng.randrange(len(other)):]
        if kind == 5 and rng.random() < 0.02:
            self.counts["lines without end"] += 1
            return rng.choice([b"x", b"*1", b"*1\r\n$0"]) * rng.randrange(1_000, 80_000)
        self.counts["bytes changed, inserted, removed"] += 1
        for _ in range(rng.randrange(1, 4)):
            at, what = rng.randrange(len(frame) + 1), rng.randrange(5)
            if what == 0 and at < len(frame):
                frame[at] ^= 1 << rng.randrange(8)
            elif what == 1:
                frame[at:at] = rng.choice(WORDS)
            elif what == 2:
                del frame[at:at + rng.randrange(1, 8)]
            elif what == 3:
                frame[at:at] = frame[: rng.randrange(40)]
            elif at < len(frame):
                frame[at] = rng.randrange(256)
        return bytes(frame)

    # Connections ------------------------------------------------------------------------------------------------------

    def batch(self) -> "Batch":
        rng = self.random
        version = rng.choice((2, 3))
        owed = rng.choice((0, 1, 7, 31, 127, 511))
        parts = [] if version == 2 else [b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"]
        replies = len(parts)
        for _ in range(owed):
            draw = rng.random()
            if draw < 0.03:
                parts.append(rng.choice((b"*0\r\n", b"*-1\r\n", b"\r\n", b"  \r\n", b"\n")))
                self.counts["empty"] += 1
                continue
            words = self.words(version)
            inline = draw < 0.3 and sum(map(len, words)) < 10_000
            # A line that is only an empty word asks for the empty command: still one reply.
            parts.append(line(words) if inline else encode(words))
            self.counts["lines" if inline else f"RESP{version}"] += 1
            replies += 1
        mark = b"mark%d" % rng.getrandbits(60)
        parts.append(encode([b"ECHO", mark]))
        broken = rng.randrange(1, 9)
        first, tail = b"".join(parts), b"".join([self.damaged(version) for _ in range(broken)])
        self.counts["connections"] += 1
        if rng.random() < 0.5:
            first, tail = first + tail, b""
        return Batch(first, tail, owed + 1 + broken, replies, mark, version)

    def pieces(self, data: bytes) -> list[bytes]:
        rng, draw = self.random, self.random.random()
        if draw < 0.02 and len(data) < 4_000:
            self.counts["batches in writes of 1 byte"] += 1
            return [data[n:n + 1] for n in range(len(data))]
        if draw < 0.2:
            self.counts["batches in a few writes"] += 1
            cuts = sorted({0, len(data), *(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 12)))})
            return [data[a:b] for a, b in zip(cuts, cuts[1:])]
        return [data]


class Batch:
    def __init__(self, first: bytes, tail: bytes, frames: int, replies: int, mark: bytes, version: int):
        self.first, self.tail, self.frames, self.replies, self.mark, self.version = first, tail, frames, replies, mark, version
        self.socket: socket.socket | None = None
        self.cut, self.count = False, 0
        self.reader = hiredis.Reader(notEnoughData=...)

    def begin(self, port: int, traffic: Traffic) -> "Batch":
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(self.first, traffic, last=not self.tail)
        return self

    def send(self, data: bytes, traffic: Traffic, last: bool) -> None:
        try:
            for piece in traffic.pieces(data):
                self.socket.sendall(piece)
            if last:
                self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # also ENOTCONN, from the shutdown
            self.cut = True

    def read(self, traffic: Traffic) -> bool:
        """False at the end."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            self.cut = True
            return False
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not ...:
            self.look(reply, self.count, traffic)
            self.count += 1
        return bool(data)

    def end(self, traffic: Traffic) -> None:
        if self.tail:
            while self.count <= self.replies:
                assert self.read(traffic), f"closed after {self.count} replies, {self.replies} and a mark were owed"
            self.send(self.tail, traffic, last=True)
        while self.read(traffic):
            pass
        self.socket.close()
        traffic.counts["replies"] += self.count
        if self.cut:
            traffic.counts["connections reset, in order up to there"] += 1
        else:
            assert not self.reader.has_data(), "half a reply at the end"
            assert self.count > self.replies, f"{self.count} replies, {self.replies} and a mark were owed"

    def look(self, reply, at: int, traffic: Traffic) -> None:
        if at == self.replies:
            assert reply == self.mark, f"reply {at} should be the mark, not {reply!r:.200}"
        if isinstance(reply, Exception):
            text = str(reply)
            assert CODED.match(text) and not CONTROL.search(text), f"error text {text!r:.300}"
            if text.startswith("ERR Protocol error"):
                assert at > self.replies, f"reply {at} of {self.replies} is {text!r}"
                traffic.counts["protocol errors"] += 1
            else:
                traffic.counts["errors"] += 1
        elif at <= self.replies and self.version == 2:
            assert not isinstance(reply, (bool, float, dict, set)), f"a RESP3 type in RESP2: {reply!r:.200}"


def main(port: int, seed: int, frames: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as c:
        c.sendall(b"*2\r\n$4\r\nSCAN\r\n$1\r\n0\r\n")
        reader = hiredis.Reader(notEnoughData=...)
        while (reply := reader.gets()) is ...:
            reader.feed(c.recv(1 << 16))
    traffic = Traffic(seed, sorted(reply[1]))
    sent, flight = 0, collections.deque()
    while sent < frames or flight:
        while sent < frames and len(flight) < 4:
            flight.append(traffic.batch().begin(port, traffic))
            sent += flight[-1].frames
        batch = flight.popleft()
        try:
            batch.end(traffic)
        except (AssertionError, hiredis.ProtocolError, TimeoutError) as error:
            print(json.dumps({"seed": seed, "sent": sent, "problem": f"{type(error).__name__}: {error}", "bytes": (batch.first + batch.tail)[-4000:].hex()}))
            return 1
    print(json.dumps({"seed": seed, "sent": sent, "counts": dict(sorted(traffic.counts.items()))}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:4])))
