"""Clients that send a byte every few seconds (P9); a program of its own, so that it does not slow who watches the server:

    slow_clients.py PORT COUNT SECONDS

Half of them spell PING over and over and must get their PONG; the other half begin a command that never ends, which the
server closes 30 s after its first byte; they come back as new clients. Prints what came of them as JSON.
"""

import heapq
import json
import resource
import select
import socket
import sys
import time

ENDLESS = b"*3\r\n$4\r\nECHO\r\n$1000\r\n" + b"x" * 1000


class Client:
    def __init__(self, port: int, endless: bool):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setblocking(False)
        self.text = ENDLESS if endless else b"PING\r\n"
        self.endless, self.at, self.began, self.received = endless, 0, 0.0, b""


def main(port: int, count: int, seconds: float) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    pause = min(4.0, seconds / 8)  # 6 bytes of a PING stay below the 30 s that a command may take
    poll, clients, due = select.epoll(), {}, []
    answers = opened = sent = unexpected = 0
    closed: list[float] = []

    def begin(endless: bool, at: float) -> None:
        nonlocal opened
        client = Client(port, endless)
        clients[client.socket.fileno()] = client
        poll.register(client.socket.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
        heapq.heappush(due, (at, opened, client))
        opened += 1

    started = time.monotonic()
    for n in range(count):
        begin(n % 2 == 1, started + pause * n / count)
    end = started + seconds
    while (now := time.monotonic()) < end:
        while due and due[0][0] <= now:
            at, number, client = heapq.heappop(due)
            if client.socket.fileno() < 0:
                continue
            try:
                client.socket.send(client.text[client.at:client.at + 1])
            except OSError:
                pass  # closed a moment ago; the poll tells
            if client.at == 0:
                client.began = now
            sent += 1
            client.at = (client.at + 1) % len(client.text)
            heapq.heappush(due, (at + pause, number, client))
        for descriptor, _ in poll.poll(max(0.0, min(0.05, (due[0][0] if due else end) - now))):
            client = clients[descriptor]
            try:
                data = client.socket.recv(4096)
            except OSError:
                data = b""
            if data:
                client.received += data
                if client.received == b"+PONG\r\n":
                    answers, client.received = answers + 1, b""
                elif not b"+PONG\r\n".startswith(client.received):
                    unexpected += 1
                continue
            poll.unregister(descriptor)
            del clients[descriptor]
            client.socket.close()
            if client.endless:
                closed.append(time.monotonic() - client.began)
            else:
                unexpected += 1
            begin(client.endless, time.monotonic())
    for client in clients.values():
        client.socket.close()
    after = [round(min(closed), 1), round(max(closed), 1)] if closed else []
    print(json.dumps({"clients": count, "seconds": round(time.monotonic() - started), "opened": opened, "bytes": sent,
                      "answers": answers, "closed": len(closed), "closed after": after, "unexpected": unexpected}))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
