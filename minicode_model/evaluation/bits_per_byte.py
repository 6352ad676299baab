"""Bits per byte: how well the model predicts held-out text, comparable across tokenizers.

    bits per byte = sum over scored tokens of -log2 p(token | context) / bytes of text

Scored are the tokens that stand for bytes of text, all of them, each once. Special tokens are read and not scored:
`<file_sep>`, which every document begins with, is the context of the first token; `<|endoftext|>` at the end doesn't
count, so the figure is the cost of the text, not of saying that it ends. Source: model.md 5b.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from minicode_model.errors import ShardError
from minicode_model.model import PADDING_SEGMENT, Starcoder2

Tokens = npt.NDArray[Any]


@dataclass(frozen=True)
class Score:
    """One scored document: its cost in nats, and its bytes and scored tokens."""

    nats: float
    num_bytes: int
    num_tokens: int


@dataclass(frozen=True)
class Window:
    """A stretch of one document that the model reads at once; tokens from `first` (at least 1) on are scored."""

    document: int
    tokens: Tokens
    first: int


def bits_per_byte(scores: Sequence[Score]) -> float:
    """Total bits over total bytes.

    Raises:
        ShardError: There is no byte to divide by.
    """
    num_bytes = sum(score.num_bytes for score in scores)
    if num_bytes == 0:
        raise ShardError("bits per byte: found 0 bytes of held-out text", hint="raise [corpus] validation_fraction")
    return math.fsum(score.nats for score in scores) / math.log(2) / num_bytes


def score_documents(
    model: Starcoder2,
    documents: Sequence[tuple[Tokens, int]],
    *,
    is_text: npt.NDArray[np.bool_],
    context_tokens: int,
    batch_size: int,
) -> list[Score]:
    """Score each document.

    A document longer than the context is read in windows that overlap by half: each scored token but those of the
    first window has at least half a context before it, and none is scored twice.

    Args:
        model: The model, in evaluation mode.
        documents: Tokens, and the bytes of text that they stand for.
        is_text: By id, whether the token stands for text; shape [V].
        context_tokens: Tokens a window, at least 2.
        batch_size: Windows at once.

    Returns:
        One score a document, in order.
    """
    windows = sorted(
        (window for number, (tokens, _) in enumerate(documents) for window in _windows(number, tokens, context_tokens)),
        key=lambda window: len(window.tokens),
    )
    nats = [0.0] * len(documents)
    counts = [0] * len(documents)
    for start in range(0, len(windows), batch_size):
        batch = windows[start : start + batch_size]
        for window, (cost, count) in zip(batch, score_windows(model, batch, is_text), strict=True):
            nats[window.document] += cost
            counts[window.document] += count
    return [Score(cost, num_bytes, count) for cost, count, (_, num_bytes) in zip(nats, counts, documents, strict=True)]


def _windows(document: int, tokens: Tokens, context_tokens: int) -> Iterator[Window]:
    yield Window(document, tokens[:context_tokens], 1)
    stride = context_tokens // 2
    for end in range(context_tokens, len(tokens), stride):
        window = tokens[end + stride - context_tokens : end + stride]
        yield Window(document, window, context_tokens - stride)


@torch.inference_mode()
def score_windows(
    model: Starcoder2, batch: Sequence[Window], is_text: npt.NDArray[np.bool_]
) -> list[tuple[float, int]]:
    """Cost in nats and number of the scored tokens of each window, read as one batch."""
    width = max(len(window.tokens) for window in batch)
    tokens_BT = np.zeros((len(batch), width), dtype=np.int64)
    segments_BT = np.full((len(batch), width), PADDING_SEGMENT, dtype=np.int64)
    for row, window in enumerate(batch):
        tokens_BT[row, : len(window.tokens)] = window.tokens
        segments_BT[row, : len(window.tokens)] = 0
    device = model.output_weight.device
    tokens, segments = torch.from_numpy(tokens_BT).to(device), torch.from_numpy(segments_BT).to(device)
    hidden_BTC = model.model(tokens, segments, None)
    scores = []
    for row, window in enumerate(batch):
        end = len(window.tokens)
        logits_TV = functional.linear(hidden_BTC[row, window.first - 1 : end - 1], model.output_weight)
        cost_T = functional.cross_entropy(logits_TV.float(), tokens[row, window.first : end], reduction="none")
        counts = torch.from_numpy(is_text[tokens_BT[row, window.first : end]]).to(device)
        scores.append((float(cost_T.double()[counts].sum()), int(counts.sum())))
    return scores
