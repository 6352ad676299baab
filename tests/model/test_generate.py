"""Sampling: the cache against no cache, the nucleus by hand, reproducibility, stops, streaming."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_model.config import Model
from minicode_model.errors import ConfigError
from minicode_model.generate import Row, choose, complete, fill_in_the_middle, gap_prompt, generate, stream
from minicode_model.model import Starcoder2, initialise
from tests.tokens.corpora import small_tokenizer

GREEDY = {"temperature": 0.0, "top_p": 1.0, "seed": 0}
SAMPLED = {"temperature": 1.0, "top_p": 0.95, "seed": 5}


@pytest.fixture(scope="module")
def model() -> Starcoder2:
    return initialise(
        Model(
            vocab_size=small_tokenizer().vocab_size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=96,
        ),
        seed=11,
    ).eval()


def without_cache(model: Starcoder2, prompt: np.ndarray, count: int, pick) -> list[int]:
    ids = list(map(int, prompt))
    for _ in range(count):
        ids.append(pick(model(torch.tensor([ids]))[0, -1]))
    return ids[len(prompt) :]


@pytest.mark.parametrize("window", [0, 9])
def test_greedy_with_cache_equals_greedy_without(model: Starcoder2, window: int) -> None:
    network = initialise(dataclasses.replace(model.config, sliding_window=window), seed=11).eval()
    tokenizer = small_tokenizer()
    prompts = [tokenizer.encode(text) for text in ("def f(x):\n", "import os\nclass A:\n    def", "x")]
    texts = generate(network, tokenizer, prompts, max_new_tokens=40, **GREEDY)
    for prompt, text in zip(prompts, texts, strict=True):
        ids = without_cache(network, prompt, 40, lambda logits: int(logits.argmax()))
        stops = [index for index, token in enumerate(ids) if not tokenizer.token_bytes[token]]
        assert text == tokenizer.decode(ids[: min(stops, default=40)])


def test_a_row_gets_the_same_text_alone_and_in_a_batch(model: Starcoder2) -> None:
    tokenizer = small_tokenizer()
    prompts = [tokenizer.encode("import json"), tokenizer.encode("def parse(self, text):\n    return")]
    batch = generate(model, tokenizer, prompts, max_new_tokens=30, **SAMPLED)
    assert batch[:1] == generate(model, tokenizer, prompts[:1], max_new_tokens=30, **SAMPLED)
    assert batch == generate(model, tokenizer, prompts, max_new_tokens=30, **SAMPLED)
    assert batch != generate(model, tokenizer, prompts, max_new_tokens=30, **(SAMPLED | {"seed": 6}))
    same = generate(model, tokenizer, prompts[:1] * 2, max_new_tokens=30, **SAMPLED)
    assert same[0] != same[1]


@pytest.mark.parametrize(
    ("uniform", "top_p", "expected"),
    [
        *((0.0, 1.0, 2), (0.49, 1.0, 2), (0.51, 1.0, 0), (0.79, 1.0, 0), (0.81, 1.0, 1), (0.999, 1.0, 1)),
        *((0.999, 0.8, 0), (0.999, 0.79, 0), (0.62, 0.8, 2), (0.63, 0.8, 0), (0.999, 0.5, 2), (0.999, 0.0001, 2)),
    ],
)
def test_nucleus_by_hand(uniform: float, top_p: float, expected: int) -> None:
    """Probabilities 0.3, 0.2, 0.5; of the nucleus 0.5 and 0.3 the first has 0.625."""
    logits = torch.tensor([[0.3, 0.2, 0.5]]).log()
    assert choose(logits, torch.tensor([uniform], dtype=torch.float64), 1.0, top_p).item() == expected


def test_temperature_by_hand() -> None:
    """At temperature 0.5 the probabilities 0.2 and 0.8 become 1/17 and 16/17."""
    logits = torch.tensor([[0.2, 0.8]]).log().repeat(2, 1)
    assert choose(logits, torch.tensor([0.94, 0.942], dtype=torch.float64), 0.5, 1.0).tolist() == [1, 0]
    assert choose(logits, torch.tensor([0.0, 0.999], dtype=torch.float64), 0.0, 1.0).tolist() == [1, 1]


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.floats(0.1, 1.0), st.floats(0.2, 2.0))
def test_samples_follow_the_probabilities(seed: int, top_p: float, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 6, generator=generator)
    probability = (logits.double()[0] / temperature).softmax(0)
    kept = set()
    for index in probability.argsort(descending=True, stable=True).tolist():
        if sum(float(probability[k]) for k in kept) < top_p:
            kept.add(index)
    grid = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    drawn = choose(logits.repeat(4000, 1), grid, temperature, top_p)
    share = torch.bincount(drawn, minlength=6) / 4000
    expected = torch.tensor([float(probability[k]) if k in kept else 0.0 for k in range(6)])
    assert torch.allclose(share, expected / expected.sum(), atol=1e-3)


def test_a_row_ends_before_the_first_stop_text_even_across_tokens() -> None:
    tokenizer = small_tokenizer()
    row = Row(tokenizer, ["\nclass", "\ndef"])
    for token in tokenizer.encode("    return 1\n\n\ndef next():\n    class"):
        row.add(int(token))
    assert row.text == b"    return 1\n\n"
    assert row.is_done


def test_a_row_ends_at_a_special_token() -> None:
    tokenizer = small_tokenizer()
    row = Row(tokenizer, [])
    for token in [*tokenizer.encode("a = 1"), tokenizer.special("<|endoftext|>"), *tokenizer.encode("b")]:
        row.add(int(token))
    assert (row.text, row.is_done) == (b"a = 1", True)


@pytest.mark.parametrize("stop", [(), ("e",), ("\n", "::")])
def test_streamed_parts_are_the_generated_text(model: Starcoder2, stop: tuple[str, ...]) -> None:
    tokenizer = small_tokenizer()
    for seed in range(4):
        options = SAMPLED | {"seed": seed, "max_new_tokens": 40, "stop": stop}
        (whole,) = generate(model, tokenizer, [tokenizer.encode("def ")], **options)
        parts = list(stream(model, tokenizer, tokenizer.encode("def "), **options))
        assert "".join(parts) == whole.decode("utf-8", "replace")


def test_long_prompts_lose_their_beginning(model: Starcoder2) -> None:
    tokenizer = small_tokenizer()
    long = tokenizer.encode("value = 1\n" * 100)
    options = GREEDY | {"max_new_tokens": 16}
    assert generate(model, tokenizer, [long], **options) == generate(model, tokenizer, [long[-80:]], **options)


def test_a_gap_keeps_what_is_near_it() -> None:
    tokenizer = small_tokenizer()
    prefix, suffix = "p = 1\n" * 80 + "NEAR_BEFORE", "NEAR_AFTER\n" + "s = 1\n" * 80
    ids = gap_prompt(tokenizer, prefix, suffix, 60)
    assert len(ids) <= 60
    shown = tokenizer.decode(ids, show_special=True).decode()
    assert shown.startswith("<file_sep><fim_prefix>")
    assert "NEAR_BEFORE<fim_suffix>NEAR_AFTER\n" in shown
    assert shown.endswith("<fim_middle>")


@given(st.text(max_size=60), st.text(max_size=60), st.integers(6, 40))
def test_a_gap_never_exceeds_its_room(prefix: str, suffix: str, room: int) -> None:
    assert len(gap_prompt(small_tokenizer(), prefix, suffix, room)) <= room


def test_an_id_that_the_tokenizer_lacks_ends_a_row(model: Starcoder2) -> None:
    """A model's vocabulary may be larger than its tokenizer's, and an untrained one draws from all of it."""
    tokenizer = small_tokenizer()
    padded = initialise(dataclasses.replace(model.config, vocab_size=4 * tokenizer.vocab_size), seed=2).eval()
    prompts = [tokenizer.encode("x")] * 16
    texts = generate(
        padded, tokenizer, prompts, max_new_tokens=30, temperature=2.0, top_p=1.0, seed=-1, stop=["\udc80"]
    )
    assert len(texts) == 16


def test_text_level_calls(model: Starcoder2) -> None:
    tokenizer = small_tokenizer()
    options = SAMPLED | {"max_new_tokens": 12}
    assert complete(model, tokenizer, "def f():", **options) == complete(model, tokenizer, "def f():", **options)
    assert isinstance(fill_in_the_middle(model, tokenizer, "a = ", "\n", **options), str)
    assert isinstance(fill_in_the_middle(model, tokenizer, "", "", **options), str)


def test_impossible_requests_are_refused(model: Starcoder2) -> None:
    tokenizer = small_tokenizer()
    with pytest.raises(ConfigError, match=r"max_new_tokens: found 96, expected less than .* 96"):
        generate(model, tokenizer, [tokenizer.encode("x")], max_new_tokens=96, **GREEDY)
    with pytest.raises(ConfigError, match="stop: found an empty text"):
        generate(model, tokenizer, [tokenizer.encode("x")], max_new_tokens=6, stop=["a", ""], **GREEDY)
    with pytest.raises(ConfigError, match="prompt: found an empty one"):
        generate(model, tokenizer, [tokenizer.encode("")], max_new_tokens=6, **GREEDY)
