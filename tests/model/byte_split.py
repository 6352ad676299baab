"""Real Python text as token sequences: one token a byte, so that every figure can be computed by hand."""

import os
import signal
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicode_model.config import Checkpoint, Model

BYTE_VOCABULARY = 257
END = 256


@dataclass
class ByteSplit:
    """The interface of minicode_model.shards.PackedSplit over documents of bytes; the last token is END."""

    texts: list[bytes]
    seq_len: int
    vocab_size: int = BYTE_VOCABULARY
    tokenizer_digest: str = "bytes"

    def __post_init__(self) -> None:
        self.documents = [np.append(np.frombuffer(text, np.uint8), END).astype(np.uint16) for text in self.texts]
        self.tokens = np.concatenate(self.documents)
        self.owners = np.repeat(np.arange(len(self.texts)), [len(d) for d in self.documents])
        self.num_documents = len(self.texts)
        self.num_tokens = len(self.tokens)
        self.num_sequences = -(-self.num_tokens // self.seq_len)

    def sequence(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(index * self.seq_len, (index + 1) * self.seq_len)
        missing = self.seq_len - len(self.tokens[part])
        segments = np.unique(self.owners[part], return_inverse=True)[1].astype(np.int32)
        return np.pad(self.tokens[part], (0, missing)), np.pad(segments, (0, missing), constant_values=-1)

    def learnt(self, index: int) -> None:
        """Every token is learnt."""

    def document(self, index: int) -> tuple[np.ndarray, int]:
        return self.documents[index], len(self.texts[index])


class FailingSplit:
    """A split that does something at the n-th sequence read, as a disk or a user might."""

    def __init__(self, split: ByteSplit, at: int, act: Callable[[], None]) -> None:
        self.split, self.left, self.act = split, at, act

    def __getattr__(self, name: str) -> Any:
        return getattr(self.split, name)

    def sequence(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.left -= 1
        if self.left == 0:
            self.act()
        return self.split.sequence(index)


def train_and_die(at: int, states: Path, model: Model, params: Checkpoint) -> None:
    """Train on the fixtures' data until the sequence `at` is read, then SIGKILL this process."""
    from minicode_model.model import initialise
    from minicode_model.training.run import fit

    split = FailingSplit(ByteSplit(python_texts(12, 6000), 48), at, lambda: os.kill(os.getpid(), signal.SIGKILL))
    validation = ByteSplit(python_texts(20, 6000)[12:], 48)
    fit(initialise(model, params.seed), split, validation, states, params=params)  # type: ignore[arg-type]


def python_texts(count: int, max_bytes: int) -> list[bytes]:
    """The first small modules of the standard library."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    return [path.read_bytes() for path in paths if 200 < path.stat().st_size <= max_bytes][:count]
