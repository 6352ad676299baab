"""How many tokens a model wants, beside those at hand."""

from minicode_model.config import Model

TOKENS_PER_PARAMETER = 20
"""Compute-optimal training. Source: Hoffmann et al. 2022 (Chinchilla)."""
KNOWN_SIZES = {"50 M": 49_900_000, "100 M": 100_800_000, "200 M": 209_900_000, "StarCoder2-3B": 3_030_000_000}
"""Parameters. Source: model.md 1.4."""


def chinchilla_rows(model: Model, num_tokens: int) -> list[tuple[str, ...]]:
    """Model, parameters, tokens wanted, tokens at hand, epochs over them, for the configured model and known sizes.

    Args:
        model: The configured model.
        num_tokens: Training tokens, one epoch.
    """
    sizes = {"configured": num_parameters(model), **KNOWN_SIZES}
    return [
        (
            name,
            f"{size:,}",
            f"{TOKENS_PER_PARAMETER * size:,}",
            f"{num_tokens:,}",
            f"{TOKENS_PER_PARAMETER * size / max(num_tokens, 1):,.2f}",
        )
        for name, size in sizes.items()
    ]


def num_parameters(model: Model) -> int:
    """Parameters of a model, from its shape alone (tests compare with the model itself)."""
    width, inner = model.hidden_size, model.intermediate_size
    head = width // model.num_attention_heads
    biases = int(model.use_bias)
    norm = width * (2 if model.norm_type == "layer_norm" else 1)
    keys = head * model.num_key_value_heads
    attention = 2 * (width * width + biases * width) + 2 * (width * keys + biases * keys)
    attention += 2 * head * model.qk_norm
    wide = 2 if model.hidden_act == "swiglu" else 1
    mlp = wide * (width * inner + biases * inner) + inner * width + biases * width
    embeddings = model.vocab_size * width * (1 if model.tie_word_embeddings else 2)
    return embeddings + model.num_hidden_layers * (attention + mlp + 2 * norm) + norm
