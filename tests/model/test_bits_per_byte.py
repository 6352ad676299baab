"""A wrong metric is believed: every figure here is computed a second way."""

import math
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_model.config import Model
from minicode_model.errors import ShardError
from minicode_model.evaluation.baselines import byte_entropy, zlib_bits_per_byte
from minicode_model.evaluation.bits_per_byte import bits_per_byte, score_documents
from minicode_model.model import Starcoder2, initialise
from tests.model.byte_split import BYTE_VOCABULARY, END, ByteSplit

IS_TEXT = np.arange(BYTE_VOCABULARY) != END


@pytest.fixture(scope="module")
def model() -> Starcoder2:
    config = Model(
        vocab_size=BYTE_VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
    )
    return initialise(config, 4).eval()


def documents(split: ByteSplit) -> list[tuple[np.ndarray, int]]:
    """As in real shards, a special token stands before the text."""
    return [(np.append(END, split.document(d)[0]), split.document(d)[1]) for d in range(split.num_documents)]


def test_uniform_predictions_cost_the_logarithm_of_the_vocabulary(model: Starcoder2) -> None:
    flat = initialise(model.config, 0).eval()
    with torch.no_grad():
        flat.output_weight.zero_()
    split = ByteSplit([b"import os\n", b"", b"x" * 300], 32)
    scores = score_documents(flat, documents(split), is_text=IS_TEXT, context_tokens=16, batch_size=2)
    assert [score.num_bytes for score in scores] == [score.num_tokens for score in scores] == [10, 0, 300]
    assert bits_per_byte(scores) == pytest.approx(math.log2(257), abs=1e-6)


def test_tokens_of_several_bytes_are_divided_by_bytes(model: Starcoder2) -> None:
    flat = initialise(model.config, 0).eval()
    with torch.no_grad():
        flat.output_weight.zero_()
    (score,) = score_documents(
        flat, [(np.array([END, 1, 2, 3, END]), 24)], is_text=IS_TEXT, context_tokens=16, batch_size=1
    )
    assert (score.num_tokens, score.num_bytes) == (3, 24)
    assert bits_per_byte([score]) == pytest.approx(3 * math.log2(257) / 24, abs=1e-6)


def by_hand(model: Starcoder2, tokens: np.ndarray, context: int) -> float:
    """One token at a time: the window that scores it is the first one that reaches beyond it."""
    bits = 0.0
    for t in range(1, len(tokens)):
        if not IS_TEXT[tokens[t]]:
            continue
        start = 0
        while t >= start + context:
            start += context // 2
        logits = model(torch.tensor(tokens[start:t].astype(np.int64))[None])[0, -1].double()
        bits -= float(logits.detach().log_softmax(-1)[tokens[t]]) / math.log(2)
    return bits


@settings(max_examples=15)
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.integers(2, 20), st.integers(1, 5))
def test_every_byte_counts_once_whatever_the_windows(texts: list[bytes], context: int, batch_size: int) -> None:
    config = Model(
        vocab_size=BYTE_VOCABULARY,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    model = initialise(config, 4).eval()
    pairs = documents(ByteSplit(texts, 16))
    scores = score_documents(model, pairs, is_text=IS_TEXT, context_tokens=context, batch_size=batch_size)
    for score, text, (tokens, _) in zip(scores, texts, pairs, strict=True):
        assert score.num_tokens == score.num_bytes == len(text)
        assert score.nats / math.log(2) == pytest.approx(by_hand(model, tokens, context), rel=1e-4, abs=1e-4)


def test_no_text_is_no_figure(model: Starcoder2) -> None:
    scores = score_documents(model, documents(ByteSplit([b""], 8)), is_text=IS_TEXT, context_tokens=8, batch_size=1)
    with pytest.raises(ShardError, match="found 0 bytes"):
        bits_per_byte(scores)


def test_byte_entropy_by_hand() -> None:
    assert byte_entropy([b"aa", b"bb"]) == 1.0
    assert byte_entropy([b"aaaa"]) == 0.0
    assert byte_entropy([bytes(range(256))]) == 8.0
    assert byte_entropy([b"aaab"]) == pytest.approx(0.75 * math.log2(4 / 3) + 0.25 * 2)


def test_zlib_is_its_raw_stream() -> None:
    text = b"def f(x):\n    return x\n" * 20
    overhead = 2 + 4  # header and checksum
    assert zlib_bits_per_byte([text, text]) == 8 * (len(zlib.compress(text, 9)) - overhead) / len(text)
