"""The weights that training starts from: fresh ones, a checkpoint of ours, or a Hugging Face folder on disk.

A next phase (longer context, another mixture) is the same training from the former's checkpoint with other shards and
other sections; a larger `max_position_embeddings`, another `rope_theta` or `sliding_window` change no weight's shape.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from minicode_model.artifact import MANIFEST, digest_of, open_artifact, sha256_of
from minicode_model.checkpoint import (
    HUGGING_FACE_CONFIG,
    SETTINGS,
    WEIGHTS,
    read_settings,
    read_weights,
    tensors_to_model,
)
from minicode_model.config import MAY_CHANGE, Checkpoint, Model
from minicode_model.errors import CheckpointError
from minicode_model.model import Starcoder2, initialise

_INDEX = "model.safetensors.index.json"
_FIELDS = {field.name for field in dataclasses.fields(Model)}


def starting_model(start: Path | None, model: Model, params: Checkpoint, tokenizer_digest: str) -> Starcoder2:
    """A model of the given shape, with fresh weights or those of `start`.

    Args:
        start: None, a checkpoint artefact, or a folder with Hugging Face's config.json and safetensors.
        model: The shape to train.
        params: Gives the seed of fresh weights.
        tokenizer_digest: Of the shards; a checkpoint of ours must have been trained with the same. What tokenizer a
            Hugging Face folder means can't be checked here.

    Raises:
        CheckpointError: `start` has another shape or another tokenizer, or isn't readable.
    """
    if start is None:
        return initialise(model, params.seed)
    if (start / MANIFEST).exists():
        open_artifact(start)
    if (start / SETTINGS).exists():
        settings = read_settings(start)
        if settings.tokenizer_digest != tokenizer_digest:
            raise CheckpointError(
                f"{start}: tokenizer digest found {settings.tokenizer_digest}, expected {tokenizer_digest} (shards)",
                hint="make the shards with the checkpoint's tokenizer",
            )
        _check_shape(start, settings.model, model)
        return read_weights(start / WEIGHTS, model)
    _check_shape(start, hugging_face_shape(start), model)
    return tensors_to_model(start, _read_tensors(start), model)


def start_digest(start: Path | None) -> str:
    """What identifies the start in a training's fingerprint: an artefact's digest, or one of the weights' files."""
    if start is None:
        return ""
    if (start / MANIFEST).exists():
        return open_artifact(start, verify=False).digest
    return digest_of([[path.name, sha256_of(path)] for path in sorted(start.glob("*.safetensors"))])


def hugging_face_shape(folder: Path) -> Model:
    """The shape in a folder's config.json, of transformers 4 or 5.

    Raises:
        CheckpointError: There is none, it isn't StarCoder2's, its positions are scaled, or a field is absent.
    """
    path = folder / HUGGING_FACE_CONFIG
    try:
        raw: dict[str, Any] = json.loads(path.read_bytes())
        if raw.get("model_type") != "starcoder2":
            raise CheckpointError(f"{path}: model_type found {raw.get('model_type')!r}, expected 'starcoder2'")
        rope = raw.get("rope_parameters") or {"rope_theta": raw["rope_theta"], **(raw.get("rope_scaling") or {})}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise CheckpointError(
                f"{path}: rope_type found {kind!r}, expected 'default': scaled positions aren't known"
            )
        known = {name: value for name, value in raw.items() if name in _FIELDS and value is not None}
        return Model(
            **known | {"rope_theta": float(rope["rope_theta"]), "sliding_window": raw.get("sliding_window") or 0}
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a Starcoder2Config: {error!r}", hint="give a checkpoint artefact or a Hugging Face folder"
        ) from error


def _check_shape(start: Path, found: Model, expected: Model) -> None:
    differences = [
        f"[model] {name}: found {getattr(found, name)!r}, expected {getattr(expected, name)!r}"
        for name in sorted(_FIELDS - set(MAY_CHANGE))
        if getattr(found, name) != getattr(expected, name)
    ]
    if differences:
        raise CheckpointError(
            f"{start}: another shape than the configuration: " + "; ".join(differences),
            hint="give [model] the shape of the checkpoint",
        )


def _read_tensors(folder: Path) -> dict[str, Any]:
    index = folder / _INDEX
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values())) if index.exists() else [WEIGHTS]
        inside = [folder / Path(name).name for name in names]
        return {name: tensor for path in inside for name, tensor in load_file(path).items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: weights not readable: {error!r}", hint="download the folder again") from error
