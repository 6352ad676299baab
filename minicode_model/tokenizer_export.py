"""The tokenizer as Hugging Face's tokenizer.json, with identical ids, written without their libraries.

Pieces get real spaces, so that no normalizer stands between text and ids and U+2581 needs no splicing. SentencePiece
ranks pieces where Hugging Face ranks merges; so every way to make a piece of two others becomes a merge, in the order
of the pieces. Names of special tokens inside text are the one difference: Hugging Face takes them for special tokens
unless told `split_special_tokens=True`. Source: model.md 3.5; labelled PreTrainedTokenizerFast, since Llama's class
rebuilds the file.
"""

import json
from pathlib import Path
from typing import Any

from minicode_model.artifact import write_file
from minicode_model.tokenizer import SPACE, UNKNOWN_ID, Tokenizer

_CHUNK = " *[^ ]+| +"


def export_tokenizer(tokenizer: Tokenizer, folder: Path, *, max_length: int) -> None:
    """tokenizer.json and tokenizer_config.json exist in the folder afterwards.

    Args:
        tokenizer: The tokenizer.
        folder: An existing folder.
        max_length: Longest input of the model. Unit: tokens.

    Raises:
        StorageError: The folder can't be written.
    """
    for name, value in (
        ("tokenizer.json", tokenizer_json(tokenizer)),
        ("tokenizer_config.json", tokenizer_config(max_length)),
    ):
        text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
        write_file(folder / name, lambda path, text=text: path.write_text(text, encoding="utf-8"))  # type: ignore[misc]


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of tokenizer.json: a BPE model with byte fallback and the special tokens."""
    pieces = [piece.replace(SPACE, " ") for piece, _, _ in tokenizer.pieces]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(index, name) for index, name in tokenizer.special_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": _CHUNK}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": pieces[UNKNOWN_ID],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece: index for index, piece in enumerate(pieces)},
            "merges": [list(pair) for pair in merges(tokenizer)],
        },
    }


def merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """Every pair of pieces that makes a piece, in the order of the pieces' scores, the best first."""
    normal = [(-score, index, piece) for index, (piece, score, kind) in enumerate(tokenizer.pieces) if kind == "normal"]
    known = {piece for _, _, piece in normal}
    pairs = []
    for _, _, piece in sorted(normal):
        splits = ((piece[:at], piece[at:]) for at in range(1, len(piece)))
        pairs += [(left, right) for left, right in splits if left in known and right in known]
    return [(left.replace(SPACE, " "), right.replace(SPACE, " ")) for left, right in pairs]


def tokenizer_config(max_length: int) -> dict[str, Any]:
    """The content of tokenizer_config.json, which Hugging Face 4.57 and 5.x both read."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "bos_token": "<|endoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<fim_pad>",
    }


def _added(index: int, name: str) -> dict[str, Any]:
    return {
        "id": index,
        "content": name,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
