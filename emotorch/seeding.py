"""Random numbers that depend on what they are for, and on nothing else."""

import hashlib

import numpy as np


def generator(*key: object) -> np.random.Generator:
    """A generator for one purpose: set by the key alone, independent of every other key's.

    There is no global state, so that the same numbers come whatever the order or number of processes.
    """
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], np.uint64)))
