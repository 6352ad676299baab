"""Slices of flat arrays, many at once: the vocabulary of the walk."""

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.signedinteger[Any]]
Flags = npt.NDArray[np.bool_]


def offsets_of(counts: Ints) -> npt.NDArray[np.int64]:
    """Where each slice begins, and behind them where the last ends: counts (n) to offsets (n + 1)."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


def slice_positions(first: Ints, counts: Ints) -> npt.NDArray[np.int64]:
    """Positions of the elements of all slices, one slice after the other.

    Args:
        first: Position of each slice's first element.
        counts: Elements of each slice.
    """
    offsets = offsets_of(counts)
    positions = np.arange(offsets[-1], dtype=np.int64)
    positions += np.repeat(first - offsets[:-1], counts)
    return positions


def slice_sums(values: npt.NDArray[Any], first: Ints, last: Ints) -> npt.NDArray[Any]:
    """Sum of each slice values[first:last]."""
    total = np.zeros(len(values) + 1, values.dtype)
    np.cumsum(values, out=total[1:])
    return total[last] - total[first]


def pair_keys(high: Ints, low: Ints) -> npt.NDArray[np.int64]:
    """One sortable number for each pair of numbers below 2^31."""
    return (high.astype(np.int64) << 32) | low
