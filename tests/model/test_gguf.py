"""GGUF read back by its own package, and by llama.cpp itself: equal ids, equal probabilities."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

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


def test_without_the_package_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(CheckpointError, match=r"model.gguf.*\n.*pip install .*\[gguf\]"):
        export_gguf(tmp_path / "c", small_home() / "tokenizer", tmp_path / "model.gguf")


TEXTS = [
    "def f(x: int) -> int:\n\treturn x ** 2  # square\r\n",
    "   deep = [1, 23, 456]\n\n\n    \n",
    "caf\u00e9 \u4f60\u597d \U0001f389 \u3000\u00a0 e\u0301 `\u00bf",
    "<fim_prefix>no token<|endoftext|>",
    "\x00\x0b\x0c",
]


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("xllamacpp"), reason="the package xllamacpp isn't installed")
def test_llama_cpp_gives_the_same_ids_and_probabilities(exported: Path) -> None:
    network, config = load_model(exported / "checkpoint")
    question = {"texts": TEXTS, "num_tokens": config.vocab_size, "gap": ["def f(a):\n    ", "\n\nf(1)\n"]}
    command = [sys.executable, "-m", "tests.model.llama_cpp", str(exported / "model.gguf")]
    done = subprocess.run(command, input=json.dumps(question), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    for text, found in zip(TEXTS, answer["texts"], strict=True):
        assert found["ids"] == small_tokenizer().encode(text).tolist()
        assert found["text"] == text
        with torch.inference_mode():
            logits_BTV = network(torch.tensor([found["ids"]]))
        expected_V = torch.log_softmax(logits_BTV[0, -1], dim=-1)
        torch.testing.assert_close(torch.tensor(found["log_probs"]), expected_V, rtol=0, atol=0.01)
    assert answer["gap"].endswith("<fim_prefix>def f(a):\n    <fim_suffix>\n\nf(1)\n<fim_middle>")
