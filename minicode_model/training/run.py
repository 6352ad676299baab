"""From token shards to a trained checkpoint: one call that goes on where a killed one stopped."""

import contextlib
import dataclasses
import logging
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch import Callback, Trainer

from minicode_model.artifact import Artifact, digest_of, open_artifact, storage_errors
from minicode_model.checkpoint import Settings, save_checkpoint
from minicode_model.config import Checkpoint, Model, checkpoint_problems, model_problems, shaping_values
from minicode_model.errors import ConfigError, ShardError
from minicode_model.model import Starcoder2
from minicode_model.ranges import range_problems
from minicode_model.shards import PackedSplit, open_split
from minicode_model.training.batches import StepLoader
from minicode_model.training.callbacks import Metrics, Progress, Reports, States, Validation
from minicode_model.training.logs import Logs, metrics_table
from minicode_model.training.module import TrainingModule
from minicode_model.training.start import start_digest, starting_model
from minicode_model.training.state import SafeCheckpointIO, newest_state

logger = logging.getLogger("minicode.checkpoint")

_PRECISION = {"bf16": "bf16-mixed", "fp32": "32-true"}


def train(
    shards: Path,
    folder: Path,
    work: Path,
    *,
    model: Model,
    params: Checkpoint,
    config_digest: str,
    start: Path | None = None,
    logs: Path | None = None,
    on_progress: Progress | None = None,
) -> Artifact:
    """Train a model from initial weights, or from a former checkpoint; afterwards `folder` is the checkpoint artefact.

    Called again after a kill, it goes on from the newest whole state in `work` and gives the same bytes as an
    uninterrupted run (on the CPU, with the same number of threads). States of another configuration or other shards
    are left alone: each fingerprint has its own folder in `work`. All are removed after success.

    Args:
        shards: The `token_shards` artefact, with a train and a validation split.
        folder: Where the checkpoint goes: model.safetensors, config.json, minicode.json, metrics.csv (a row a step).
        work: Scratch for training states.
        model: The shape.
        params: The [checkpoint] section.
        config_digest: Digest of the sections, recorded in the manifest.
        start: A checkpoint artefact or a Hugging Face folder whose weights come first; None draws them.
        logs: A folder for metrics.csv with speeds and for TensorBoard's files; None writes none.
        on_progress: Called every `log_every_steps` with the last figures and the curves so far.

    Raises:
        CheckpointError: `start` has another shape or tokenizer.
        ConfigError: Model and training section contradict themselves.
        ShardError: The shards don't fit the model, or a split is empty.
        DivergenceError: The loss became NaN, infinite, or climbed.
        StorageError: The disk is full or read-only.
    """
    _check_sections(model, params)
    shards_artifact = open_artifact(shards)
    splits = _open_splits(shards, model)
    network = starting_model(start, model, params, splits[0].tokenizer_digest)
    started = start_digest(start)
    states = _states_folder(work, fingerprint([shards_artifact.digest, started], model, params)[:16])
    metrics, validation = fit(network, *splits, states, params=params, logs=logs, on_progress=on_progress)
    figures = summary(network, metrics, validation, params)
    network = _gathered(network, params)
    if rank() > 0:
        return _wait_for(folder)
    artifact = save_checkpoint(
        folder,
        network,
        Settings(model, shaping_values(params), splits[0].tokenizer_digest, params.max_steps),
        config_digest=config_digest,
        inputs={"token_shards": shards_artifact.digest} | ({"start": started} if start else {}),
        metadata=figures,
        tables={"metrics.csv": metrics_table(metrics, validation)},
    )
    shutil.rmtree(work)
    if params.devices > 1:
        torch.distributed.barrier()
    return artifact


def _open_splits(shards: Path, model: Model) -> tuple[PackedSplit, PackedSplit]:
    """The verified shards' train and validation split, which fit the model."""
    splits = open_split(shards, "train", verify=False), open_split(shards, "validation", verify=False)
    check_fit(model, *splits)
    return splits


def _states_folder(work: Path, name: str) -> Path:
    """Where this training's states lie; a changed one begins anew, and says so: it can't go on from others' states."""
    states = work / name
    others = sorted(path.name for path in work.glob("*") if path.is_dir() and path != states)
    if others and not states.exists() and rank() == 0:
        logger.warning(
            "%s: left alone are states of other sections, shards, devices or start (%s); this training begins anew",
            work,
            ", ".join(others),
        )
    return states


def _check_sections(model: Model, params: Checkpoint) -> None:
    problems = range_problems(model, "[model]") + range_problems(params, "[checkpoint]")
    problems += model_problems(model) + checkpoint_problems(params)
    if problems:
        first_of_each = {problem.partition(":")[0]: problem for problem in reversed(problems)}
        raise ConfigError("\n".join(reversed(first_of_each.values())), hint="correct the preset or the override")
    if params.devices != int(os.environ.get("WORLD_SIZE", "1")):
        raise ConfigError(
            f"[checkpoint] devices {params.devices}: found {os.environ.get('WORLD_SIZE', '1')} processes",
            hint=f"torchrun --nproc-per-node {params.devices} -m minicode_model train ...",
        )


def rank() -> int:
    """Which of the processes of torchrun this is; 0 where there is one."""
    return int(os.environ.get("RANK", "0"))


def _gathered(network: Starcoder2, params: Checkpoint) -> Starcoder2:
    """The network with all its weights, at least in the first process."""
    if not params.sharded:
        return network
    from minicode_model.training.sharding import whole

    return whole(network)


def _wait_for(folder: Path) -> Artifact:
    torch.distributed.barrier()
    return open_artifact(folder, verify=False)


def check_fit(model: Model, train_split: PackedSplit, validation_split: PackedSplit) -> None:
    """Raise ShardError unless the shards' ids and lengths are within the model's shape and there is text."""
    for name, split in (("train", train_split), ("validation", validation_split)):
        if split.num_sequences == 0:
            raise ShardError(f"split {name}: found 0 sequences, expected at least one", hint="give it a larger corpus")
        if split.vocab_size > model.vocab_size:
            raise ShardError(
                f"split {name}: vocab_size found {split.vocab_size}, expected at most [model] {model.vocab_size}",
                hint=f"set [model] vocab_size to {split.vocab_size}",
            )
        if split.seq_len > model.max_position_embeddings:
            raise ShardError(
                f"split {name}: seq_len found {split.seq_len}, expected at most [model] max_position_embeddings "
                f"{model.max_position_embeddings}",
                hint=f"set [model] max_position_embeddings to {split.seq_len}",
            )


def fingerprint(inputs: list[str], model: Model, params: Checkpoint) -> str:
    """Digest of all that the weights depend on."""
    return digest_of([2, *inputs, dataclasses.asdict(model), shaping_values(params)])


def fit(
    network: Starcoder2,
    train_split: PackedSplit,
    validation_split: PackedSplit,
    states: Path,
    *,
    params: Checkpoint,
    logs: Path | None = None,
    on_progress: Progress | None = None,
) -> tuple[Metrics, Validation]:
    """Train `network` to the last step, from the newest whole state in `states` or from the weights that it has."""
    loader = StepLoader(train_split, params, rank())
    metrics, validation = Metrics(params, loader), Validation(validation_split, params)
    module = TrainingModule(network.train(), params)
    with storage_errors(states):
        states.mkdir(parents=True, exist_ok=True)
    newest = newest_state(states, set_aside=rank() == 0)
    if newest:
        logger.info("going on from %s", newest)
    keeper = States(states, params)
    callbacks: list[Callback] = [metrics, validation]
    if on_progress and rank() == 0:
        callbacks.append(Reports(metrics, validation, params, on_progress))
    if logs and rank() == 0:
        callbacks.append(Logs(logs, metrics, validation, params))
    with _guest_manners(params.num_threads):
        trainer = _make_trainer(states, params, [*callbacks, keeper])
        trainer.fit(module, loader, ckpt_path=newest)
    keeper.raise_noted_signal()
    return metrics, validation


def _make_trainer(states: Path, params: Checkpoint, callbacks: list[Callback]) -> Trainer:
    return Trainer(
        accelerator="auto",
        devices=params.devices,
        strategy=_strategy(params),
        use_distributed_sampler=False,
        max_steps=params.max_steps,
        max_epochs=-1,
        accumulate_grad_batches=params.gradient_accumulation_steps,
        precision=_PRECISION[params.precision],  # type: ignore[arg-type]
        gradient_clip_val=params.gradient_clip,
        callbacks=callbacks,
        plugins=[
            SafeCheckpointIO(states.name),
            LightningEnvironment() if params.devices == 1 else TorchElasticEnvironment(),
        ],
        default_root_dir=states,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _strategy(params: Checkpoint) -> Any:
    if params.sharded:
        from minicode_model.training.sharding import Sharded

        return Sharded(params.devices)
    return "ddp" if params.devices > 1 else "auto"


@contextlib.contextmanager
def _guest_manners(num_threads: int) -> Iterator[None]:
    """Lightning inside somebody else's process: nothing printed, and threads, loggers and warnings left as found."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [(each, each.level) for each in loggers]
    threads = torch.get_num_threads()
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        if num_threads:
            torch.set_num_threads(num_threads)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\..*")
            yield
    except SystemExit as error:  # Lightning turns KeyboardInterrupt into this, and ignores SIGINT from then on
        raise KeyboardInterrupt from error
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)
        torch.set_num_threads(threads)
        for each, level in levels:
            each.setLevel(level)


def summary(network: Starcoder2, metrics: Metrics, validation: Validation, params: Checkpoint) -> dict[str, Any]:
    """Figures for the manifest. Those that depend on the clock belong here, outside of the digest.

    `mfu` is the share of the measured peak of a matrix product on the same devices, 0..1.
    """
    return {
        "num_parameters": network.num_parameters,
        "steps": len(metrics.rows),
        "num_tokens": int(metrics.tokens),
        "first_loss": metrics.rows[0][1],
        "last_loss": metrics.smoothed(len(metrics.rows)),
        "validation_loss": validation.rows[-1][1],
        "seconds": round(metrics.seconds, 1),
        "tokens_per_second": round(metrics.tokens_per_second, 1),
        "mfu": round(metrics.mfu, 4),
        "peak_gflops": round(metrics.peak / 1e9, 1),
        "data_wait_fraction": round(metrics.data_wait_fraction, 5),
        "threads": params.num_threads or torch.get_num_threads(),
        "device": str(network.output_weight.device),
    }
