"""Prompts that are read and answers that are learnt."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from minicode_assets.errors import CorpusError
from minicode_assets.tokens.instruct import documented_functions, write_instruct_shards
from minicode_model.config import Checkpoint, Model
from minicode_model.errors import ShardError
from minicode_model.model import initialise
from minicode_model.shards import PROMPTS_FILE, PackedSplit, open_split
from minicode_model.training.batches import StepLoader
from tests.tokens.corpora import SMALL_SHARDS, small_encoded, small_home, small_tokenizer


def write(folder: Path, examples: str = "corpus") -> PackedSplit:
    home = small_home()
    write_instruct_shards(
        home / "corpus", home / "tokenizer", folder, examples=examples, params=SMALL_SHARDS, config_digest=""
    )
    return open_split(folder, "train")


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> PackedSplit:
    return write(tmp_path_factory.mktemp("instruct") / "fine_tuning_shards")


def texts(split: PackedSplit) -> list[tuple[str, str]]:
    """(learnt, not learnt) text of each sequence, by its mask."""
    tokenizer, found = small_tokenizer(), []
    for i in range(len(split)):
        tokens, segments = split.sequence(i)
        learnt = split.learnt(i)
        assert learnt is not None
        found.append(
            tuple(
                tokenizer.decode(tokens[mask & (segments >= 0)], show_special=True).decode()
                for mask in (learnt, ~learnt)
            )
        )
    return found


def test_prompts_are_not_learnt_and_answers_are(split: PackedSplit) -> None:
    for learnt, read in texts(split):
        assert "<file_sep>" not in learnt
        assert "<|endoftext|>" not in read
        assert learnt.count("<|endoftext|>") == read.count("<file_sep>") > 0
        for prompt in read.split("<file_sep>")[1:]:
            assert prompt.lstrip().startswith(("def ", "async def "))
            assert prompt.rstrip().endswith(('"', "'"))


def test_every_example_is_whole_and_is_python(split: PackedSplit) -> None:
    assert split.num_documents > 30
    assert len({document for i in range(len(split)) for document, *_ in split.pieces(i)}) == split.num_documents
    assert sum(len(split.pieces(i)) for i in range(len(split))) == split.num_documents
    for document in range(split.num_documents):
        ast.parse(small_tokenizer().decode(split.document(document)[0]))


def test_the_loss_is_the_answers_alone(split: PackedSplit) -> None:
    model = initialise(
        Model(vocab_size=700, hidden_size=32, intermediate_size=64, num_hidden_layers=1, max_position_embeddings=128), 0
    )
    batch = StepLoader(split, Checkpoint(max_steps=1, batch_size=4)).step_batches(0)[0]
    loss, count = model.loss(batch.tokens_BT, batch.segments_BT, batch.targets_BT)
    logits = model(batch.tokens_BT, batch.segments_BT).log_softmax(-1).detach()
    index = {tuple(split.sequence(i)[0].tolist()): i for i in range(len(split))}
    expected, number = 0.0, 0
    for row, tokens in enumerate(batch.tokens_BT.tolist()):
        position = 0
        for document, _, length in split.pieces(index[tuple(tokens)]):
            prompt = int(split._prompts[document])
            for t in range(position + prompt, position + length):
                expected -= float(logits[row, t - 1, tokens[t]])
                number += 1
            position += length
    assert int(count) == number == batch.step_targets
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)
    loss.backward()
    everything, _ = model.loss(batch.tokens_BT, batch.segments_BT)
    assert float(everything.detach()) > float(loss.detach())


def test_examples_of_a_file(tmp_path: Path) -> None:
    rows = [{"prompt": f"# add {n}\n", "completion": f"x = x + {n}\n"} for n in range(60)]
    rows.append({"prompt": "p", "completion": "long " * 500})
    file = tmp_path / "examples.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    train = write(tmp_path / "shards", str(file))
    validation = open_split(tmp_path / "shards", "validation")
    every = [split.document(d)[0] for split in (train, validation) for d in range(split.num_documents)]
    found = [small_tokenizer().decode(tokens).decode() for tokens in every]
    assert sorted(found) == sorted(row["prompt"] + row["completion"] for row in rows[:-1])
    manifest = json.loads((tmp_path / "shards" / "manifest.json").read_text())
    assert manifest["metadata"]["train"]["num_too_long"] + manifest["metadata"]["validation"]["num_too_long"] == 1
    file.write_text('{"prompt": 1, "completion": "x"}')
    with pytest.raises(CorpusError, match="line 1: prompt and completion must be strings"):
        write(tmp_path / "other", str(file))
    with pytest.raises(CorpusError, match="no such file"):
        write(tmp_path / "other", str(tmp_path / "absent.jsonl"))


def test_prompts_of_other_shards_are_refused(split: PackedSplit, tmp_path: Path) -> None:
    from minicode_model.tensors import write_tensors

    path = split.path / PROMPTS_FILE
    raw = path.read_bytes()
    try:
        write_tensors(path, {"doc_prompt_tokens": np.zeros(3, np.uint64)}, {})
        with pytest.raises(ShardError, match="found 3 documents"):
            PackedSplit(split.path)
    finally:
        path.write_bytes(raw)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('def f(a):\n    """Doc."""\n    return a\n', [('def f(a):\n    """Doc."""\n', "    return a\n")]),
        ('class C:\n def f(s):\n  "D."\n\n  return 1\n', [('def f(s):\n "D."\n', "\n return 1\n")]),
        ('async def f():\r\n    """D."""\r\n    pass', [('async def f():\r\n    """D."""\r\n', "    pass")]),
        ("def f():\n    return 1\n", []),
        ('def f():\n    """Only."""\n', []),
        ('def f(): """D."""; return 1\n', []),
        ('class C:\n  def f(self):\n    """D."""\n    x = """a\nb"""\n', []),
        ("def f(:\n", []),
        ("\x00", []),
    ],
)  # fmt: skip
def test_functions_with_a_docstring(text: str, expected: list[tuple[str, str]]) -> None:
    assert list(documented_functions(text)) == expected


def test_sequences_without_prompts_learn_everything(tmp_path: Path) -> None:
    from minicode_assets.tokens.write import write_token_shards

    home = small_home()
    write_token_shards(small_encoded(), home / "tokenizer", tmp_path / "s", params=SMALL_SHARDS, config_digest="")
    split = open_split(tmp_path / "s", "train")
    assert split.learnt(0) is None
    batch = StepLoader(split, Checkpoint(batch_size=2)).step_batches(0)[0]
    same = batch.segments_BT[:, 1:] == batch.segments_BT[:, :-1]
    assert torch.equal(batch.targets_BT, same & (batch.segments_BT[:, 1:] >= 0))
