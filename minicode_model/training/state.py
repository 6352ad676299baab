"""Training states on disk: everything that Lightning wants to restore, as safetensors and JSON, never as a pickle.

A state is a folder `step-00000100` with a verified manifest (minicode_model.artifact), written under a temporary name
and renamed. Two are kept, so that a damaged newest one leaves another to go on from.
"""

import json
import logging
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from minicode_model.artifact import open_artifact, write_artifact
from minicode_model.checkpoint import save_tensors
from minicode_model.errors import ArtifactError, CheckpointError

logger = logging.getLogger("minicode.checkpoint")

TENSORS = "tensors.safetensors"
TREE = "tree.json"
NUM_KEPT = 2
NEEDED = {"callbacks", "global_step", "loops", "optimizer_states", "pytorch-lightning_version", "state_dict"}
"""What Lightning reads of a state."""


class SafeCheckpointIO(CheckpointIO):
    """Lightning's way to disk and back, as an artefact folder.

    Args:
        fingerprint: What the state belongs to (configuration, shards); recorded in the manifest.
    """

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the state folder and flush it."""
        tensors: dict[str, torch.Tensor] = {}
        tree = to_json(checkpoint, "", tensors)
        with write_artifact(Path(path), name="training_state", config_digest=self.fingerprint, inputs={}) as writer:
            save_tensors(tensors, writer.path / TENSORS)
            (writer.path / TREE).write_text(json.dumps(tree))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read and verify a state folder."""
        open_artifact(Path(path))
        tree = json.loads((Path(path) / TREE).read_bytes())
        loaded: dict[str, Any] = from_json(tree, load_file(Path(path) / TENSORS))
        return loaded

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a state folder."""
        shutil.rmtree(path)


def to_json(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """Turn nested dicts, lists, tuples and numbers into JSON; tensors go to `tensors` under their path.

    Containers become `[kind, ...]`, because JSON alone would lose tuples and integer keys.

    Raises:
        CheckpointError: Something else is in there, which only a pickle could hold.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.Tensor):
        tensors[path] = value.detach().contiguous().clone()
        return ["tensor", path]
    if isinstance(value, dict):
        return ["dict", [[key, to_json(item, f"{path}/{key}", tensors)] for key, item in value.items()]]
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return [kind, [to_json(item, f"{path}/{index}", tensors) for index, item in enumerate(value)]]
    raise CheckpointError(f"training state {path}: can't be stored without a pickle: {type(value).__name__}")


def from_json(value: Any, tensors: Mapping[str, Any]) -> Any:
    """The inverse of `to_json`."""
    if not isinstance(value, list):
        return value
    kind, content = value
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: from_json(item, tensors) for key, item in content}
    items = [from_json(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def state_folder(work: Path, step: int) -> Path:
    """Where the state after `step` optimizer steps lies."""
    return work / f"step-{step:08d}"


def state_folders(work: Path) -> list[Path]:
    """The state folders in `work`, oldest first."""
    found = work.iterdir() if work.is_dir() else []
    return sorted(path for path in found if re.fullmatch(r"step-\d{8}", path.name))


def newest_state(work: Path, *, set_aside: bool = True) -> Path | None:
    """The newest state that is whole and belongs to `work`, which is named after the fingerprint.

    Others are reported and, with `set_aside`, renamed to `damaged-*`.
    """
    for folder in reversed(state_folders(work)):
        try:
            check_state(folder, work.name)
        except (ArtifactError, CheckpointError) as error:
            logger.warning("training state %s is of no use, going back to the one before: %s", folder, error)
            if set_aside:
                aside = folder.with_name(f"damaged-{folder.name}")
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
        else:
            return folder
    return None


def check_state(folder: Path, fingerprint: str) -> None:
    """Raise unless a state can be read; its tensors are looked up, not loaded.

    Raises:
        MissingArtifactError, CorruptArtifactError: It is not whole.
        CheckpointError: It is another training's, or was not written by `SafeCheckpointIO`.
    """
    found = open_artifact(folder).config_digest
    if found != fingerprint:
        raise CheckpointError(f"{folder}: found a state of the training {found}, expected {fingerprint}")
    try:
        with safe_open(folder / TENSORS, "pt") as tensors:
            state = from_json(json.loads((folder / TREE).read_bytes()), dict.fromkeys(tensors.keys()))
        absent = sorted(NEEDED - state.keys())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: not a training state: {error!r}") from error
    if absent:
        raise CheckpointError(f"{folder}: not a training state: without {', '.join(absent)}")


def remove_old_states(work: Path) -> None:
    """Keep the newest states only."""
    for folder in state_folders(work)[:-NUM_KEPT]:
        shutil.rmtree(folder)
