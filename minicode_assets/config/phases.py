"""Phases of training after the first: tables below [phases] in flow order, no code.

[phases.long_context]   # long_context_shards, long_context, long_context_evaluation, long_context_benchmark_scores
after = "checkpoint"
[phases.long_context.token_shards] # what differs from [token_shards], [model] and [checkpoint]
seq_len = 16384
[phases.long_context.model]
max_position_embeddings = 16384
rope_theta = 1e6
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minicode_assets.config.tokens import TokenShards
from minicode_model.config import (
    MAY_CHANGE,
    Checkpoint,
    Model,
    build_section,
    checkpoint_problems,
    model_problems,
    nearest,
)

FIRST = "checkpoint"
"""The asset of the first phase, which the sections [token_shards], [model] and [checkpoint] describe."""
_TEXTS = ("after", "examples")
PHASE_SECTIONS: dict[str, type[Any]] = {"token_shards": TokenShards, "model": Model, "checkpoint": Checkpoint}


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase: it starts from the weights of another and reads shards of its own.

    Attributes:
        name: The asset; its shards are the asset `<name>_shards`, its figures `<name>_evaluation`.
        after: The phase whose weights come first; or a folder of a checkpoint, ours or Hugging Face's.
        examples: Empty: files of the corpus. `corpus`: functions with a docstring from the corpus, the docstring and
            signature being the masked prompt, the body the answer. A file: JSON lines with `prompt` and `completion`.
        token_shards: How its shards are made; the mixture of sources is part of it.
        model: The shape; behind another phase only what changes no weight may differ from the former's.
        checkpoint: How it is trained.
        benchmarks: Its checkpoint is put to the benchmarks, as the first one is ([benchmark_scores]).
    """

    name: str
    after: str
    examples: str
    token_shards: TokenShards
    model: Model
    checkpoint: Checkpoint
    benchmarks: bool

    @property
    def shards(self) -> str:
        """The asset of its shards."""
        return f"{self.name}_shards"

    @property
    def evaluation(self) -> str:
        """The asset of its figures."""
        return f"{self.name}_evaluation"

    @property
    def scores(self) -> str:
        """The asset of what it can do with the benchmarks."""
        return f"{self.name}_benchmark_scores"

    @property
    def measured(self) -> tuple[str, ...]:
        """The assets that a row of the leaderboard is made of: checkpoint, evaluation and, where made, scores."""
        return (self.name, self.evaluation, *([self.scores] if self.benchmarks else []))

    @property
    def starts_from_folder(self) -> bool:
        """`after` is no asset."""
        return "/" in self.after


def merge_tables(former: Any, latter: Any) -> Any:
    """Tables of TOML as one, key by key and to any depth; anything else is replaced by the latter."""
    if not isinstance(former, Mapping) or not isinstance(latter, Mapping):
        return latter
    return {**former, **{key: merge_tables(former.get(key, {}), value) for key, value in latter.items()}}


def build_phases(
    tables: Mapping[str, Any], assets: Iterable[str], token_shards: TokenShards, model: Model, checkpoint: Checkpoint
) -> tuple[tuple[Phase, ...], list[str]]:
    """The phases in the order of their tables, and what is wrong with them, one message each.

    What a phase's tables don't say is as in the phase before; `after`, too, is the phase before.

    Args:
        tables: Name to table, as TOML has them below [phases].
        assets: Names that are taken.
        token_shards: Of the first phase.
        model: Of the first phase.
        checkpoint: Of the first phase.
    """
    phases: list[Phase] = []
    problems: list[str] = []
    known_assets = set(assets)
    former: dict[str, Any] = {
        "token_shards": token_shards, "model": model, "checkpoint": checkpoint, "benchmarks": True
    }  # fmt: skip
    for name, table in tables.items():
        where = f"[phases.{name}]"
        if not isinstance(table, Mapping):
            problems.append(f"{where}: found {table!r}, expected a table")
            continue
        sections, found = _sections(where, table, former)
        problems += found
        after = str(table.get("after", phases[-1].name if phases else FIRST))
        phase = Phase(name=name, after=after, examples=str(table.get("examples", "")), **sections)
        problems += _problems(phase, phases, table.get("model"))
        if not name.isidentifier():
            problems.append(f"{where}: found the name {name!r}, expected letters, digits and _")
        names = {name, phase.shards, phase.evaluation, phase.scores}
        problems += [f"{where}: its asset {taken!r} would be there twice" for taken in sorted(names & known_assets)]
        known_assets |= names
        phases.append(phase)
        former = sections
    return tuple(phases), problems


def _sections(where: str, table: Mapping[str, Any], former: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The sections of a phase, as in the former one where its table says nothing, and what is wrong with the table."""
    known = (*_TEXTS, *PHASE_SECTIONS, "benchmarks")
    problems = [f"{where} {key}: unknown key{nearest(key, known)}" for key in table if key not in known]
    sections: dict[str, Any] = {"benchmarks": table.get("benchmarks", former["benchmarks"])}
    if not isinstance(sections["benchmarks"], bool):
        problems.append(f"{where} benchmarks: found {sections['benchmarks']!r}, expected bool")
    for key, section in PHASE_SECTIONS.items():
        changes = table.get(key, {})
        if not isinstance(changes, Mapping):
            problems.append(f"{where} {key}: found {changes!r}, expected a table")
            changes = {}
        values = {field.name: getattr(former[key], field.name) for field in dataclasses.fields(former[key])}
        sections[key], found = build_section(section, values | dict(changes), f"{where[:-1]}.{key}]")
        problems += found
    return sections, problems


def _problems(phase: Phase, earlier: Sequence[Phase], changed: Any) -> list[str]:
    where = f"[phases.{phase.name}]"
    known = [FIRST, *(other.name for other in earlier)]
    problems = [f"{where}: {text}" for text in model_problems(phase.model) + checkpoint_problems(phase.checkpoint)]
    if not phase.starts_from_folder and phase.after not in known:
        problems.append(f"{where} after: found {phase.after!r}, expected one of {', '.join(known)}, or a folder")
    if not phase.starts_from_folder and (
        wrong := sorted(set(changed if isinstance(changed, Mapping) else ()) - set(MAY_CHANGE))
    ):
        problems.append(f"{where} model: {', '.join(wrong)}: only {', '.join(MAY_CHANGE)} may change between phases")
    if phase.model.max_position_embeddings < phase.token_shards.seq_len:
        problems.append(
            f"{where}: max_position_embeddings {phase.model.max_position_embeddings} is smaller than seq_len "
            f"{phase.token_shards.seq_len}"
        )
    return problems
