"""GGUF read back by its own package. llama.cpp itself was not run: its Python package must be compiled."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from minicode_model.checkpoint import load_model
from minicode_model.errors import CheckpointError
from minicode_model.export.gguf import export_gguf
from tests.model.test_export import MODEL, write_checkpoint
from tests.tokens.corpora import small_home, small_tokenizer

gguf = pytest.importorskip("gguf", reason="the package gguf isn't installed")


@pytest.fixture(scope="module", params=[True, False], ids=["bias", "no-bias"])
def exported(tmp_path_factory, request) -> Path:
    root = tmp_path_factory.mktemp("gguf")
    model = dataclasses.replace(MODEL, use_bias=request.param, vocab_size=704)
    write_checkpoint(root / "checkpoint", model, small_tokenizer().digest)
    export_gguf(root / "checkpoint", small_home() / "tokenizer", root / "model.gguf")
    return root


def test_tensors_and_pieces_read_back(exported: Path) -> None:
    reader = gguf.GGUFReader(exported / "model.gguf")
    network, config = load_model(exported / "checkpoint")
    tensors = {tensor.name: tensor.data for tensor in reader.tensors}
    assert len(tensors) == 3 + config.num_hidden_layers * 16
    ours = network.state_dict()
    assert np.array_equal(tensors["token_embd.weight"], ours["model.embed_tokens.weight"].numpy())
    assert np.array_equal(tensors["blk.1.ffn_down.weight"], ours["model.layers.1.mlp.c_proj.weight"].numpy())
    assert reader.fields["starcoder2.attention.head_count_kv"].contents() == 1
    assert reader.fields["tokenizer.ggml.tokens"].contents()[:700] == [
        piece for piece, _, _ in small_tokenizer().pieces
    ]


def test_same_checkpoint_same_bytes(exported: Path) -> None:
    export_gguf(exported / "checkpoint", small_home() / "tokenizer", exported / "again.gguf")
    assert (exported / "again.gguf").read_bytes() == (exported / "model.gguf").read_bytes()


def test_a_window_shorter_than_the_context_is_refused(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", dataclasses.replace(MODEL, sliding_window=64), small_tokenizer().digest)
    with pytest.raises(CheckpointError, match="sliding_window found 64"):
        export_gguf(tmp_path / "c", small_home() / "tokenizer", tmp_path / "model.gguf")
