"""PINGs, INFOs and READYs from a process of their own: what other clients wait while somebody keeps the server busy.

A probe inside the process that makes the load measures Python's lock instead. This one runs before others where it may
(a negative niceness needs root), and the load behind them: what is left is the server's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Waits:
    """Seconds, in ascending order. `infos`: of INFO and READY."""
    pings: list[float]
    infos: list[float]

    def ping(self, share: float) -> float:
        """The wait in milliseconds that this share of the PINGs did not pass."""
        return self.pings[min(int(len(self.pings) * share), len(self.pings) - 1)] * 1e3

    @property
    def longest_info(self) -> float:
        return self.infos[-1] * 1e3


def measure(port: int, seconds: float) -> Waits:
    """Blocks for `seconds`, while a process of its own asks."""
    done = subprocess.run([sys.executable, Path(__file__).resolve(), str(port), str(seconds)], capture_output=True, text=True,
                          timeout=seconds + 60)
    assert done.returncode == 0, done.stderr
    return Waits(**json.loads(done.stdout))


def behind_others() -> None:
    """For threads of a load: they get what the server and the probe leave. Of the calling thread and those it starts."""
    os.setpriority(os.PRIO_PROCESS, 0, 19)


def _run(port: int, seconds: float) -> None:
    import annex
    from resp import Connection

    if os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    waits = Waits([], [])
    with Connection(port, timeout=60) as pinging, Connection(port, timeout=60) as asking:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            assert pinging.call("PING") == "PONG"
            waits.pings.append(time.monotonic() - began)
            if len(waits.pings) % 50 == 0:
                for command in (("INFO", "stats"), ("READY",)):
                    began = time.monotonic()
                    asking.call(*command)
                    waits.infos.append(time.monotonic() - began)
            annex.pace(0.001)
    print(json.dumps({"pings": sorted(waits.pings), "infos": sorted(waits.infos)}))


if __name__ == "__main__":
    _run(int(sys.argv[1]), float(sys.argv[2]))
