"""The seed of a run, and what is drawn from it."""

from __future__ import annotations

import os
import zlib

import numpy as np

SEED = int(os.environ.get("ANNEX_SEED", "20240229"))


def setting(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def generator(label: str) -> np.random.Generator:
    """A generator of its own for each use, so that a test alone draws what it draws in the whole run."""
    return np.random.default_rng([SEED, zlib.crc32(label.encode())])
