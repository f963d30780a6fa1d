"""RESP by hand: a connection and a strict parser, which share no code with the server or with any client."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field


class ServerError(Exception):
    @property
    def code(self) -> str:
        return str(self).split(" ", 1)[0]


@dataclass
class Push:
    items: list = field(default_factory=list)


def encode(*arguments) -> bytes:
    out = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        out.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(out)


class Connection:
    """One connection with a strict RESP2 and RESP3 parser: a malformed reply is a failure, never skipped."""

    def __init__(self, port: int, timeout: float = 10, host: str = "127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.position = 0

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def call(self, *arguments):
        """The reply; an error reply is raised as ServerError."""
        self.send(encode(*arguments))
        reply = self.read()
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def error(self, *arguments) -> ServerError:
        """The error reply; anything else fails."""
        self.send(encode(*arguments))
        reply = self.read()
        assert isinstance(reply, ServerError), f"{arguments!r:.200} answered {reply!r:.200}, not an error"
        check_error_text(str(reply))
        return reply

    def at_end(self) -> bool:
        """Whether the server closed, after reading what it still sent."""
        try:
            while self._fill():
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    def _fill(self) -> bool:
        if self.position > 1 << 20:
            self.buffer, self.position = self.buffer[self.position:], 0
        data = self.socket.recv(1 << 18)
        self.buffer += data
        return bool(data)

    def _line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n", self.position)) < 0:
            if not self._fill():
                raise EOFError("closed within a reply" if len(self.buffer) > self.position else "closed")
        line = self.buffer[self.position:end]
        assert b"\n" not in line and b"\r" not in line, f"raw line end within {line!r:.100}"
        self.position = end + 2
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self.buffer) - self.position < count + 2:
            if not self._fill():
                raise EOFError("closed within a bulk")
        data = self.buffer[self.position:self.position + count]
        assert self.buffer[self.position + count:self.position + count + 2] == b"\r\n", "a bulk without its CR LF"
        self.position += count + 2
        return data

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ServerError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self._exactly(int(rest))
        if kind == b"=":
            return self._exactly(int(rest))[4:]
        if kind in b"*~":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b">":
            return Push([self.read() for _ in range(int(rest))])
        if kind == b"%":
            return Pairs((self.read(), self.read()) for _ in range(int(rest)))
        if kind == b"_" and rest == b"":
            return None
        if kind == b"#" and rest in b"tf":
            return rest == b"t"
        if kind == b",":
            return float(rest)
        if kind == b"(":
            return int(rest)
        raise AssertionError(f"not a RESP reply: {line!r:.100}")


class Pairs(list):
    """A RESP3 map in the order it came."""

    def get(self, key, default=None):
        key = key.encode() if isinstance(key, str) else key
        return next((v for k, v in self if k == key or (isinstance(k, str) and k.encode() == key)), default)


def check_error_text(text: str) -> None:
    """An error has a code in capitals and a sentence, and no control byte of the client's comes back raw (P12)."""
    assert re.match(r"^[A-Z][A-Z0-9]* \S", text), f"no code and sentence: {text!r}"
    assert not re.search(r"[\x00-\x1f\x7f]", text), f"raw control byte in {text!r}"


def pairs(reply) -> list[tuple]:
    """[(id, score)] of a reply with scores in either protocol."""
    if isinstance(reply, Pairs):
        return [(k, float(v)) for k, v in reply]
    if reply and isinstance(reply[0], list):
        return [(i, float(s)) for i, s in reply]
    return [(reply[n], float(reply[n + 1])) for n in range(0, len(reply), 2)]
