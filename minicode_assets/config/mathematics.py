"""Section of DeepMind Mathematics, which is made and not fetched."""

from dataclasses import dataclass

from minicode_model.config import operational

LEVELS = ("train-easy", "train-medium", "train-hard")
"""The published training levels; the others are tests."""


@dataclass(frozen=True, kw_only=True)
class Mathematics:
    """School mathematics, made offline by DeepMind's package in an environment of its own (`make mathematics`)."""

    enabled: bool = False
    """Make it."""
    python: str = operational(".venv-mathematics/bin/python")
    """The interpreter with the package; relative to the checkout. Unit: path."""
    levels: tuple[str, ...] = LEVELS
    """Difficulties, each a partition."""
    modules: tuple[str, ...] = ()
    """Names as algebra__linear_1d; empty takes all 56."""
    documents_per_module: int = 500
    """Documents of each module and level."""
    pairs_per_document: int = 20
    """Questions with answers in a document. StarCoder2 has one, which is shorter than what the corpus keeps."""
    seed: int = 1337
    """Seed of the problems."""
    block_bytes: int = 16_000_000
    """Text held in memory before it is written; also what a killed run makes again at most. Unit: bytes."""

    @property
    def partition_keys(self) -> list[str]:
        """A partition a level."""
        return list(self.levels)


def mathematics_problems(section: Mathematics) -> list[str]:
    """What is wrong inside the section, one message each."""
    problems = [f"[mathematics] levels: {level!r} is none of {', '.join(LEVELS)}" for level in section.levels
                if level not in LEVELS]  # fmt: skip
    if not section.levels or len(set(section.levels)) != len(section.levels):
        problems.append("[mathematics] levels: expected one or more, each once")
    return problems
