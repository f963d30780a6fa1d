"""A cluster as real processes: shards with replicas, redis-server as their log, routers; each on a host of its own.

`with Cluster(…) as cluster` starts all and waits until every one answers; whatever happens inside, no process outlives it.
Faults are what an operator sees: `kill` (-9), `pause` (SIGSTOP) and `resume`, `cut` and `heal` of the network between hosts.
"""

from __future__ import annotations

import binascii
import contextlib
import functools
import itertools
import re
import shutil
import signal
import subprocess
from pathlib import Path

import annex

SLOTS = 16_384
PASSWORD = "a-password-of-letters"
SHARD_PORT, ROUTER_PORT, LOG_PORT = 7700, 7600, 6379


def slot_of(user: str) -> int:
    """As Redis Cluster has it, hash tags honoured."""
    key = user.encode()
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        key = key[start + 1:end]
    return binascii.crc_hqx(key, 0) % SLOTS


class Node:
    """One process on a host of its own."""

    def __init__(self, cluster: "Cluster", name: str, port: int, password: str | None = PASSWORD):
        self.cluster, self.name, self.port, self.password = cluster, name, port, password
        self.address = cluster.network.host(name)
        self.log = cluster.folder / f"{name}.log"
        self.command: list[str] = []
        self.process: subprocess.Popen | None = None
        self.paused = False

    @property
    def place(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        assert not self.running, f"{self.name} runs already"
        self.paused = False
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*self.cluster.network.prefix(self.name), *self.command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=annex.raise_descriptor_limit)

    def kill(self) -> None:
        """As kill -9."""
        self.process.kill()
        self.process.wait(10)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True
        tasks = Path(f"/proc/{self.process.pid}/task")
        annex.wait_until(lambda: all((task / "stat").read_text().rsplit(")", 1)[1].split()[0] == "T" for task in tasks.iterdir()), 5,
                         f"{self.name} stands still")

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def stop(self, within: float = 10) -> int | None:
        """By SIGTERM, then by SIGKILL; the exit status."""
        if self.process is None:
            return None
        if self.running:
            self.resume()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def connect(self, timeout: float = 10, host: str | None = None) -> annex.Connection:
        """From the clients' host, or from another; authenticated."""
        with self.cluster.network.inside(host) if host else self.cluster.network.inside():
            connection = annex.Connection(self.port, timeout=timeout, host=self.address)
        try:
            if self.password:
                assert connection.call("AUTH", self.password) == "OK"
            return connection
        except BaseException:
            connection.socket.close()
            raise

    def answers(self, *command) -> bool:
        """Whether it answers a command (PING) without an error, within a second."""
        try:
            with self.connect(timeout=1) as c:
                c.call(*(command or ("PING",)))
                return True
        except (OSError, EOFError, annex.ServerError):
            return False

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Cluster:
    """`shards` × `replicas` of one index, `routers` before them, and their log. Users' slots are cut into even shares.
    `logged=False`: no log, each replica for itself."""

    def __init__(self, index: Path, folder: Path, network, shards=2, replicas=2, routers=1, ack="replica", logged=True,
                 serve_options=(), router_settings: dict | None = None):
        self.index, self.folder, self.network, self.ack, self.logged = index, folder, network, ack, logged
        self.serve_options, self.router_settings = list(serve_options), router_settings or {}
        self.epoch = 1
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "password").write_text(PASSWORD + "\n")
        ends = [SLOTS * n // shards for n in range(shards + 1)]
        self.slots = [range(a, b) for a, b in zip(ends, ends[1:])]
        self.log = Node(self, "log", self._port(LOG_PORT), password=None)
        self.shards = [[Node(self, f"{chr(97 + s)}{r + 1}", self._port(SHARD_PORT)) for r in range(replicas)] for s in range(shards)]
        self.routers = [Node(self, f"router{n + 1}", self._port(ROUTER_PORT)) for n in range(routers)]

    def _port(self, wanted: int) -> int:
        """In a namespace all ports are free."""
        return wanted if self.network.can_cut else annex.free_port()

    @property
    def replicas(self) -> list[Node]:
        return [node for shard in self.shards for node in shard]

    @property
    def nodes(self) -> list[Node]:
        return [*([self.log] if self.logged else []), *self.replicas, *self.routers]

    @property
    def router(self) -> Node:
        return self.routers[0]

    @property
    def topology(self) -> Path:
        return self.folder / "cluster.yaml"

    def state(self, node: Node) -> Path:
        """Where a replica keeps the index's state."""
        return self.folder / f"state-{node.name}" / self.index.name

    def shard_of(self, user: str) -> int:
        slot = slot_of(user)
        return next(n for n, slots in enumerate(self.slots) if slot in slots)

    def users(self, shard: int, count: int, prefix: str) -> list[str]:
        """Ids that a shard owns."""
        found, number = [], 0
        while len(found) < count:
            if self.shard_of(user := f"{prefix}{number}") == shard:
                found.append(user)
            number += 1
        return found

    def write_topology(self) -> None:
        """Replaces the file by what is so now, with the next epoch if there is one already."""
        if self.topology.exists():
            self.epoch += 1
        lines = [f"epoch: {self.epoch}", "shards:"]
        for number, (slots, nodes) in enumerate(zip(self.slots, self.shards)):
            lines += [f"  - name: {chr(97 + number)}", f"    slots: {slots[0]}-{slots[-1]}"]
            lines += [f"    replicas: [{', '.join(node.place for node in nodes)}]"]
        if self.router_settings:
            lines += ["router:", *(f"  {key}: {value}" for key, value in self.router_settings.items())]
        new = self.folder / "cluster.yaml.new"
        new.write_text("\n".join(lines) + "\n")
        new.replace(self.topology)

    def commands(self) -> None:
        """What each node runs."""
        log_folder = self.folder / "log"
        log_folder.mkdir(exist_ok=True)
        self.log.command = [
            shutil.which("redis-server") or "redis-server", "--port", str(self.log.port), "--bind", self.log.address, "--protected-mode", "no",
            "--dir", str(log_folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--loglevel", "warning"]
        password = ["--password-file", str(self.folder / "password")]
        for slots, nodes in zip(self.slots, self.shards):
            for node in nodes:
                node.command = [
                    annex.annctl_path(), "serve", str(self.index), "--host", node.address, "--port", str(node.port), "--announce", node.place,
                    "--slots", f"{slots[0]}-{slots[-1]}", "--cluster", str(self.topology), "--state", str(self.state(node).parent),
                    "--threads", "1", *password, *(["--log", f"redis://{self.log.place}", "--ack", self.ack] if self.logged else []),
                    *map(str, self.serve_options)]
        for node in self.routers:
            node.command = [
                annex.annctl_path(), "route", "--config", str(self.topology), "--host", node.address, "--port", str(node.port), "--threads", "1", *password]

    def __enter__(self) -> "Cluster":
        try:
            self.commands()
            self.write_topology()
            for group in ([self.log] if self.logged else [], self.replicas, self.routers):
                for node in group:
                    node.start()
                for node in group:
                    self._wait(node)
            self.wait_until_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for node in [*self.routers, *self.replicas, self.log]:
            with contextlib.suppress(ProcessLookupError):
                node.stop(within=6)

    def _wait(self, node: Node, within: float = 60) -> None:
        def there():
            assert node.running, f"{node.name} ended with {node.process.returncode}:\n{node.text()[-4000:]}"
            return node.answers()

        annex.wait_until(there, within, f"{node.name} answers")

    def wait_until_whole(self, within: float = 30) -> None:
        """Until every replica takes part: an event through each is seen by its neighbours, and routers hold all to be healthy."""
        for number, nodes in enumerate(self.shards):
            for node in nodes:
                user, item = self.users(number, 1, f"whole{next(self._marks)}-")[0], self.item
                annex.wait_until(lambda: node.answers("EVENT", user, item), within, f"{node.name} takes events")
                for other in nodes if self.logged else [node]:
                    annex.wait_until(lambda: item in self.seen(other, user), within, f"{other.name} has what {node.name} took")
        for router in self.routers:
            annex.wait_until(lambda: set(self.health(router).values()) == {"healthy"}, within,
                             f"{router.name} holds all replicas to be healthy")

    _marks = itertools.count()

    @functools.cached_property
    def item(self) -> bytes:
        """Some item."""
        with self.replicas[0].connect() as c:
            return c.call("VRANDMEMBER", self.index.name)

    @staticmethod
    def seen(node: Node, user: str) -> list[bytes]:
        """SEEN, empty where it is not answered."""
        try:
            with node.connect(timeout=1) as c:
                return c.call("SEEN", user)
        except (OSError, EOFError, annex.ServerError):
            return []

    def health(self, router: Node) -> dict[str, str]:
        """Name of a replica -> what a router holds of it, by its INFO."""
        with router.connect() as c:
            text = c.call("INFO", "replicas").decode()
        found = {}
        for node in self.replicas:
            match = re.search(rf"^replica_{re.escape(node.place)}:.*\bstate=(\w+)", text, re.M)
            found[node.name] = match.group(1) if match else "missing"
        return found

    # Faults.

    def cut(self, node: Node, *others: Node) -> None:
        self.network.cut(node.name, *(other.name for other in others))

    def heal(self, *nodes: Node) -> None:
        self.network.heal(*(node.name for node in nodes))

    def mend(self) -> None:
        """Ends every fault and waits until all take part again."""
        if self.network.can_cut:
            self.network.heal()
        for node in self.nodes:
            if node.paused:
                node.resume()
            if not node.running:
                node.start()
        for node in self.nodes:
            self._wait(node)
        self.wait_until_whole()
