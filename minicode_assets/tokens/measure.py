"""What a tokenizer does to text that it hasn't seen: exactness, bytes per token, by kind of file, outliers."""

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import sentencepiece

from minicode_assets.tokens.read import Document, corpus_documents
from minicode_assets.tokens.source_formats import format_of
from minicode_model.tokenizer import FIRST_BYTE_ID, SPACE, Tokenizer, text_bytes

_NUM_BYTES = 256
_NUM_SHOWN = 20
_OUTLIER_MIN_BYTES = 500
"""Shorter files vary too much to tell anything."""
_COMPARED_BYTES = 20_000_000
"""SentencePiece itself encodes so much of the text, some 4 s on a core, to compare the ids. Unit: bytes."""


def measure(tokenizer: Tokenizer, corpus: Path, split: str) -> dict[str, Any]:
    """Encode and decode every document of a split; count what a user of the tokenizer wants to know.

    Args:
        tokenizer: The tokenizer.
        corpus: The corpus artefact.
        split: train or validation.

    Returns:
        num_round_trip_documents, num_round_trip_failures (documents that came back with other bytes),
        num_compared_documents, num_id_differences (of the first documents, without U+2581, those whose ids are not
        SentencePiece's own), num_bytes, num_tokens, bytes_per_token (0 for an empty split), bytes_per_token_by_kind,
        num_byte_tokens, num_unused_pieces, unused_pieces (some of them), outliers ([path, bytes per token], the worst
        first).
    """
    plain = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    counts: Counter[str] = Counter()
    kinds: Counter[tuple[str, str]] = Counter()
    used = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    outliers: list[tuple[float, str]] = []
    for file in corpus_documents(corpus, split):
        ids, raw = tokenizer.encode(file.content), text_bytes(file.content)
        counts["documents"] += 1
        counts["failures"] += tokenizer.decode(ids) != raw
        if kinds.total() < _COMPARED_BYTES and SPACE not in file.content:
            counts["compared"] += 1
            counts["differences"] += plain.encode(file.content) != ids.tolist()
        kinds[kind_of(file), "bytes"] += len(raw)
        kinds[kind_of(file), "tokens"] += len(ids)
        if len(raw) >= _OUTLIER_MIN_BYTES:
            outliers = sorted([*outliers, (round(len(raw) / len(ids), 4), file.path)])[:_NUM_SHOWN]
        used += np.bincount(ids, minlength=tokenizer.vocab_size)
    is_normal = np.array([kind == "normal" for _, _, kind in tokenizer.pieces])
    unused = np.flatnonzero((used == 0) & is_normal)
    num_bytes = sum(count for (_, unit), count in kinds.items() if unit == "bytes")
    return {
        "num_round_trip_documents": counts["documents"],
        "num_round_trip_failures": counts["failures"],
        "num_compared_documents": counts["compared"],
        "num_id_differences": counts["differences"],
        "num_bytes": num_bytes,
        "num_tokens": int(used.sum()),
        "bytes_per_token": _ratio(num_bytes, int(used.sum())),
        "bytes_per_token_by_kind": {
            kind: _ratio(kinds[kind, "bytes"], kinds[kind, "tokens"]) for kind in sorted({kind for kind, _ in kinds})
        },
        "num_byte_tokens": int(used[FIRST_BYTE_ID : FIRST_BYTE_ID + _NUM_BYTES].sum()),
        "num_unused_pieces": len(unused),
        "unused_pieces": [repr(tokenizer.pieces[index][0]) for index in unused[:_NUM_SHOWN].tolist()],
        "outliers": [[path, ratio] for ratio, path in outliers],
    }


def kind_of(document: Document) -> str:
    """Of code the kind of file by its path: test, stub, package, setup or module; otherwise the source."""
    if not format_of(document.source).context:
        return document.source
    parts = PurePosixPath(document.path)
    if {"test", "tests"} & set(parts.parts[:-1]) or parts.name.startswith("test_") or parts.stem.endswith("_test"):
        return "test"
    if parts.suffix == ".pyi":
        return "stub"
    return {"__init__.py": "package", "setup.py": "setup", "conftest.py": "test"}.get(parts.name, "module")


def longest_pieces(tokenizer: Tokenizer) -> list[str]:
    """The longest pieces, as Python literals."""
    texts = sorted((piece.decode("utf-8", "replace") for piece in tokenizer.token_bytes), key=lambda t: (-len(t), t))
    return [repr(text) for text in texts[:_NUM_SHOWN]]


def _ratio(num_bytes: int, num_tokens: int) -> float:
    return round(num_bytes / num_tokens, 4) if num_tokens else 0.0
