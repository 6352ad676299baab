"""The count of parameters from the shape is the model's own."""

import pytest

from minicode_assets.config import load
from minicode_assets.tokens.budget import chinchilla_rows, num_parameters
from minicode_model.config import Model
from minicode_model.model import Starcoder2


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": False, "use_bias": False},
        {"hidden_act": "swiglu", "norm_type": "rms_norm", "qk_norm": True},
        {"num_attention_heads": 4, "num_key_value_heads": 2},
    ],
)
def test_parameters_are_the_models(changes: dict[str, object]) -> None:
    shape = Model(vocab_size=512, hidden_size=64, intermediate_size=96, **changes)
    assert num_parameters(shape) == Starcoder2(shape).num_parameters


def test_the_papers_model_and_the_table() -> None:
    assert num_parameters(load("starcoder2").model) == pytest.approx(3.03e9, rel=0.002)
    name, size, wanted, at_hand, epochs = chinchilla_rows(load("tiny").model, 7_500_000)[0]
    assert (name, size, wanted, at_hand) == ("configured", "1,251,584", "25,031,680", "7,500,000")
    assert epochs == "3.34"
