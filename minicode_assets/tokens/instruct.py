r"""Shards for supervised fine-tuning: a prompt that is read, and an answer that is learnt.

An example is one document `<file_sep>prompt completion<|endoftext|>` that lies in one sequence whole; those that don't
fit are left out and counted. `prompts.safetensors` beside the index says how many tokens each document begins with that
are no targets; all else is as in token_shards (docs/shards.md).
"""

import ast
import hashlib
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minicode_assets.config import TokenShards
from minicode_assets.errors import CorpusError
from minicode_assets.tokens.encoded import SPLITS
from minicode_assets.tokens.format import Example, File
from minicode_assets.tokens.pieces import Encoded
from minicode_assets.tokens.read import Document, corpus_documents
from minicode_assets.tokens.split_writer import SplitWriter
from minicode_model.artifact import Artifact, open_artifact, sha256_of, write_artifact
from minicode_model.fim import uniforms
from minicode_model.shards import PROMPTS_FILE
from minicode_model.tensors import write_tensors
from minicode_model.tokenizer import Tokenizer

CORPUS = "corpus"
"""Examples are the corpus's own functions."""
VALIDATION_FRACTION = 0.05
"""Share of a file's examples that are held out, by hash of the prompt, 0..1."""
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


@dataclass(frozen=True)
class Pair:
    """One example: the model reads `prompt` and learns `completion`; `file` says where it comes from."""

    prompt: str
    completion: str
    file: File


def write_instruct_shards(
    corpus: Path, tokenizer: Path, folder: Path, *, examples: str, params: TokenShards, config_digest: str
) -> Artifact:
    """The shards of a fine-tuning phase exist afterwards, in the format of token_shards, with their prompts masked.

    Args:
        corpus: The corpus artefact.
        tokenizer: The tokenizer artefact.
        folder: The artefact to write.
        examples: `corpus`, or a file of JSON lines with `prompt` and `completion`.
        params: Sequence length, packing and seed.
        config_digest: See `write_artifact`.

    Raises:
        CorpusError: The file is absent or malformed, or there is no example that fits a sequence.
    """
    encoder = Tokenizer.load(tokenizer)
    inputs = {"tokenizer": open_artifact(tokenizer).digest}
    if examples == CORPUS:
        inputs["corpus"] = open_artifact(corpus).digest
    elif not Path(examples).is_file():
        raise CorpusError(f"examples {examples}: no such file", hint="give JSON lines with prompt and completion")
    else:
        inputs["examples"] = sha256_of(Path(examples))
    name = folder.name
    with write_artifact(folder, name=name, config_digest=config_digest, inputs=inputs) as writer:
        writer.metadata.update({"tokenizer_digest": encoder.digest, "seq_len": params.seq_len})
        for split in SPLITS:
            pairs = corpus_pairs(corpus, split) if examples == CORPUS else file_pairs(Path(examples), split)
            writer.metadata[split] = _write_split(writer.path / split, split, pairs, encoder, params)
            if not writer.metadata[split]["num_documents"]:
                raise CorpusError(f"examples {examples}: split {split}: no example fits {params.seq_len} tokens")
    return open_artifact(folder, verify=False)


def _write_split(
    path: Path, split: str, pairs: Iterable[Pair], tokenizer: Tokenizer, params: TokenShards
) -> dict[str, object]:
    work, prompt_tokens, too_long = SplitWriter(path, split, tokenizer, params), [], 0
    start, stop = (np.array([tokenizer.special(mark)], tokenizer.dtype) for mark in ("<file_sep>", "<|endoftext|>"))
    for number, pair in enumerate(pairs):
        prompt = np.concatenate([start, tokenizer.encode(pair.prompt)])
        tokens = np.concatenate([prompt, tokenizer.encode(pair.completion), stop])
        if len(tokens) > params.seq_len:
            too_long += 1
            continue
        prompt_tokens.append(len(prompt))
        encoded = Encoded(tokens, (len(tokens),), (0,), ((0, len(tokens)),), 0, 0, 0, 0, 0, 0)
        work.add(Example(f"{pair.file.document_id}#{number}", None, (pair.file,), 0.0), encoded)
    figures = work.finish()
    arrays = {"doc_prompt_tokens": np.array(prompt_tokens, dtype=np.uint64)}
    write_tensors(path / PROMPTS_FILE, arrays, {"split": split})
    return {**figures, "num_too_long": too_long, "num_prompt_tokens": sum(prompt_tokens)}


def corpus_pairs(corpus: Path, split: str) -> Iterator[Pair]:
    """Every function of the split that has a docstring and a body, in the corpus's order."""
    for document in corpus_documents(corpus, split):
        for prompt, completion in documented_functions(document.text):
            yield Pair(prompt, completion, document.without_tokens())


def file_pairs(path: Path, split: str) -> Iterator[Pair]:
    """The examples of a file of JSON lines that belong to the split, in the file's order.

    Raises:
        CorpusError: A line is no object with the strings `prompt` and `completion`.
    """
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                prompt, completion = row["prompt"], row["completion"]
            except (ValueError, KeyError, TypeError) as error:
                raise CorpusError(f"{path} line {number}: {error!r}", hint="prompt and completion, JSON") from error
            if not isinstance(prompt, str) or not isinstance(completion, str):
                raise CorpusError(f"{path} line {number}: prompt and completion must be strings")
            held_out = uniforms(1, 0, "held-out example", prompt)[0] < VALIDATION_FRACTION
            if held_out == (split == "validation"):
                key = hashlib.blake2b(f"{path.name}\0{number}".encode(), digest_size=16).hexdigest()
                yield Pair(
                    prompt, completion, Document(key, "instruct", "", path.name, str(number), None, "").without_tokens()
                )


def documented_functions(text: str) -> Iterator[tuple[str, str]]:
    """(signature with docstring, body) of the functions and methods of a file, in their order, moved to the margin.

    Left out: functions without docstring or without anything behind it, and what isn't indented by its column of
    spaces throughout. Nothing from a file that Python can't parse.
    """
    lines = _LINE.findall(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    functions = [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    for node in sorted(functions, key=lambda node: node.lineno):
        if len(node.body) < 2 or not ast.get_docstring(node):
            continue
        first, last = node.body[0], node.body[-1]
        assert first.end_lineno
        assert last.end_lineno
        if node.body[1].lineno <= first.end_lineno:
            continue
        parts = lines[node.lineno - 1 : first.end_lineno], lines[first.end_lineno : last.end_lineno]
        margin = " " * node.col_offset
        if all(line.startswith(margin) or not line.strip() for part in parts for line in part):
            prompt, body = ("".join(line.removeprefix(margin) for line in part) for part in parts)
            yield prompt, body
