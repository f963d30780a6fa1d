"""A cluster whose replicas the DNS names, in namespaces of its own: run by test_74_dns.py under `unshare --net --mount`.

usage: dns_scene.py FOLDER INDEX USER…; prints what happened as JSON.
"""

import json
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import annex
from routed import Process, ranges

A, SRV, AAAA = 1, 33, 28
HOST = "127.0.0.1"


class NameServer(threading.Thread):
    """Answers A and SRV queries on port 53 of loopback, out of `services`: name -> [(priority, port, host)]."""

    def __init__(self, services):
        super().__init__(daemon=True)
        self.services, self.asked, self.silent = services, 0, False
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 53))

    @staticmethod
    def name(text: str) -> bytes:
        return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".")) + b"\0"

    def run(self):
        while True:
            query, client = self.socket.recvfrom(4096)
            if self.silent:
                continue
            labels, place = [], 12
            while query[place]:
                labels.append(query[place + 1:place + 1 + query[place]].decode())
                place += 1 + query[place]
            kind, = struct.unpack(">H", query[place + 1:place + 3])
            question, asked = query[12:place + 5], ".".join(labels)
            if kind == SRV:
                self.asked += 1
                data = [struct.pack(">HHH", priority, 1, port) + self.name(host) for priority, port, host in self.services.get(asked, [])]
            else:
                data = [socket.inet_aton(HOST)] if kind == A and asked.startswith("node") else []
            known = data or asked.startswith("node")
            head = query[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, len(data), 0, 0)
            self.socket.sendto(head + question + b"".join(
                b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 1, len(d)) + d for d in data), client)


def main():
    folder, index, users = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {HOST}\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
    ports = [annex.free_port() for _ in range(4)]
    services = {"_annex._tcp.a.test": [(0, ports[0], "node1.test")], "_annex._tcp.b.test": [(0, ports[1], "node2.test")]}
    names = NameServer(services)
    names.start()
    slots = ranges(2)
    file = folder / "cluster.yaml"
    file.write_text("epoch: 1\nshards:\n" + "".join(
        f"  - {{name: {n}, slots: {s}, replicas: 'srv:_annex._tcp.{n}.test'}}\n" for n, s in zip("ab", slots)))
    found = {}

    def serve(number, place):
        words = ["serve", index, "--cluster", file, "--slots", slots[number], "--announce", f"node{place + 1}.test:{ports[place]}"]
        return Process(ports[place], words, folder / f"serve-{place}.log").start()

    processes = [serve(0, 0), serve(1, 1)]
    try:
        for process in processes:
            process.ready()
        router = Process(ports[3], ["route", "--config", file], folder / "route.log").start()
        processes.append(router)
        router.ready()

        def replicas():
            with router.connect() as c:
                return [line for line in c.call("INFO", "replicas").decode().splitlines() if "state=healthy" in line]

        annex.wait_until(lambda: len(replicas()) == 2, 10, "two replicas that the DNS names are healthy")
        with router.connect() as c:
            found["answers"] = sum(len(c.call("TOPK", user, 3)) == 3 for user in users)
            # One more replica comes up: the DNS says so, and nobody touches the file.
            services["_annex._tcp.a.test"].append((1, ports[2], "node3.test"))
            third = serve(0, 2)
            processes.append(third)
            third.ready()
            began = time.monotonic()
            annex.wait_until(lambda: len(replicas()) == 3, 15, "the third replica is found")
            found["found after"] = time.monotonic() - began
            names.silent = True
            annex.wait_until(lambda: "the resolver did not answer" in router.text(), 20, "the router notices a silent resolver")
            found["answers meanwhile"] = sum(len(c.call("TOPK", user, 3)) == 3 for user in users)
            found["replicas meanwhile"] = len(replicas())
            names.silent = False
            services["_annex._tcp.a.test"].pop(0)
            annex.wait_until(lambda: len(replicas()) == 2, 15, "the first replica is let go")
            found["answers at the end"] = sum(len(c.call("TOPK", user, 3)) == 3 for user in users)
        services.clear()
        done = annex.run_annctl("cluster", "check", file)
        found["without records"] = [done.returncode, annex.said(done)]
        found["asked"] = names.asked
    finally:
        for process in processes:
            process.stop()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
