"""Fill-in-the-middle: a text becomes prefix, suffix, middle, so that a model learns to write between two texts.

Cuts fall between characters of the text, before it is encoded, so that a middle may start inside a word, as it does
in an editor. All chance comes from hash(seed, key), never from the order of work, so that the same document gives
the same tokens on any number of workers and after any resume. Source: StarCoder2's training code (model.md 1.2),
whose generator was stateful; SantaCoder's SPM "variant 2".
"""

import ast
import codecs
import hashlib
import re
import warnings

import numpy as np

from minicode_model.tokenizer import TokenIds, Tokenizer

NUM_SENTINELS = 3
"""Tokens that the rearrangement adds."""
_DECORATOR = re.compile(rb"[ \t\f]*@")
_OPENING = re.compile(rb"(?:#[^\r\n]*|[^(#])*\(")
"""From behind what is called to its opening parenthesis, comments skipped."""


def uniforms(count: int, seed: int, *key: str | int) -> tuple[float, ...]:
    """Numbers in [0, 1) that depend on the seed and the key only.

    Args:
        count: How many, 1 to 8.
        seed: The seed from the configuration.
        key: What the numbers are for, e.g. `("fim", document_id, 0)`.
    """
    text = "\x1f".join(map(str, (seed, *key)))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8 * count).digest()
    return tuple((int.from_bytes(digest[8 * i : 8 * i + 8], "big") >> 11) / (1 << 53) for i in range(count))


def split_characters(text: str, first: float, second: float) -> tuple[str, str, str]:
    """Cut a text at two uniform places, 0 to len(text) inclusive.

    Args:
        text: The text; may be empty.
        first: Uniform in [0, 1).
        second: Uniform in [0, 1).

    Returns:
        (prefix, middle, suffix), whose concatenation is the text.
    """
    low, high = sorted((int(first * (len(text) + 1)), int(second * (len(text) + 1))))
    return text[:low], text[low:high], text[high:]


def syntax_spans(raw: bytes) -> dict[str, list[tuple[int, int]]]:
    """Where a Python file has middles that a person would ask for.

    Args:
        raw: The file, UTF-8.

    Returns:
        (first byte, byte behind the last) by kind: `statement` (whole, with its decorators), `arguments` (of a call,
        without the parentheses), `body` (of a compound statement, from its first statement on). Empty when Python 3
        can't parse it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(raw.decode("utf-8-sig"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    starts = [len(codecs.BOM_UTF8) if raw.startswith(codecs.BOM_UTF8) else 0]
    starts += [match.end() for match in re.finditer(rb"\r\n|\r|\n", raw)]
    spans: dict[str, list[tuple[int, int]]] = {"statement": [], "arguments": [], "body": []}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            spans["statement"].append((_start(node, raw, starts), _stop(node, starts)))
            if body := getattr(node, "body", None):
                spans["body"].append((_start(body[0], raw, starts), _stop(body[-1], starts)))
        elif isinstance(node, ast.Call) and (node.args or node.keywords):
            opening = _OPENING.match(raw, _stop(node.func, starts))
            assert opening
            spans["arguments"].append((opening.end(), _stop(node, starts) - 1))
    return {kind: sorted(places) for kind, places in spans.items() if places}


def _start(node: ast.stmt, raw: bytes, starts: list[int]) -> int:
    """Where a statement starts, with the decorators, whose own places leave out the `@`."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    if not decorators:
        return starts[node.lineno - 1] + node.col_offset
    lines = (_DECORATOR.match(raw, starts[line]) for line in range(decorators[0].lineno - 1, -1, -1))
    return next(found.end() - 1 for found in lines if found)


def _stop(node: ast.stmt | ast.expr, starts: list[int]) -> int:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return starts[node.end_lineno - 1] + node.end_col_offset


def arrange(tokenizer: Tokenizer, prefix: TokenIds, middle: TokenIds, suffix: TokenIds, *, spm: bool) -> TokenIds:
    """The three parts in training order, with sentinels.

    PSM: `<fim_prefix>` prefix `<fim_suffix>` suffix `<fim_middle>` middle.
    SPM: `<fim_prefix><fim_suffix>` suffix `<fim_middle>` prefix middle ("variant 2").

    Returns:
        NUM_SENTINELS more ids than the parts have.
    """
    start, mark_suffix, mark_middle = (
        np.array([tokenizer.special(name)], tokenizer.dtype)
        for name in ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
    )
    if spm:
        return np.concatenate([start, mark_suffix, suffix, mark_middle, prefix, middle])
    return np.concatenate([start, prefix, mark_suffix, suffix, mark_middle, middle])


def restore(tokenizer: Tokenizer, ids: TokenIds) -> TokenIds:
    """Put every rearranged part of a document back in the order of its text; sentinels of FIM disappear.

    A rearranged part runs from `<fim_prefix>` to the next special token that is no FIM sentinel, or to the end.
    Other special tokens stay. The result has the text's bytes, though not always the ids that the text encodes to,
    since the cuts lie between characters, not tokens.
    """
    start, mark_suffix, mark_middle = map(tokenizer.special, ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"))
    specials = np.flatnonzero(np.isin(ids, list(tokenizer.special_tokens)))
    parts, position = [], 0
    for index in np.flatnonzero(ids[specials] == start):
        at = [*specials[index : index + 4].tolist(), len(ids)]
        if len(at) < NUM_SENTINELS + 1 or (ids[at[1]], ids[at[2]]) != (mark_suffix, mark_middle):
            continue
        parts += [ids[position : at[0]], ids[at[0] + 1 : at[1]], ids[at[2] + 1 : at[3]], ids[at[1] + 1 : at[2]]]
        position = at[3]
    return np.concatenate([*parts, ids[position:]])
