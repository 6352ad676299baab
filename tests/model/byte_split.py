"""Real Python text as token sequences: one token a byte, so that every figure can be computed by hand."""

import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


def python_texts(count: int, max_bytes: int) -> list[bytes]:
    """The first small modules of the standard library."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    return [path.read_bytes() for path in paths if 200 < path.stat().st_size <= max_bytes][:count]
