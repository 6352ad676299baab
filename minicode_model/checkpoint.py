"""Checkpoints: a folder with weights in safetensors, Hugging Face's config.json and the whole configuration.

`model.safetensors` has Hugging Face's parameter names, `config.json` is a Starcoder2Config, so that transformers loads
the folder as it stands. `minicode.json` holds our own configuration and the tokenizer's digest. Nothing is pickled.
"""

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from minicode_model.artifact import Artifact, open_artifact, rebuild_hint, write_artifact
from minicode_model.config import Model, build_section, model_problems
from minicode_model.errors import CheckpointError
from minicode_model.model import Starcoder2

WEIGHTS = "model.safetensors"
HUGGING_FACE_CONFIG = "config.json"
SETTINGS = "minicode.json"
_FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""Narrower ones and integers mean numbers only together with a scale."""
END_OF_DOCUMENT_ID = 0
"""Id of `<|endoftext|>`, which StarCoder2 also takes for beginning, end and unknown."""


@dataclass(frozen=True)
class Settings:
    """What a checkpoint says about itself beside the weights.

    Attributes:
        model: The shape.
        training: The [checkpoint] section that it was trained with, operational fields left out; empty if untrained.
        tokenizer_digest: Digest of the tokenizer whose ids the model reads.
        step: Optimizer steps taken.
    """

    model: Model
    training: Mapping[str, Any]
    tokenizer_digest: str
    step: int


def save_checkpoint(
    folder: Path,
    network: Starcoder2,
    settings: Settings,
    *,
    config_digest: str,
    inputs: Mapping[str, str],
    metadata: Mapping[str, Any],
    tables: Mapping[str, str],
) -> Artifact:
    """Write the checkpoint artefact.

    Args:
        folder: The artefact folder.
        network: The model; its weights are stored as float32.
        settings: Written to `minicode.json`.
        config_digest: Digest of the configuration sections behind it.
        inputs: Digest of each input artefact.
        metadata: Figures for the manifest (outside of the digest: durations belong here).
        tables: Further text files, by name, e.g. `metrics.csv`.
    """
    with write_artifact(folder, name=folder.name, config_digest=config_digest, inputs=inputs) as writer:
        write_weights(network, writer.path)
        written = dataclasses.asdict(settings)
        (writer.path / SETTINGS).write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")
        for name, text in sorted(tables.items()):
            (writer.path / name).write_text(text)
        writer.metadata.update(metadata)
    return open_artifact(folder, verify=False)


def write_weights(network: Starcoder2, folder: Path) -> None:
    """Put `model.safetensors` (float32) and `config.json` into a folder."""
    tensors = {
        name: tensor.detach().float().contiguous().cpu() for name, tensor in sorted(network.state_dict().items())
    }
    save_tensors(tensors, folder / WEIGHTS)
    (folder / HUGGING_FACE_CONFIG).write_text(
        json.dumps(hugging_face_config(network.config), indent=2, sort_keys=True) + "\n"
    )


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file.

    Raises:
        OSError: The disk is full, the file too large or similar; the library hides that in an error of its own.
    """
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        found = re.search(r"os error (\d+)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(path)) from error


def hugging_face_config(model: Model) -> dict[str, Any]:
    """The Starcoder2Config of a shape, readable by transformers 4 (`rope_theta`) and 5 (`rope_parameters`)."""
    return {
        "architectures": ["Starcoder2ForCausalLM"],
        "model_type": "starcoder2",
        "vocab_size": model.vocab_size,
        "hidden_size": model.hidden_size,
        "intermediate_size": model.intermediate_size,
        "num_hidden_layers": model.num_hidden_layers,
        "num_attention_heads": model.num_attention_heads,
        "num_key_value_heads": model.num_key_value_heads,
        "hidden_act": model.hidden_act,
        "max_position_embeddings": model.max_position_embeddings,
        "initializer_range": model.hidden_size**-0.5,
        "norm_epsilon": model.norm_epsilon,
        "norm_type": model.norm_type,
        "rope_theta": model.rope_theta,
        "rope_parameters": {"rope_theta": model.rope_theta, "rope_type": "default"},
        "sliding_window": model.sliding_window or None,
        "use_bias": model.use_bias,
        "tie_word_embeddings": model.tie_word_embeddings,
        "attention_dropout": 0.0,
        "residual_dropout": 0.0,
        "embedding_dropout": 0.0,
        "bos_token_id": END_OF_DOCUMENT_ID,
        "eos_token_id": END_OF_DOCUMENT_ID,
        "use_cache": True,
        "torch_dtype": "float32",
    }


def read_settings(folder: Path) -> Settings:
    """Read `minicode.json` of a checkpoint.

    Raises:
        CheckpointError: It is absent, malformed or contradicts itself.
    """
    path = folder / SETTINGS
    try:
        raw = json.loads(path.read_bytes())
        model, problems = build_section(Model, raw["model"], "[model]")
        settings = Settings(model, raw["training"], str(raw["tokenizer_digest"]), int(raw["step"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path}: not the settings of a checkpoint: {error!r}", hint=_HINT) from error
    problems += model_problems(model)
    if problems:
        raise CheckpointError(f"{path}: " + "; ".join(problems), hint=_HINT)
    return settings


def load_model(folder: Path) -> tuple[Starcoder2, Model]:
    """Read and verify a checkpoint artefact.

    Returns:
        The model in float32 on the CPU, set to evaluation, and its shape.

    Raises:
        MissingArtifactError: The folder holds no complete artefact.
        CorruptArtifactError: A file differs from the manifest.
        CheckpointError: The files aren't those of a checkpoint, or names or shapes of the weights differ.
    """
    open_artifact(folder)
    config = read_settings(folder).model
    return read_weights(folder / WEIGHTS, config), config


def read_weights(path: Path, config: Model) -> Starcoder2:
    """A model of the given shape with the weights of a safetensors file.

    Raises:
        CheckpointError: The file can't be read, or its names or shapes aren't those of the shape.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: not readable as safetensors: {error}", hint=_HINT) from error
    return tensors_to_model(path, tensors, config)


def tensors_to_model(path: Path, tensors: Mapping[str, Tensor], config: Model) -> Starcoder2:
    """A model of the given shape with the given weights, in float32, set to evaluation.

    Args:
        path: What messages call the tensors.
        tensors: By Hugging Face's names; an output matrix beside tied embeddings is left out.
        config: The shape.

    Raises:
        CheckpointError: Names or shapes aren't those of the shape, or a weight isn't made of finite fractions.
    """
    with torch.device("meta"):
        network = Starcoder2(config)
    if config.tie_word_embeddings:
        tensors = {name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"}
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if found != expected:
        raise CheckpointError(f"{path}: {_difference(found, expected)}", hint=_HINT)
    for name, tensor in sorted(tensors.items()):
        if tensor.dtype not in _FLOATS or not tensor.isfinite().all():
            kind = "NaN or infinity" if tensor.dtype in _FLOATS else f"{tensor.dtype}"
            raise CheckpointError(f"{path}: weight {name}: found {kind}, expected finite fractions", hint=_HINT)
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return network.requires_grad_(True).eval()


def _difference(found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> str:
    name = min(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return f"weight {name}: found {found.get(name, 'none')}, expected {expected.get(name, 'none')}"


_HINT = rebuild_hint("checkpoint")
