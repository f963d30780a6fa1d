"""Hosts for a cluster under test: addresses of loopback, or network namespaces that the test makes and that it can cut apart.

Nothing here touches an interface of the machine. In namespaces each host has one link, to a namespace that forwards between
them; a cut is a rule there that drops what two hosts send each other, silently and in both directions, as a broken switch does.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

CLIENT = "client"
_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


class Loopback:
    """Every host has an address of its own in 127.0.0.0/8. Cannot be cut."""

    can_cut = False

    def __init__(self):
        self._numbers = itertools.count(2)
        self._base = f"127.{1 + os.getpid() % 250}"

    def __enter__(self) -> "Loopback":
        return self

    def __exit__(self, *_) -> None:
        pass

    def host(self, name: str) -> str:
        """Makes a host; its address."""
        return f"{self._base}.0.{next(self._numbers)}"

    def prefix(self, name: str) -> list[str]:
        """What stands before a command that runs on the host."""
        return []

    @contextlib.contextmanager
    def inside(self, name: str = CLIENT):
        """Sockets that this thread makes in here are the host's."""
        yield


def _ip(*words: str, within: str | None = None, check: bool = True) -> subprocess.CompletedProcess:
    command = [shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin") or "ip", *(["-n", within] if within else []), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done


class Namespaces:
    """A namespace a host, and one between them that forwards."""

    can_cut = True
    _made = itertools.count()

    def __init__(self):
        self._name = f"annex{os.getpid()}n{next(self._made)}"
        self._hub = f"{self._name}-hub"
        self._addresses: dict[str, str] = {}
        self._cuts: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @staticmethod
    def skip_unless_possible() -> None:
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        if not shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin"):
            pytest.skip("there is no `ip`: tools/install-deps --test")
        probe = f"annex{os.getpid()}probe"
        try:
            _ip("netns", "add", probe)
            _ip("link", "add", "probe0", "type", "veth", "peer", "name", "probe1", within=probe)
        except RuntimeError as error:
            pytest.skip(f"no network namespaces here: {error}")
        finally:
            _ip("netns", "del", probe, check=False)

    def __enter__(self) -> "Namespaces":
        self._sweep()
        try:
            self._add(self._hub)
            for key in ("ip_forward=1", "conf.all.rp_filter=0", "conf.default.rp_filter=0", "conf.all.send_redirects=0"):
                name, value = key.split("=")
                with self._entered(self._hub):
                    Path(f"/proc/sys/net/ipv4/{name.replace('.', '/')}").write_text(value)
            self.host(CLIENT)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for name in [*(self._space(host) for host in self._addresses), self._hub]:
            _ip("netns", "del", name, check=False)

    @staticmethod
    def _sweep() -> None:
        """Takes away what test runs left that were killed."""
        for line in _ip("netns", "list").stdout.splitlines():
            name = line.split()[0]
            owner = name.removeprefix("annex").split("n")[0]
            if name.startswith("annex") and owner.isdigit() and not Path(f"/proc/{owner}").exists():
                _ip("netns", "del", name, check=False)

    def _space(self, host: str) -> str:
        return f"{self._name}-{host}"

    def _add(self, name: str) -> None:
        _ip("netns", "add", name)
        _ip("link", "set", "lo", "up", within=name)

    def host(self, name: str) -> str:
        number = len(self._addresses) + 1
        address, space, link = f"10.77.0.{number}", self._space(name), f"h{number}"
        self._addresses[name] = address
        self._add(space)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", space, within=self._hub)
        _ip("addr", "add", "169.254.1.1/32", "dev", link, within=self._hub)
        _ip("link", "set", link, "up", within=self._hub)
        _ip("addr", "add", f"{address}/32", "dev", "eth0", within=space)
        _ip("link", "set", "eth0", "up", within=space)
        _ip("route", "add", "default", "via", "169.254.1.1", "dev", "eth0", "onlink", within=space)
        _ip("route", "add", f"{address}/32", "dev", link, within=self._hub)
        return address

    def prefix(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", self._space(name)]  # replaces itself by the command: the process id is the command's

    @contextlib.contextmanager
    def inside(self, name: str = CLIENT):
        with self._entered(self._space(name)):
            yield

    @staticmethod
    @contextlib.contextmanager
    def _entered(space: str):
        def enter(descriptor: int) -> None:
            if _libc.setns(descriptor, _CLONE_NEWNET) != 0:  # this thread's only
                raise OSError(ctypes.get_errno(), f"setns to {space}")

        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            wanted = os.open(f"/run/netns/{space}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                enter(wanted)
            finally:
                os.close(wanted)
            try:
                yield
            finally:
                enter(before)
        finally:
            os.close(before)

    def cut(self, one: str, *others: str) -> None:
        """Drops what `one` and each of `others` send each other; without `others`: all that it sends and gets."""
        with self._lock:
            for other in others or [host for host in self._addresses if host != one]:
                for pair in ((one, other), (other, one)):
                    if pair not in self._cuts:
                        self._rule("add", pair)
                        self._cuts.add(pair)

    def heal(self, *hosts: str) -> None:
        """Ends every cut of these hosts; without any: all cuts."""
        with self._lock:
            for pair in [pair for pair in self._cuts if not hosts or set(hosts) & set(pair)]:
                self._rule("del", pair)
                self._cuts.discard(pair)

    def _rule(self, verb: str, pair: tuple[str, str]) -> None:
        _ip("rule", verb, "from", self._addresses[pair[0]], "to", self._addresses[pair[1]], "blackhole", within=self._hub)
