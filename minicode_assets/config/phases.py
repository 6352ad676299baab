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
from collections.abc import Container, Mapping, Sequence
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
_SECTIONS: dict[str, type[Any]] = {"token_shards": TokenShards, "model": Model, "checkpoint": Checkpoint}


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


def merge_phases(layers: Sequence[Mapping[str, Any]]) -> Any:
    """The [phases] tables of all layers as one; later layers win key by key.

    Args:
        layers: As they come from TOML.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer.get("phases", {}))
    return merged


def _merged(former: Any, latter: Any) -> Any:
    """Tables key by key; anything else is replaced."""
    if not isinstance(former, Mapping) or not isinstance(latter, Mapping):
        return latter
    return {**former, **{key: _merged(former.get(key, {}), value) for key, value in latter.items()}}


def build_phases(
    tables: Mapping[str, Any], assets: Container[str], token_shards: TokenShards, model: Model, checkpoint: Checkpoint
) -> tuple[tuple[Phase, ...], list[str]]:
    """The phases in the order of their tables, and what is wrong with them, one message each.

    What a phase's tables don't say is as in the phase before; `after`, too, is the phase before.

    Args:
        tables: From `merge_phases`.
        assets: Names that are taken.
        token_shards: Of the first phase.
        model: Of the first phase.
        checkpoint: Of the first phase.
    """
    phases: list[Phase] = []
    problems: list[str] = []
    former: dict[str, Any] = {
        "token_shards": token_shards, "model": model, "checkpoint": checkpoint, "benchmarks": True
    }  # fmt: skip
    for name, table in tables.items():
        where = f"[phases.{name}]"
        if not isinstance(table, Mapping):
            problems.append(f"{where}: found {table!r}, expected a table")
            continue
        known = (*_TEXTS, *_SECTIONS, "benchmarks")
        problems += [f"{where} {key}: unknown key{nearest(key, known)}" for key in table if key not in known]
        sections: dict[str, Any] = {"benchmarks": table.get("benchmarks", former["benchmarks"])}
        if not isinstance(sections["benchmarks"], bool):
            problems.append(f"{where} benchmarks: found {sections['benchmarks']!r}, expected bool")
        for key, section in _SECTIONS.items():
            values = {field.name: getattr(former[key], field.name) for field in dataclasses.fields(former[key])}
            changes = table.get(key, {})
            sections[key], found = build_section(section, values | dict(changes), f"[phases.{name}.{key}]")
            problems += found
        after = str(table.get("after", phases[-1].name if phases else FIRST))
        phase = Phase(name=name, after=after, examples=str(table.get("examples", "")), **sections)
        problems += _problems(phase, phases, table.get("model", {}))
        if not name.isidentifier() or name in assets:
            problems.append(f"{where}: found the name {name!r}, expected letters, digits and _, and no other asset")
        phases.append(phase)
        former = sections
    return tuple(phases), problems


def _problems(phase: Phase, earlier: Sequence[Phase], changed: Mapping[str, Any]) -> list[str]:
    where = f"[phases.{phase.name}]"
    known = [FIRST, *(other.name for other in earlier)]
    problems = [f"{where}: {text}" for text in model_problems(phase.model) + checkpoint_problems(phase.checkpoint)]
    if not phase.starts_from_folder and phase.after not in known:
        problems.append(f"{where} after: found {phase.after!r}, expected one of {', '.join(known)}, or a folder")
    if not phase.starts_from_folder and (wrong := sorted(set(changed) - set(MAY_CHANGE))):
        problems.append(f"{where} model: {', '.join(wrong)}: only {', '.join(MAY_CHANGE)} may change between phases")
    if phase.model.max_position_embeddings < phase.token_shards.seq_len:
        problems.append(
            f"{where}: max_position_embeddings {phase.model.max_position_embeddings} is smaller than seq_len "
            f"{phase.token_shards.seq_len}"
        )
    return problems
