"""Packed sequences to look at."""

from pathlib import Path

from minicode_model.shards import PADDING_SEGMENT, open_split
from minicode_model.tokenizer import Tokenizer

PIECE_EDGE = "\n════ next piece ════\n"


def decoded_sequences(shards: Path, tokenizer: Tokenizer, *, split: str, count: int) -> list[str]:
    """The first sequences of a split (they stand in random order) as text, with visible sentinels and edges.

    Args:
        shards: The token_shards artefact.
        tokenizer: The tokenizer that made it.
        split: train or validation.
        count: How many, at most.

    Raises:
        ShardError: The shards are damaged, or another tokenizer made them.
    """
    packed = open_split(shards, split, tokenizer_digest=tokenizer.digest, verify=False)
    texts = []
    for i in range(min(count, packed.num_sequences)):
        tokens, segments = packed.sequence(i)
        pieces = [tokens[segments == segment] for segment in range(int(segments.max()) + 1)]
        text = PIECE_EDGE.join(tokenizer.decode(ids, show_special=True).decode("utf-8", "replace") for ids in pieces)
        num_padding = int((segments == PADDING_SEGMENT).sum())
        texts.append(text + (f"\n════ {num_padding} x <fim_pad> ════" if num_padding else ""))
    return texts
