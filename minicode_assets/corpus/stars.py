"""Near duplicates as stars: each dropped text is proven similar to one kept text, whatever the chain between them.

Texts are taken in order of preference. A text is dropped when the exact Jaccard index with a text that was kept before
reaches the threshold, and kept otherwise. So a chain a ~ b ~ c with a and c different keeps a and c, where connected
components would keep one (they swallowed 98 % of a corpus once: curation.md 5.1). Dropped texts leave the index, so a
thousand copies of one file cost a thousand comparisons and not a million; and the result does not depend on batches.

Texts that share much boilerplate and are yet different fill a bucket with texts that are all kept. Only the first of a
bucket are compared with those behind them: a real near duplicate shares other buckets too, which its own part fills.
"""

import logging
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minicode_assets.corpus.minhash import ShingleSets, Signatures, estimate_jaccard, exact_jaccard, ranges
from minicode_assets.corpus.shingles import Hashes, Numbers

MAX_PAIRS = 1 << 21
"""Candidate pairs that are held at a time; a batch with more is halved. Bounds the memory to some 200 MB."""
MAX_BATCH = 1 << 14
"""Texts a batch at most."""
_PROGRESS_S = 5.0
logger = logging.getLogger("minicode.near_dup")
Indices = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Buckets:
    """Texts that share the key of a band, for keys that at least two texts have.

    Attributes:
        members: Text numbers, bucket after bucket, ascending within a bucket, shape (M,).
        offsets: Bucket b has members[offsets[b] : offsets[b + 1]].
        of_text: Bucket numbers, text after text, shape (M,).
        places: Place of the text in that bucket, from 0, shape (M,).
        text_offsets: Text t is in the buckets of_text[text_offsets[t] : text_offsets[t + 1]].
    """

    members: Indices
    offsets: Numbers
    of_text: Indices
    places: Indices
    text_offsets: Numbers


@dataclass(frozen=True)
class Stars:
    """Who represents whom, and what it took to find out.

    Attributes:
        representative: For each text the kept text that stands for it; itself when it is kept.
        jaccard: Exact Jaccard index with the representative, 0..1; 1 for itself.
        num_candidates: Pairs that shared a band when they were looked at.
        num_likely: Candidates whose estimate is near the threshold or above.
        num_verified: Likely candidates whose exact index was computed.
        num_confirmed: Of those, at the threshold or above.
        num_crowded: Buckets with more texts than were compared with those behind them.
    """

    representative: Indices
    jaccard: npt.NDArray[np.float64]
    num_candidates: int
    num_likely: int
    num_verified: int
    num_confirmed: int
    num_crowded: int


def build_buckets(keys: Hashes) -> Buckets:
    """Group texts by band key.

    Args:
        keys: Shape (bands, texts), texts in order of preference.
    """
    parts, sizes = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for band in keys:
        order = np.argsort(band, kind="stable").astype(np.int32)
        ordered = band[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if order.size else order
        counts = np.diff(np.append(starts, order.size))
        parts.append(order[np.repeat(counts > 1, counts)])
        sizes.append(counts[counts > 1])
    members, counts = np.concatenate(parts), np.concatenate(sizes)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    by_text = np.argsort(members, kind="stable")
    buckets = np.repeat(np.arange(len(counts), dtype=np.int32), counts)[by_text]
    places = (np.arange(len(members)) - np.repeat(offsets[:-1], counts)).astype(np.int32)[by_text]
    text_offsets = np.concatenate(([0], np.cumsum(np.bincount(members, minlength=keys.shape[1]))))
    return Buckets(members, offsets, buckets, places, text_offsets)


def find_stars(
    buckets: Buckets,
    signatures: Signatures,
    sets: ShingleSets,
    *,
    min_jaccard: float,
    estimate_sigmas: float,
    max_bucket_texts: int,
) -> Stars:
    """Decide for each text whether it is kept, and which kept text stands for it otherwise.

    Args:
        buckets: Candidates, texts numbered in order of preference.
        signatures: Shape (texts, permutations).
        sets: Their distinct shingles.
        min_jaccard: Texts at least so similar are near duplicates, 0..1.
        estimate_sigmas: A pair whose estimate lies more than so many standard deviations below `min_jaccard` is not
            verified.
        max_bucket_texts: So many texts of a bucket, the most preferred ones, are compared with those behind them.

    Returns:
        The stars. The representative is the most preferred kept text that is similar enough.
    """
    deviation = np.sqrt(min_jaccard * (1 - min_jaccard) / signatures.shape[1])
    search = _Search(buckets, signatures, sets, min_jaccard, min_jaccard - estimate_sigmas * float(deviation))
    search.max_bucket_texts = max_bucket_texts
    start, size, reported = 0, MAX_BATCH, time.monotonic()
    while start < search.num_texts:
        end = min(start + size, search.num_texts)
        if end - start > 1 and search.num_pairs(start, end) > MAX_PAIRS:
            size = (end - start + 1) // 2
            continue
        search.decide(start, end)
        start, size = end, min(2 * size, MAX_BATCH)
        if time.monotonic() - reported > _PROGRESS_S:
            reported = time.monotonic()
            logger.info("near duplicates: %d of %d candidate texts decided", start, search.num_texts)
    return search.stars()


class _Search:
    """The state of `find_stars`: which texts are kept, and the kept members of each bucket."""

    def __init__(
        self, buckets: Buckets, signatures: Signatures, sets: ShingleSets, min_jaccard: float, min_estimate: float
    ) -> None:
        self.buckets, self.signatures, self.sets = buckets, signatures, sets
        self.min_jaccard, self.min_estimate = min_jaccard, min_estimate
        self.max_bucket_texts = 0
        self.num_texts = len(buckets.text_offsets) - 1
        self.representative = np.arange(self.num_texts, dtype=np.int32)
        self.jaccard = np.ones(self.num_texts)
        self.undecided = np.zeros(self.num_texts, dtype=bool)
        # The kept members of bucket b are kept_members[offsets[b] : offsets[b] + num_kept[b]].
        self.kept_members = np.empty_like(buckets.members)
        self.num_kept = np.zeros(len(buckets.offsets) - 1, dtype=np.int64)
        self.counts = {"candidates": 0, "likely": 0, "verified": 0, "confirmed": 0}

    def num_pairs(self, start: int, end: int) -> int:
        """Candidate pairs of texts start to end, with kept texts and with one another, repeats included."""
        buckets, _, places = self._memberships(start, end)
        return int(self.num_kept[buckets].sum() + self._earlier(buckets, places)[2].sum())

    def decide(self, start: int, end: int) -> None:
        """Keep or drop the texts start to end, all earlier ones being decided."""
        left, right = self._candidates(start, end)
        self.counts["candidates"] += len(left)
        likely = estimate_jaccard(self.signatures, left, right) >= self.min_estimate
        self.counts["likely"] += int(likely.sum())
        self._settle(left[likely], right[likely])
        kept = np.flatnonzero(self.representative[start:end] == np.arange(start, end)) + start
        self._remember(kept)

    def _memberships(self, start: int, end: int) -> tuple[Indices, Numbers, Indices]:
        """Buckets of the texts start to end, the text that each belongs to, and its place there."""
        offsets = self.buckets.text_offsets[start : end + 1]
        cut = slice(offsets[0], offsets[-1])
        return self.buckets.of_text[cut], np.repeat(np.arange(start, end), np.diff(offsets)), self.buckets.places[cut]

    def _earlier(self, buckets: Indices, places: Indices) -> tuple[Numbers, Numbers, Numbers]:
        """An order by bucket; in it the first of each one's bucket, and how many from there on to compare it with."""
        order = np.argsort(buckets, kind="stable")
        firsts = np.searchsorted(buckets[order], buckets[order])
        listed = np.maximum(self.max_bucket_texts - places[order][firsts], 0)
        return order, firsts, np.minimum(np.arange(len(buckets)) - firsts, listed)

    def _candidates(self, start: int, end: int) -> tuple[Numbers, Numbers]:
        """Distinct pairs (text, more preferred text), sorted: the latter kept, or undecided in the same batch."""
        buckets, texts, places = self._memberships(start, end)
        slots, counts = ranges(self.buckets.offsets[buckets], self.num_kept[buckets])
        pairs = [np.repeat(texts, counts) * self.num_texts + self.kept_members[slots]]
        order, firsts, counts = self._earlier(buckets, places)
        texts = texts[order]
        earlier, counts = ranges(firsts, counts)
        pairs.append(np.repeat(texts, counts) * self.num_texts + texts[earlier])
        distinct = np.unique(np.concatenate(pairs))
        return np.divmod(distinct, self.num_texts) if distinct.size else (distinct, distinct)

    def _settle(self, left: Numbers, right: Numbers) -> None:
        """Walk each text's candidates in order of preference, all texts at a time, until none has any left."""
        undecided = self.undecided
        undecided[left] = True
        texts, next_pair = np.unique(left, return_index=True)
        ends = np.append(next_pair[1:], len(left))
        while texts.size:
            candidates = right[next_pair]
            ready = ~undecided[candidates]
            kept = ready & (self.representative[candidates] == candidates)
            self._verify(texts[kept], candidates[kept])
            dropped = self.representative[texts] != texts
            next_pair = next_pair + (ready & ~dropped)
            done = dropped | (next_pair == ends)
            undecided[texts[done]] = False
            texts, next_pair, ends = texts[~done], next_pair[~done], ends[~done]

    def _verify(self, left: Numbers, right: Numbers) -> None:
        exact = exact_jaccard(self.sets, left, right)
        same = exact >= self.min_jaccard
        self.counts["verified"] += len(left)
        self.counts["confirmed"] += int(same.sum())
        self.representative[left[same]] = right[same]
        self.jaccard[left[same]] = exact[same]

    def _remember(self, kept: Numbers) -> None:
        """Append kept texts to their buckets, where they are among the first."""
        offsets = self.buckets.text_offsets
        slots, counts = ranges(offsets[kept], offsets[kept + 1] - offsets[kept])
        listed = self.buckets.places[slots] < self.max_bucket_texts
        buckets, texts = self.buckets.of_text[slots][listed], np.repeat(kept, counts)[listed]
        order = np.argsort(buckets, kind="stable")
        buckets, texts = buckets[order], texts[order]
        place = np.arange(len(buckets)) - np.searchsorted(buckets, buckets)
        self.kept_members[self.buckets.offsets[buckets] + self.num_kept[buckets] + place] = texts
        np.add.at(self.num_kept, buckets, 1)

    def stars(self) -> Stars:
        """The result."""
        counts = {f"num_{name}": count for name, count in self.counts.items()}
        crowded = int((np.diff(self.buckets.offsets) > self.max_bucket_texts).sum())
        return Stars(self.representative, self.jaccard, **counts, num_crowded=crowded)
