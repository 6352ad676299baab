"""A quality classifier: logistic regression on hashed words and pairs of words, its scores made probabilities.

Labels come from a table, or from the proxy "well kept against random": documents that are permissive, documented
and parse, against any documents. Sources: Seed-Coder and FineWeb-Edu have a model's labels, DCLM the proxy
(curation.md 1d).
All randomness comes from hash(seed, sha1_git), so the order of rows changes nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from minicode_assets.config import QualityModel
from minicode_assets.corpus.shingles import blocks, hash_ngrams, hash_words

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
SPLITS = ("train", "calibrate", "test")
_SHARES = (0.6, 0.8)
"""Where the unit interval of hashes is cut into the three splits."""


@dataclass(frozen=True)
class Features:
    """Texts as rows of a sparse matrix: the distinct buckets of each, each worth 1 / sqrt(their number).

    Attributes:
        buckets: Row after row, shape (F,).
        offsets: Row d has the buckets offsets[d] to offsets[d + 1], shape (D + 1,).
    """

    buckets: npt.NDArray[np.uint32]
    offsets: Numbers

    @property
    def values(self) -> Floats:
        """The value of each entry, shape (F,); rows have length 1."""
        sizes = np.diff(self.offsets)
        values: Floats = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)), sizes)
        return values

    def dot(self, weights: Floats) -> Floats:
        """The product with a vector, shape (D,)."""
        terms = np.concatenate(([0.0], np.cumsum(weights[self.buckets] * self.values)))
        return terms[self.offsets[1:]] - terms[self.offsets[:-1]]

    def transposed_dot(self, rows: Floats, num_buckets: int) -> Floats:
        """The product of the transposed matrix with a vector, shape (num_buckets,)."""
        sums = np.bincount(self.buckets, np.repeat(rows, np.diff(self.offsets)) * self.values, num_buckets)
        return sums.astype(np.float64)


def features_of(texts: Sequence[bytes], *, max_ngram_words: int, num_bits: int) -> Features:
    """Hash the words, and n-grams of them, of texts in UTF-8 into 2^num_bits buckets."""
    rows: list[npt.NDArray[np.uint32]] = []
    shift = np.uint64(64 - num_bits)
    for start, end in blocks(texts):
        words = hash_words(texts[start:end], rule="words")
        grams = [hash_ngrams(words, n) for n in range(1, max_ngram_words + 1)]
        rows += [
            np.unique(np.concatenate([hashes[at[d] : at[d + 1]] >> shift for hashes, at in grams])).astype(np.uint32)
            for d in range(end - start)
        ]
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    return Features(np.concatenate([np.empty(0, np.uint32), *rows]), np.concatenate(([0], np.cumsum(sizes))))


def split_of(key: bytes, seed: int) -> str:
    """The split of a content: train, calibrate or test; independent of the order in which examples are drawn."""
    unit = order_of(b"split\0" + key, seed) / 2**64
    return SPLITS[(unit >= _SHARES[0]) + (unit >= _SHARES[1])]


def order_of(key: bytes, seed: int) -> int:
    """A number that depends on the seed and the content alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\0".encode() + key, digest_size=8).digest(), "big")


def fit_weights(features: Features, labels: Floats, params: QualityModel) -> Floats:
    """Minimise the logistic loss with an L2 penalty by Adam on the whole set; the last weight is the bias.

    Args:
        features: One row an example.
        labels: 0..1, shape (D,).
        params: Rates and numbers of steps.

    Returns:
        Shape (2^num_bits + 1,).
    """
    size = 1 << params.num_bits
    weights, first, second = np.zeros(size + 1), np.zeros(size + 1), np.zeros(size + 1)
    for step in range(1, params.num_steps + 1):
        residual = (_sigmoid(features.dot(weights[:-1]) + weights[-1]) - labels) / len(labels)
        gradient = np.append(features.transposed_dot(residual, size), residual.sum())
        gradient[:-1] += params.l2_penalty * weights[:-1]
        first += 0.1 * (gradient - first)
        second += 0.01 * (gradient**2 - second)
        scaled = (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        weights -= params.learning_rate * scaled
    return weights


def fit_platt(logits: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Platt's scaling as points of a curve: sigmoid(a * logit + b), a and b by Newton's method.

    Targets are pulled in a little, as Platt does, so that separable examples give no infinite slope.

    Returns:
        (logits, probabilities): the curve, both ascending.
    """
    positive = labels.sum()
    high, low = (positive + 1) / (positive + 2), 1 / (len(labels) - positive + 2)
    targets = labels * high + (1 - labels) * low
    inputs = np.stack([logits, np.ones_like(logits)], axis=1)
    curve = np.zeros(2)
    for _ in range(50):
        chances = _sigmoid(inputs @ curve)
        hessian = inputs.T @ (inputs * (chances * (1 - chances))[:, None]) + 1e-9 * np.eye(2)
        curve -= np.linalg.solve(hessian, inputs.T @ (chances - targets))
    points = np.linspace(logits.min() - 1, logits.max() + 1, 257)
    return points, _sigmoid(points * max(curve[0], 0.0) + curve[1])


def fit_isotonic(logits: Floats, labels: Floats) -> tuple[Floats, Floats]:
    """Isotonic regression by pooling neighbours that break the order; as points of a curve, both ascending."""
    order = np.argsort(logits, kind="stable")
    pools: list[list[float]] = []
    for logit, label in zip(logits[order], labels[order], strict=True):
        pools.append([logit, label, 1.0])
        while len(pools) > 1 and pools[-2][1] / pools[-2][2] >= pools[-1][1] / pools[-1][2]:
            last = pools.pop()
            pools[-1] = [
                (pools[-1][0] * pools[-1][2] + last[0] * last[2]) / (pools[-1][2] + last[2]),
                pools[-1][1] + last[1],
                pools[-1][2] + last[2],
            ]
    return np.array([pool[0] for pool in pools]), np.array([pool[1] / pool[2] for pool in pools])


def reliability(probabilities: Floats, labels: Floats, *, num_bins: int = 10) -> dict[str, Any]:
    """How far probabilities can be believed: Brier score, calibration error, area under the ROC curve, and bins."""
    bins = np.minimum((probabilities * num_bins).astype(int), num_bins - 1)
    table = [
        {
            "num_documents": int((bins == b).sum()),
            "mean_score": float(probabilities[bins == b].mean()),
            "positive_fraction": float(labels[bins == b].mean()),
        }
        for b in np.unique(bins)
    ]
    gap = sum(row["num_documents"] * abs(row["mean_score"] - row["positive_fraction"]) for row in table)
    return {
        "num_documents": len(labels),
        "auc": _auc(probabilities, labels),
        "brier": float(((probabilities - labels) ** 2).mean()),
        "calibration_error": gap / max(len(labels), 1),
        "bins": table,
    }


def _auc(scores: Floats, labels: Floats) -> float | None:
    """Chance that a positive scores above a negative, ties counting half; None without both kinds."""
    positive, negative = scores[labels >= 0.5], np.sort(scores[labels < 0.5])
    if not len(positive) or not len(negative):
        return None
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / 2 / len(negative))


def _sigmoid(values: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-np.clip(values, -500, 500)))
    return result
