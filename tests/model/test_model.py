import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import flex_attention

from minicode_model.attention import attend, attention_mask, block_mask
from minicode_model.config import Model
from minicode_model.model import (
    Cache,
    Starcoder2,
    document_positions,
    initialise,
    target_mask,
)

SMALL = Model(
    vocab_size=97,
    hidden_size=32,
    intermediate_size=80,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    rope_theta=1000.0,
)
WINDOWED = dataclasses.replace(SMALL, sliding_window=7)
OTHERWISE = dataclasses.replace(
    WINDOWED, hidden_act="swiglu", norm_type="rms_norm", qk_norm=True, use_bias=False, tie_word_embeddings=False
)
UNTIED = dataclasses.replace(SMALL, tie_word_embeddings=False, num_key_value_heads=1)


def shaken(config: Model, seed: int = 3) -> Starcoder2:
    """A model in which no weight is zero or one, so that a forgotten bias or norm shows."""
    model = initialise(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def random_tokens(config: Model, batch: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(config.vocab_size, (batch, length), generator=torch.Generator().manual_seed(seed))


def hugging_face(model: Starcoder2):
    transformers = pytest.importorskip("transformers")
    config = model.config
    twin = transformers.Starcoder2ForCausalLM(
        transformers.Starcoder2Config(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            max_position_embeddings=config.max_position_embeddings,
            norm_epsilon=config.norm_epsilon,
            rope_parameters={"rope_theta": config.rope_theta, "rope_type": "default"},
            sliding_window=config.sliding_window or None,
            tie_word_embeddings=config.tie_word_embeddings,
            bos_token_id=0,
            eos_token_id=0,
        )
    )
    outcome = twin.load_state_dict(model.state_dict(), strict=False)
    assert outcome.unexpected_keys == []
    assert set(outcome.missing_keys) <= {"lm_head.weight"}
    twin.tie_weights()
    return twin.eval()


@pytest.mark.parametrize("config", [SMALL, WINDOWED, UNTIED], ids=["gqa", "window", "mqa-untied"])
def test_logits_loss_and_gradients_equal_hugging_face(config: Model) -> None:
    model, tokens = shaken(config), random_tokens(config, 2, 33)
    twin = hugging_face(model)
    theirs = twin(tokens, labels=tokens)
    assert torch.allclose(model(tokens), theirs.logits, atol=1e-5, rtol=0)

    loss, count = model.loss(tokens, torch.zeros_like(tokens))
    assert count == 2 * 32
    assert torch.allclose(loss / count, theirs.loss, atol=1e-6)
    (loss / count).backward()
    theirs.loss.backward()
    gradients = {name: parameter.grad for name, parameter in twin.named_parameters()}
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter.grad, gradients[name], atol=1e-6), name


def test_window_changes_the_logits() -> None:
    """Otherwise the oracle above would say nothing about the window."""
    model, tokens = shaken(SMALL), random_tokens(SMALL, 1, 33)
    windowed = shaken(WINDOWED)
    difference = (model(tokens) - windowed(tokens)).abs().amax(dim=(0, 2))
    assert difference[:7].max() < 1e-6 < difference[7:].min()


def test_packed_documents_equal_the_same_documents_alone() -> None:
    model = shaken(WINDOWED)
    tokens = random_tokens(WINDOWED, 1, 40)
    segments = torch.tensor([[0] * 11 + [1] * 20 + [2] * 5 + [-1] * 4])
    packed = model(tokens, segments)
    for start, end in ((0, 11), (11, 31), (31, 36)):
        assert torch.allclose(packed[:, start:end], model(tokens[:, start:end]), atol=1e-5)
    loss, count = model.loss(tokens, segments)
    alone = [model.loss(tokens[:, a:b], torch.zeros(1, b - a)) for a, b in ((0, 11), (11, 31), (31, 36))]
    assert count == sum(n for _, n in alone) == 10 + 19 + 4
    assert torch.allclose(loss, sum(part for part, _ in alone), rtol=1e-5)


@pytest.mark.parametrize("window", [0, 50])
def test_flex_attention_reads_what_the_dense_mask_allows(window: int) -> None:
    """The GPU's path, run uncompiled on the CPU."""
    generator = torch.Generator().manual_seed(0)
    segments = torch.tensor([[0] * 100 + [1] * 60 + [2] * 90 + [-1] * 6])
    query, key, value = (torch.randn(1, heads, 256, 16, generator=generator) for heads in (4, 2, 2))
    dense = attend(query, key, value, attention_mask(segments, window))
    flex = flex_attention(query, key, value, block_mask=block_mask(segments, window), enable_gqa=True)
    assert torch.allclose(dense, flex, atol=1e-5)


@pytest.mark.parametrize("length", [1, 127, 128, 129, 300])
def test_blocked_attention_equals_the_fused_kernel(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    segments = torch.arange(length)[None] // 70
    inputs = [torch.randn(2, heads, length, 16, generator=generator, requires_grad=True) for heads in (4, 2, 2)]
    mask = attention_mask(segments.repeat(2, 1), 0)
    expected = torch.nn.functional.scaled_dot_product_attention(*inputs, attn_mask=mask, enable_gqa=True)
    upstream = torch.randn(expected.shape, generator=generator)
    wanted = torch.autograd.grad(expected, inputs, upstream)
    found = attend(*inputs, mask)
    assert torch.allclose(found, expected, atol=1e-5)
    for ours, theirs in zip(torch.autograd.grad(found, inputs, upstream), wanted, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_gradient_checkpointing_changes_no_gradient() -> None:
    tokens = random_tokens(SMALL, 2, 33)
    gradients = []
    for checkpointing in (False, True):
        model = shaken(SMALL)
        model.model.gradient_checkpointing = checkpointing
        model.loss(tokens, torch.zeros_like(tokens))[0].backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))


@settings(max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 4), st.integers(0, 5))
def test_mask_positions_and_targets_follow_their_definition(lengths: list[int], padding: int, window: int) -> None:
    segments = torch.tensor([[d for d, n in enumerate(lengths) for _ in range(n)] + [-1] * padding])
    mask, positions, targets = (
        attention_mask(segments, window)[0, 0],
        document_positions(segments)[0],
        target_mask(segments)[0],
    )
    row = segments[0].tolist()
    for t, own in enumerate(row):
        assert positions[t] == t - row.index(own)
        for s, other in enumerate(row):
            assert mask[t, s] == (own == other and s <= t and (not window or t - s < window))
        if t + 1 < len(row):
            assert targets[t] == (row[t + 1] == own != -1)


@pytest.mark.parametrize("config", [SMALL, WINDOWED, OTHERWISE], ids=["full", "window", "alternatives"])
def test_cache_gives_the_logits_of_the_whole_sequence(config: Model) -> None:
    model, tokens = shaken(config), random_tokens(config, 2, 20)
    whole = model(tokens)
    cache = Cache.allocate(model, torch.zeros(2, dtype=torch.long), 20)
    steps = [model(tokens[:, :9], cache=cache)] + [model(tokens[:, t : t + 1], cache=cache) for t in range(9, 20)]
    assert torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)


def test_left_padding_in_the_cache_changes_nothing() -> None:
    model, tokens = shaken(WINDOWED), random_tokens(WINDOWED, 1, 12)
    padded = torch.cat((random_tokens(WINDOWED, 1, 5, seed=9), tokens), dim=1)
    cache = Cache.allocate(model, torch.tensor([5]), 17)
    first = model(padded[:, :10], cache=cache)[:, 5:]
    second = model(padded[:, 10:], cache=cache)
    assert torch.allclose(torch.cat((first, second), dim=1), model(tokens), atol=1e-5)


def test_initial_weights_depend_on_the_seed_only_and_have_the_stated_spread() -> None:
    config = dataclasses.replace(SMALL, hidden_size=128, intermediate_size=512, num_hidden_layers=2)
    before = torch.get_rng_state()
    first, again, other = initialise(config, 1), initialise(config, 1), initialise(config, 2)
    assert torch.equal(torch.get_rng_state(), before)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert not torch.equal(first.output_weight, other.output_weight)
    block = first.model.layers[0]
    assert block.mlp.c_fc.weight.std().item() == pytest.approx(128**-0.5, rel=0.05)
    assert block.mlp.c_proj.weight.std().item() == pytest.approx(128**-0.5 / 2, rel=0.05)
    assert block.self_attn.q_proj.bias.abs().max() == 0


def test_parameter_counts_of_the_published_sizes() -> None:
    """3.030 B, 7.174 B and 15.96 B parameters (model.md 1.1)."""
    sizes = [(3072, 30, 24, 2, True, 3.030), (4608, 32, 36, 4, True, 7.174), (6144, 40, 48, 4, False, 15.96)]
    for width, layers, heads, groups, tied, billions in sizes:
        with torch.device("meta"):
            model = Starcoder2(
                Model(
                    vocab_size=49152,
                    hidden_size=width,
                    intermediate_size=4 * width,
                    num_hidden_layers=layers,
                    num_attention_heads=heads,
                    num_key_value_heads=groups,
                    tie_word_embeddings=tied,
                )
            )
        assert model.num_parameters / 1e9 == pytest.approx(billions, abs=0.005)


@pytest.mark.parametrize(
    "change", [{"hidden_act": "swiglu"}, {"norm_type": "rms_norm"}, {"qk_norm": True}, {"num_key_value_heads": 1}]
)
def test_alternatives_learn_a_sequence_by_heart(change: dict[str, object]) -> None:
    config = dataclasses.replace(SMALL, **change)
    model, tokens = initialise(config, 0), random_tokens(config, 1, 24)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss, count = model.loss(tokens, torch.zeros_like(tokens))
        (loss / count).backward()
        optimizer.step()
    assert loss / count < 0.1


def test_alternatives_do_what_their_papers_say() -> None:
    model = shaken(dataclasses.replace(SMALL, hidden_act="swiglu", norm_type="rms_norm"))
    mlp, x = model.model.layers[0].mlp, torch.randn(1, 3, 32)
    gate = mlp.c_gate(x)
    assert torch.allclose(mlp(x), mlp.c_proj(gate * torch.sigmoid(gate) * mlp.c_fc(x)), atol=1e-6)
    norm = model.model.norm
    expected = x / torch.sqrt((x * x).mean(-1, keepdim=True) + model.config.norm_epsilon) * norm.weight
    assert torch.allclose(norm(x), expected, atol=1e-5)


def test_loss_in_bfloat16_is_near_the_exact_one() -> None:
    model, tokens = shaken(SMALL), random_tokens(SMALL, 2, 33)
    exact, _ = model.loss(tokens, torch.zeros_like(tokens))
    exact.backward()
    expected = model.output_weight.grad.clone()
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = model.loss(tokens, torch.zeros_like(tokens))
    rounded.backward()
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=0.02)
    assert torch.nn.functional.cosine_similarity(model.output_weight.grad.flatten(), expected.flatten(), dim=0) > 0.99
