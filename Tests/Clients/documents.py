"""The commands in the documents: found in their fenced blocks, and run in a folder and a network of their own.

Each block names its language. Blocks of `sh`, `console` (whose commands begin with `$ `) and `python` are run, unless the words
behind the language say `not run: ` and why. All others are no commands: `text`, `yaml`, `ini`.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import annex

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(annex.PROJECT)) for p in annex.PROJECT.glob("docs/*.md")),
         "deploy/README.md", "indexes/debian/README.md"]
RUNNABLE = {"sh", "console", "python"}
OTHER = {"text", "yaml", "ini"}
FENCE = re.compile(r"^```(\S*) ?(.*)$")
# A server stays until the end of its page, or until another one is started at its address.
SERVER = re.compile(r"^annctl (serve|route)\b")
DEFAULT_PORT = {"serve": "7700", "route": "7600"}


@dataclass
class Block:
    page: str
    line: int
    heading: str
    language: str
    note: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def reason(self) -> str | None:
        """Why it is not run, where it says so."""
        return self.note.removeprefix("not run: ") if self.note.startswith("not run: ") else None

    @property
    def commands(self) -> list[str]:
        """What a reader would type, a line each; a line that ends in a backslash goes on in the next."""
        if self.language == "python":
            return [self.text]
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip() and not line.startswith("#")]


def blocks(page: str) -> list[Block]:
    found, heading, open_block, before = [], "", None, ""
    for number, line in enumerate((annex.PROJECT / page).read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if open_block is not None:
            if fence:
                assert not fence[1], f"{page}:{number}: a fence opens within the block of line {open_block.line}"
                found.append(open_block)
                open_block = None
            else:
                open_block.text += line + "\n"
        elif fence:
            assert fence[1], f"{page}:{number}: the block has no language: say sh, console, python, yaml, ini or text"
            open_block = Block(page, number, heading, fence[1], fence[2], "")
        elif line.startswith("#"):
            heading = line.lstrip("# ")
        else:
            indented = line.startswith("    ") and not before.strip()
            assert not indented or page == "docs/protocol.md", f"{page}:{number}: put the block between fences with a language"
        before = line
    assert open_block is None, f"{page}: the block of line {open_block.line} has no end"
    return found


def _own_network() -> None:
    """A network namespace for the process that is about to start."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x4000_0000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


class Stage:
    """A folder with what a page speaks of, and a network in which its addresses and ports are free."""

    def __init__(self, folder: Path, addresses=()):
        self.folder = folder
        folder.mkdir()
        # What holds the network waits for its standard input to end, so it ends with this process too.
        self.holder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, preexec_fn=_own_network)
        self.servers: dict[tuple[str, str], subprocess.Popen] = {}
        self.run("ip link set lo up")
        for address in addresses:
            self.run(f"ip address add {address}/32 dev lo")

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, *_) -> None:
        for address in list(self.servers):
            self.stop(address)
        pid = self.folder / "redis.pid"
        if pid.exists():
            self.run("kill $(cat redis.pid)")
        self.holder.stdin.close()
        self.holder.wait(10)

    def _start(self, words: list[str], **options) -> subprocess.Popen:
        within = [shutil.which("nsenter") or "nsenter", f"--net=/proc/{self.holder.pid}/ns/net"]
        path = os.pathsep.join([str(Path(annex.annctl_path()).parent), os.environ["PATH"], "/usr/sbin", "/sbin"])
        return subprocess.Popen(
            within + words, cwd=self.folder, stdin=subprocess.DEVNULL, env=os.environ | {"PATH": path}, text=True, **options
        )

    def run(self, command: str, language: str = "sh") -> str:
        """What it printed; whatever ends with another code than 0 fails."""
        words = [sys.executable, "-c", command] if language == "python" else ["bash", "-euo", "pipefail", "-c", command]
        process = self._start(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"no end within 60 s: {command}\n{process.communicate()[0]}") from None
        assert process.returncode == 0, f"exit {process.returncode}: {command}\n{said}"
        return said

    def serve(self, command: str) -> None:
        """Starts a server and waits until it is asked with success what it can be asked."""
        words = shlex.split(command, comments=True)
        given = dict(zip(words, words[1:]))
        host, port = given.get("--host", "127.0.0.1"), given.get("--port", DEFAULT_PORT[words[1]])
        password = ["--password-file", given["--password-file"]] if "--password-file" in given else []
        self.stop((host, port))
        log = self.folder / f"{words[1]}-{host}-{port}.log"
        with open(log, "wb") as out:
            process = self.servers[host, port] = self._start(words, stdout=out, stderr=out)

        def answers() -> bool:
            assert process.poll() is None, f"exit {process.returncode}: {command}\n{log.read_text()}"
            asked = self._start(["annctl", "query", "--host", host, "--port", port, *password, "PING"], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
            return "PONG" in asked.communicate(timeout=20)[0]

        annex.wait_until(answers, 30, f"an answer to PING: {command}")

    def stop(self, address: tuple[str, str]) -> None:
        process = self.servers.pop(address, None)
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(15)
