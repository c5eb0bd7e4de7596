"""Named random streams: a seed for each purpose, derived from a name and never by counting.

Keras' ``SeedGenerator`` on PyTorch adds a counter to its seed, so the streams of seed 10 and seed 11 are the same
numbers shifted by one. Seeds that are hashed from names are unrelated, and adding a purpose moves no other stream.
"""

from __future__ import annotations

import hashlib

__all__ = ["derive"]


def derive(seed: int, *names: str | int) -> int:
    """Return the seed, in ``[0, 2**31 - 1)``, of the stream called ``names`` under ``seed``.

    >>> derive(0, "dropout", 1) == derive(0, "dropout", 1)
    True
    >>> derive(0, "dropout", 1) == derive(1, "dropout", 1)
    False
    """
    text = "\x1f".join(str(part) for part in (int(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % (2**31 - 1)
