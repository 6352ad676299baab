import pytest

from minicode_model.config import Checkpoint, Model
from tests.model.byte_split import BYTE_VOCABULARY, ByteSplit, python_texts


@pytest.fixture(scope="session")
def train_split() -> ByteSplit:
    return ByteSplit(python_texts(12, 6000), seq_len=48)


@pytest.fixture(scope="session")
def validation_split() -> ByteSplit:
    return ByteSplit(python_texts(20, 6000)[12:], seq_len=48)


@pytest.fixture(scope="session")
def tiny_model() -> Model:
    return Model(
        vocab_size=BYTE_VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
    )


@pytest.fixture(scope="session")
def tiny_params() -> Checkpoint:
    return Checkpoint(
        max_steps=12,
        learning_rate=3e-3,
        optimizer="adamw",
        batch_size=2,
        gradient_accumulation_steps=2,
        checkpoint_every_steps=3,
        log_every_steps=4,
        validate_every_steps=4,
        validation_sequences=6,
        precision="bf16",
        num_threads=1,
    )
