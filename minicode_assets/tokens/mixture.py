"""The mixture: how many times each source is read, by exact counts, the same in every run.

A source that is read e times has every unit floor(e) times, and so many units once more, in the order of hash(seed,
unit), that the tokens come as near to e times as whole units allow. A unit is a document, or a repository where its
files stand together. Three ways say how often: `natural` (as configured, otherwise once), `target` (each source's
share of all tokens) and `temperature` (shares as the tokens at hand to the power of 1 / temperature). Source: natural
and capped shares in curation.md 2.8; temperature as in multilingual models.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from minicode_assets.config import TokenShards
from minicode_assets.errors import CorpusError
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import ENCODED_DOCUMENTS
from minicode_assets.tokens.source_formats import FORMATS
from minicode_model.config import nearest
from minicode_model.fim import uniforms


def pairs(values: Sequence[str]) -> dict[str, float]:
    """`source=number` settings as a mapping."""
    return {name: float(number) for name, _, number in (value.partition("=") for value in values)}


def epochs(at_hand: Mapping[str, int], params: TokenShards) -> dict[str, float]:
    """How many times each source is read.

    Args:
        at_hand: Tokens of each source, one epoch.
        params: mixing, epochs, target_shares, temperature, mixture_tokens, max_epochs of [token_shards].

    Raises:
        CorpusError: A setting names a source without documents, or a source would be read more than `max_epochs` times.
    """
    named = {**pairs(params.epochs), **pairs(params.target_shares)}
    for source in named:
        if source not in at_hand:
            raise CorpusError(
                f"[token_shards] mixture: source {source!r} has no documents{nearest(source, at_hand)}",
                hint="leave it out, or add that source to the corpus",
            )
    if params.mixing == "natural":
        return {source: pairs(params.epochs).get(source, 1.0) for source in at_hand}
    total = params.mixture_tokens or sum(at_hand.values())
    result = {source: share * total / at_hand[source] for source, share in shares(at_hand, params).items()}
    for source, times in result.items():
        if times > params.max_epochs:
            raise CorpusError(
                f"[token_shards] mixture: source {source!r} is read {times:.2f} times ({at_hand[source]} tokens at "
                f"hand), expected at most max_epochs {params.max_epochs:g}",
                hint=f"set mixture_tokens to {int(total * params.max_epochs / times)} or less, or lower its share",
            )
    return result


def shares(at_hand: Mapping[str, int], params: TokenShards) -> dict[str, float]:
    """The share of each source, 0..1, whose sum is 1."""
    if params.mixing == "target":
        given = pairs(params.target_shares)
        weights = {source: given.get(source, 0.0) for source in at_hand}
    else:
        most = max(at_hand.values())  # relative to it, since a low temperature is a power that no float holds
        weights = {source: (count / most) ** (1 / params.temperature) for source, count in at_hand.items()}
    total = sum(weights.values())
    return {source: weight / total for source, weight in weights.items()}


def read_units(encoded: Sequence[Path], *, repository_context: bool) -> pl.DataFrame:
    """Tokens of each unit of the training split: columns source, unit, num_tokens, sorted by source and unit."""
    together = [source for source, form in FORMATS.items() if form.context and repository_context]
    unit = pl.when(pl.col("source").is_in(together)).then("origin_url").otherwise("document_id")
    return _sums(encoded, pl.col("source"), unit.alias("unit")).sort("source", "unit")


def tokens_at_hand(encoded: Sequence[Path]) -> dict[str, int]:
    """Training tokens of each source, one epoch, of the encoded_documents artefacts."""
    return dict(_sums(encoded, pl.col("source")).sort("source").iter_rows())


def _sums(encoded: Sequence[Path], *by: pl.Expr) -> pl.DataFrame:
    """Tokens of the training split by key; memory is bounded by a partition's documents and the keys."""
    parts = [
        scan_table(folder, ENCODED_DOCUMENTS, pattern="train.parquet", verify=False)
        .group_by(by)
        .agg(pl.col("num_tokens").sum())
        .collect()
        for folder in encoded
    ]
    keys = [key.meta.output_name() for key in by]
    return pl.concat(parts).group_by(keys).agg(pl.col("num_tokens").sum())


def copies(units: pl.DataFrame, times: Mapping[str, float], *, seed: int) -> dict[tuple[str, str], int]:
    """How often each (source, unit) is read.

    Args:
        units: As `read_units` gives them.
        times: Epochs of each source.
        seed: Decides which units are read once more.
    """
    result: dict[tuple[str, str], int] = {}
    for (source,), group in units.group_by("source", maintain_order=True):
        whole = int(times[str(source)])
        keys = [uniforms(1, seed, "mixture", source, unit)[0] for unit in group["unit"]]
        order = np.argsort(np.array(keys), kind="stable")
        counts = np.cumsum(group["num_tokens"].to_numpy()[order])
        wanted = (times[str(source)] - whole) * float(counts[-1])
        num_more = int(np.argmin(np.abs(np.concatenate([[0], counts]) - wanted)))
        more = set(order[:num_more].tolist())
        result |= {(str(source), unit): whole + (row in more) for row, unit in enumerate(group["unit"])}
    return result
