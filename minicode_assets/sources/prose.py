"""What tells prose from tables, indices and other scripts. Source: Gopher's rules (arXiv 2112.11446, A1.1)."""

import re
from collections.abc import Iterable, Iterator

from minicode_assets.config.sources import Documentation

STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
_FENCE = re.compile(r"```+|~~~+")
_SYMBOL = re.compile(r"#|\.\.\.|…")


def judge_prose(text: str, params: Documentation) -> str:
    """ok, or the first rule that drops a text: short, language, symbols, no_prose.

    Code blocks count as length and for nothing else: documentation may be full of them.
    """
    words = without_code(text).split()
    num_words = len(words)
    if len(text.split()) < params.min_words:
        return "short"
    letters = [character for character in text if character.isalpha()]
    if sum(map(str.isascii, letters)) < params.min_ascii_letter_fraction * len(letters):
        return "language"
    if len(_SYMBOL.findall(" ".join(words))) > params.max_symbol_word_fraction * max(num_words, 1):
        return "symbols"
    lettered = sum(any(map(str.isalpha, word)) for word in words)
    stop_words = STOP_WORDS & {word.strip(".,;:()").lower() for word in words}
    if lettered < params.min_letter_word_fraction * num_words or len(stop_words) < params.min_stop_words:
        return "no_prose"
    return "ok"


def without_code(text: str) -> str:
    """The text without fenced and indented blocks. A fence that nothing closes reaches to the end, as in CommonMark."""
    return "\n".join(_lines_without_code(text.split("\n")))


def _lines_without_code(lines: Iterable[str]) -> Iterator[str]:
    fence = ""
    for line in lines:
        if fence:
            is_end = line.startswith(fence) and not line.strip(f"{fence[0]} \t\r")
            fence = "" if is_end else fence
        elif opened := _FENCE.match(line):
            fence = opened[0]
        elif not line.startswith(("    ", "\t")):
            yield line
