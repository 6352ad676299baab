"""Group model: the phases of training after the first, made of the [phases] tables: up to four assets each."""

import json
from pathlib import Path

from minicode_assets.config import Config, Phase
from minicode_assets.defs.limits import ACCELERATOR
from minicode_assets.defs.model import CONTROLS_HOLD, scores_of
from minicode_assets.defs.pictures import rows_table
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.defs.tokens import stars_of
from minicode_assets.defs.training import training_outcome
from minicode_assets.errors import ConfigError
from minicode_assets.tokens.instruct import write_instruct_shards
from minicode_assets.tokens.mixture import tokens_at_hand
from minicode_assets.tokens.mixture_table import COLUMNS, mixture_rows, phase_mixtures
from minicode_assets.tokens.write import write_token_shards
from minicode_model.shards import open_split


def phase_of(run: StageRun) -> Phase:
    """The phase that an asset belongs to.

    Raises:
        ConfigError: The run's configuration has no such phase.
    """
    for phase in run.config.phases:
        if run.name in (phase.shards, *phase.measured):
            return phase
    raise ConfigError(f"asset {run.name}: no phase of this configuration", hint="[phases] is fixed at loading")


def phase_shards(run: StageRun) -> Outcome:
    """Lay out and pack what the phase reads."""
    phase = phase_of(run)
    corpus, tokenizer = run.layout.asset("corpus"), run.layout.asset("tokenizer")
    if phase.examples:
        artifact = write_instruct_shards(
            corpus, tokenizer, run.folder,
            examples=phase.examples, params=phase.token_shards, config_digest=run.config_digest,
        )  # fmt: skip
    else:
        encoded = run.partitions("encoded_documents")
        artifact = write_token_shards(
            encoded, tokenizer, run.folder, params=phase.token_shards, config_digest=run.config_digest,
            num_stars=stars_of(run, phase.token_shards),
        )  # fmt: skip
    num_tokens = {split: open_split(run.folder, split).num_tokens for split in ("train", "validation")}
    mixture = [found for found in phase_mixtures(run.config) if found.name == phase.name]
    at_hand = {} if phase.examples else tokens_at_hand(run.partitions("encoded_documents"))
    return Outcome(
        artifact,
        {"both_splits_have_tokens": (min(num_tokens.values()) > 0, num_tokens)},
        {"mixture": rows_table(list(COLUMNS), mixture_rows(at_hand, mixture))},
    )


def phase_checkpoint(run: StageRun) -> Outcome:
    """Train on, from the former's weights."""
    phase = phase_of(run)
    start = Path(phase.after) if phase.starts_from_folder else run.layout.asset(phase.after)
    return training_outcome(run, run.layout.asset(phase.shards), phase.model, phase.checkpoint, start)


def phase_evaluation(run: StageRun) -> Outcome:
    """Measure the phase's checkpoint as the first one is measured."""
    from minicode_model.evaluation.run import evaluate

    artifact = evaluate(
        run.layout.asset(phase_of(run).name),
        run.layout.asset("token_shards"),
        run.layout.asset("tokenizer"),
        run.folder,
        params=run.config.evaluation,
        config_digest=run.config_digest,
    )
    bits = json.loads((run.folder / "results.json").read_text())["bits_per_byte"]
    better = bits["model"] < bits["untrained"]
    return Outcome(artifact, {"beats_untrained": (better, bits)}, {"bits_per_byte": bits["model"]})


def phase_benchmark_scores(run: StageRun) -> Outcome:
    """Put the phase's checkpoint to the benchmarks, as the first one is."""
    return scores_of(run, phase_of(run).name)


def stages_of(config: Config) -> list[Stage]:
    """The stages of all phases, in order."""
    names = {name for phase in config.phases for name in (phase.shards, *phase.measured)}
    return [stage for phase in config.phases for stage in _stages(phase) if stage.name in names]


def _stages(phase: Phase) -> list[Stage]:
    kind = "prompts and answers" if phase.examples else "sequences of the corpus"
    return [
        Stage(
            name=phase.shards,
            group="model",
            compute=phase_shards,
            deps=("corpus" if phase.examples else "encoded_documents", "tokenizer"),
            all_partitions=() if phase.examples else ("encoded_documents",),
            description=f"What the phase {phase.name} reads: {kind}, in the format of token_shards.",
            checks={"both_splits_have_tokens": "Neither split is empty."},
            kinds=("numpy",),
        ),
        Stage(
            name=phase.name,
            group="model",
            compute=phase_checkpoint,
            deps=(phase.shards,) if phase.starts_from_folder else (phase.shards, phase.after),
            description=f"The model after the phase {phase.name}, which starts from {phase.after}.",
            checks={"loss_is_finite": "Training ended with a finite loss."},
            kinds=("pytorch",),
            pool=ACCELERATOR,
        ),
        Stage(
            name=phase.evaluation,
            group="model",
            compute=phase_evaluation,
            deps=(phase.name, "token_shards", "tokenizer"),
            description=f"Bits per byte of {phase.name} on the same held-out origins as the first phase.",
            checks={"beats_untrained": "Fewer bits per byte than an untrained model."},
            kinds=("pytorch",),
            pool=ACCELERATOR,
        ),
        Stage(
            name=phase.scores,
            group="model",
            compute=phase_benchmark_scores,
            deps=(phase.name, "token_shards", "tokenizer"),
            description=f"What {phase.name} can do with the benchmarks that the first phase is put to.",
            checks={"controls_hold": CONTROLS_HOLD},
            kinds=("pytorch",),
            pool=ACCELERATOR,
        ),
    ]
