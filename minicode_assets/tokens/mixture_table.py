"""What each phase reads, as one table: tokens at hand, times each source is read, its share, the paper's figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minicode_assets.config import Config, TokenShards
from minicode_assets.config.phases import FIRST
from minicode_assets.tokens.mixture import epochs
from minicode_model.config import Checkpoint

PAPER_TOKENS: dict[str, float] = {
    "swh": 525.5e9,
    "pull_requests": 19.54e9,
    "issues": 11.06e9,
    "notebooks": 14.74e9,
    "notebook_scripts": 16.29e9,
    "kaggle": 1.68e9,
    "documentation": 1.6e9,
    "stackoverflow": 10.26e9,
    "lhq": 5.78e9,
    "intermediate": 6.0e9,
    "openwebmath": 14.42e9,
    "wikipedia": 6.12e9,
    "arxiv": 30.26e9,
}
"""Unique tokens that StarCoder2 had, by our source; `swh` is the-stack-v2-train-smol. Source: its paper, table 4."""
NOT_IN_3B = ("openwebmath", "wikipedia", "arxiv")
"""What the 3B model did not read."""
PAPER_3B_TOKENS = 622.09e9
"""The paper's own total for the 3B model; the parts that its table marks for it add up to 612.45 B."""
COLUMNS = ("phase", "source", "tokens at hand", "times", "tokens read", "share", "paper's tokens", "paper's share (3B)")


@dataclass(frozen=True)
class PhaseMixture:
    """What one phase reads.

    Attributes:
        name: The asset.
        examples: Where it reads prompts and answers rather than sources, which; else empty.
        shards: How its shards are made.
        checkpoint: How it is trained.
    """

    name: str
    examples: str
    shards: TokenShards
    checkpoint: Checkpoint

    @property
    def tokens_trained(self) -> int:
        """Tokens that the phase is trained on, padding included."""
        return (
            self.checkpoint.max_steps * self.checkpoint.batch_size * self.checkpoint.gradient_accumulation_steps
            * self.shards.seq_len
        )  # fmt: skip


def phase_mixtures(config: Config) -> list[PhaseMixture]:
    """The phases of a configuration, in order."""
    first = PhaseMixture(FIRST, "", config.token_shards, config.checkpoint)
    return [first, *(PhaseMixture(p.name, p.examples, p.token_shards, p.checkpoint) for p in config.phases)]


def mixture_rows(at_hand: Mapping[str, int], phases: Sequence[PhaseMixture]) -> list[tuple[str, ...]]:
    """Rows of `COLUMNS`: each source of each phase, then the phase as a whole with the times that training reads it.

    Args:
        at_hand: Training tokens of each source, one epoch.
        phases: From `phase_mixtures`.

    Raises:
        CorpusError: As `mixture.epochs`.
    """
    rows: list[tuple[str, ...]] = []
    for phase in phases:
        if phase.examples:
            told = f"{phase.tokens_trained:,} trained on"
            rows.append((phase.name, f"prompts and answers ({phase.examples})", "", "", told, "", "", ""))
            continue
        times = epochs(at_hand, phase.shards)
        read = {source: times[source] * at_hand[source] for source in at_hand if times[source]}
        rows += [_row(phase.name, source, at_hand[source], times[source], read) for source in sorted(read)]
        total = sum(read.values())
        passes = f"{phase.tokens_trained / total:,.2f}" if total else ""
        told = f"{phase.tokens_trained:,} trained on"
        rows.append((phase.name, "all", f"{total:,.0f}", passes, told, "1.0000", f"{PAPER_3B_TOKENS:,.0f}", "1.0000"))
    return rows


def _row(phase: str, source: str, at_hand: int, times: float, read: Mapping[str, float]) -> tuple[str, ...]:
    paper = PAPER_TOKENS.get(source)
    share = f"{paper / PAPER_3B_TOKENS:.4f}" if paper and source not in NOT_IN_3B else ""
    return (
        phase, source, f"{at_hand:,}", f"{times:.4g}", f"{read[source]:,.0f}",
        f"{read[source] / sum(read.values()):.4f}", f"{paper:,.0f}" if paper else "", share,
    )  # fmt: skip


def as_text(rows: Sequence[tuple[str, ...]], columns: Sequence[str] = COLUMNS) -> str:
    """Rows below their columns, aligned."""
    table = [tuple(columns), *rows]
    widths = [max(len(row[place]) for row in table) for place in range(len(columns))]
    aligned = [
        [cell.ljust(w) if place < 2 else cell.rjust(w) for place, (cell, w) in enumerate(zip(row, widths, strict=True))]
        for row in table
    ]
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)
