"""Encoded data: base64, hexadecimal bytes and unicode escapes. Source: StarCoder2's filters, curation.md 2.2."""

from minicode_assets.corpus import native


def encoded_runs(text: str) -> tuple[int, int]:
    r"""(characters inside runs, longest run) of a text; overlapping runs of different patterns count once.

    The patterns are StarCoder2's: `[a-zA-Z0-9+/\n=]{64,}`, `(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}` and
    `(?:\\u[0-9a-fA-F]{4}){8,}`, in one pass each, without going back.
    """
    return native.encoded_of(text)


def count_hex_words(text: str) -> int:
    r"""Hexadecimal numbers in a text: whole words with a prefix (`0x`, `\x`), or of 8 digits and more."""
    return native.hex_words_of(text)
