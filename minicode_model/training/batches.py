"""The order in which the model reads the shards: a function of (seed, step), with one integer as its state."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from minicode_model.config import Checkpoint
from minicode_model.model import target_mask


class Sequences(Protocol):
    """What training needs of a packed split (minicode_model.shards.PackedSplit)."""

    seq_len: int
    num_sequences: int

    def sequence(self, index: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
        """Tokens and segment ids of one sequence, each of length T."""

    def learnt(self, index: int) -> npt.NDArray[np.bool_] | None:
        """Which tokens of the sequence are learnt; None for all."""


class Batch(NamedTuple):
    """Sequences of one forward pass.

    Attributes:
        tokens_BT: Token ids.
        segments_BT: Document of each position; -1 is padding.
        targets_BT: Which of the tokens from the second on are predicted (B, T - 1).
        step_targets: Predicted tokens in all batches of the same optimizer step, the divisor of their losses.
    """

    tokens_BT: Tensor
    segments_BT: Tensor
    targets_BT: Tensor
    step_targets: int


def sequence_order(num_sequences: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of the sequences that depends on nothing but its arguments.

    Sorts by Philox's raw output, whose stream numpy promises to keep (that of `Generator.permutation` it doesn't).
    """
    keys = np.random.Philox(key=np.array([seed, epoch], dtype=np.uint64)).random_raw(num_sequences)
    return np.argsort(keys, kind="stable")


def stack(
    split: Sequences, indices: npt.NDArray[np.int64], *, document_mask: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens and segment ids (B, T) of the given sequences, and which tokens are predicted (B, T - 1).

    Without `document_mask` a sequence is one text, and padding.
    """
    pairs = [split.sequence(int(index)) for index in indices]
    tokens = np.stack([tokens for tokens, _ in pairs]).astype(np.int64)
    segments = np.stack([segments for _, segments in pairs]).astype(np.int64)
    segments_BT = torch.from_numpy(segments if document_mask else segments.clip(max=0))
    targets_BT = target_mask(segments_BT)
    for row, index in enumerate(indices):
        if (learnt := split.learnt(int(index))) is not None:
            targets_BT[row] &= torch.from_numpy(learnt[1:])
    return torch.from_numpy(tokens), segments_BT, targets_BT


class StepLoader:
    """Gives the batches of the steps in order; Lightning saves and restores its position.

    The sequences of a step are the same on any number of devices, where the product of devices, batch size and
    accumulation is.

    Args:
        split: The training sequences.
        params: Seed, batch size, accumulation, number of steps and of devices.
        rank: Which of the devices this process is, from 0.

    Attributes:
        seconds: Time that the batches given so far took, in which training stood still.
    """

    def __init__(self, split: Sequences, params: Checkpoint, rank: int = 0) -> None:
        self.split = split
        self.params = params
        self.rank = rank
        self.num_delivered = 0
        self.seconds = 0.0
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        return self.params.max_steps * self.params.gradient_accumulation_steps

    def __iter__(self) -> Iterator[Batch]:
        accumulation = self.params.gradient_accumulation_steps
        while self.num_delivered < len(self):
            started = time.perf_counter()
            step, first = divmod(self.num_delivered, accumulation)
            batches = self.step_batches(step)[first:]
            self.seconds += time.perf_counter() - started
            for batch in batches:
                self.num_delivered += 1
                yield batch

    def step_batches(self, step: int) -> list[Batch]:
        """This device's batches of one optimizer step."""
        num_batches = self.params.gradient_accumulation_steps * self.params.devices
        count = self.params.batch_size * num_batches
        indices = np.array([self._sequence_at(position) for position in range(step * count, (step + 1) * count)])
        batches = [
            stack(self.split, part, document_mask=self.params.document_mask) for part in np.split(indices, num_batches)
        ]
        step_targets = sum(int(targets.sum()) for *_, targets in batches)
        return [Batch(*tensors, step_targets) for tensors in batches[self.rank :: self.params.devices]]

    def _sequence_at(self, position: int) -> int:
        epoch, offset = divmod(position, self.split.num_sequences)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, sequence_order(self.split.num_sequences, self.params.seed, epoch)
        return int(self._order[offset])

    def state_dict(self) -> dict[str, Any]:
        """The number of batches given so far."""
        return {"num_delivered": self.num_delivered}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after that many batches."""
        self.num_delivered = int(state["num_delivered"])
