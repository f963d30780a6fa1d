"""A server of EVENT and INDEXES that misbehaves as told, for the tests of `annctl ingest`: threads, RESP2, no state on disk."""

from __future__ import annotations

import random
import socket
import threading

import annex


class FakeStateServer:
    """Stores events in a dictionary by (user, item, time), as a server with --state does.

    `answer(words, number)` may give bytes to say instead, "close" to close the connection without storing, "store and close"
    to close it behind the storing, or "silence"; None: it is stored. `number` counts EVENTs over all connections.
    """

    def __init__(self, items, answer=None, delay=0.0, indexes=("shop",), password=None):
        self.items, self.answer, self.delay, self.indexes = set(items), answer, delay, indexes
        self.password = password
        self.events: dict[tuple, float] = {}
        self.log: list[tuple] = []  # (connection, user, item, weight, time), in the order in which they were stored
        self.asked = self.open = self.most = self.connections = 0
        self.lock = threading.Lock()
        self.random = random.Random(62)
        self.sockets: list[socket.socket] = []

    def __enter__(self) -> "FakeStateServer":
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def stop(self) -> None:
        """Closes everything; `start_again` listens on the same port."""
        self.listener.close()
        with self.lock:
            sockets, self.sockets = self.sockets, []
        for link in sockets:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            link.close()

    def start_again(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                self.sockets.append(link)
                number = self.connections
            threading.Thread(target=self._serve, args=(link, number), daemon=True).start()

    def _serve(self, link, number) -> None:
        authenticated = self.password is None
        try:
            with link, link.makefile("rb") as stream:
                while words := self._read(stream):
                    reply = None
                    name = words[0].upper()
                    if name == b"AUTH":
                        authenticated = words[-1].decode() == self.password
                        reply = b"+OK\r\n" if authenticated else b"-WRONGPASS wrong password\r\n"
                    elif not authenticated:
                        reply = b"-NOAUTH Authentication required.\r\n"
                    elif name == b"INDEXES":
                        reply = b"*%d\r\n" % len(self.indexes) + b"".join(
                            b"*2\r\n$4\r\nname\r\n$%d\r\n%s\r\n" % (len(i), i.encode()) for i in self.indexes)
                    elif name == b"EVENT":
                        reply = self._event(words, number)
                    else:
                        reply = b"-ERR unknown command\r\n"
                    if reply == b"close":
                        return
                    link.sendall(reply)
        except OSError:
            pass

    @staticmethod
    def _read(stream) -> list[bytes]:
        line = stream.readline()
        if not line:
            return []
        assert line[:1] == b"*", line
        words = []
        for _ in range(int(line[1:])):
            words.append(stream.read(int(stream.readline()[1:])))
            assert stream.read(2) == b"\r\n"
        return words

    def _event(self, words, connection) -> bytes:
        with self.lock:
            number = self.asked
            self.asked += 1
            self.open += 1
            self.most = max(self.most, self.open)
            delay = self.random.random() * self.delay
        annex.pace(delay)
        said = self.answer(words, number) if self.answer else None
        with self.lock:
            self.open -= 1
            if said == "close":
                return b"close"
            if isinstance(said, bytes):
                return said
            if said != "silence":
                user, item, weight, at = words[1].decode(), words[2].decode(), float(words[3]), int(words[5])
                assert words[4] == b"AT" and words[6:] == [b"INDEX", self.indexes[0].encode()], words
                if item not in self.items:
                    return b"-NOITEM no such item\r\n"
                self.events[user, item, at] = weight
                self.log.append((connection, user, item, weight, at))
                return b"close" if said == "store and close" else b"+OK\r\n"
        annex.lasting(60, "it never answers")
        return b"close"
