"""Fill-in-the-middle loses nothing and depends on seed and key only."""

import ast
import re
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_model.fim import (
    NUM_SENTINELS,
    arrange,
    restore,
    split_characters,
    syntax_spans,
    uniforms,
)
from minicode_model.generate import gap_prompt
from tests.tokens.corpora import library_files, small_tokenizer

UNIT = st.floats(0, 1, exclude_max=True)


@given(st.text(max_size=60), UNIT, UNIT)
def test_parts_join_to_the_text(text: str, first: float, second: float) -> None:
    parts = split_characters(text, first, second)
    assert "".join(parts) == text
    assert parts == split_characters(text, second, first)


def test_every_pair_of_places_is_reached() -> None:
    places = {tuple(map(len, split_characters("abc", i / 16, j / 16))) for i in range(16) for j in range(16)}
    assert places == {(a, b - a, 3 - b) for a in range(4) for b in range(a, 4)}


@given(st.text(max_size=60), UNIT, UNIT, st.booleans())
def test_restore_is_the_inverse(text: str, first: float, second: float, spm: bool) -> None:
    tokenizer = small_tokenizer()
    parts = split_characters(text, first, second)
    ids = arrange(tokenizer, *map(tokenizer.encode, parts), spm=spm)
    assert len(ids) == sum(len(tokenizer.encode(part)) for part in parts) + NUM_SENTINELS
    restored = restore(tokenizer, ids)
    assert tokenizer.decode(restored) == text.encode()
    assert len(restored) == len(ids) - NUM_SENTINELS


@given(st.lists(st.tuples(st.text(max_size=20), UNIT, UNIT, st.sampled_from(["plain", "psm", "spm"])), max_size=5))
def test_restore_works_inside_a_document(files: list[tuple[str, float, float, str]]) -> None:
    tokenizer = small_tokenizer()
    separator, end = (np.array([tokenizer.special(name)], np.uint16) for name in ("<file_sep>", "<|endoftext|>"))
    parts, expected = [], b""
    for text, first, second, order in files:
        ids = tokenizer.encode(text)
        if order != "plain":
            cut = map(tokenizer.encode, split_characters(text, first, second))
            ids = arrange(tokenizer, *cut, spm=order == "spm")
        parts += [separator, ids]
        expected += b"<file_sep>" + text.encode()
    document = np.concatenate([*parts, end])
    assert tokenizer.decode(restore(tokenizer, document), show_special=True) == expected + b"<|endoftext|>"


def test_orders_are_starcoder2s() -> None:
    tokenizer = small_tokenizer()
    a, b, c = (tokenizer.encode(letter) for letter in "abc")
    psm, spm = arrange(tokenizer, a, b, c, spm=False), arrange(tokenizer, a, b, c, spm=True)
    assert tokenizer.decode(psm, show_special=True) == b"<fim_prefix>a<fim_suffix>c<fim_middle>b"
    assert tokenizer.decode(spm, show_special=True) == b"<fim_prefix><fim_suffix>c<fim_middle>ab"


def test_the_prompt_of_a_gap_is_the_training_order_up_to_the_middle() -> None:
    tokenizer = small_tokenizer()
    prefix, middle, suffix = (tokenizer.encode(text) for text in ("def f(", "x", "):\n"))
    start, *prompt = gap_prompt(tokenizer, "def f(", "):\n", 100)
    assert start == tokenizer.special("<file_sep>")
    assert [*prompt, *middle] == arrange(tokenizer, prefix, middle, suffix, spm=False).tolist()


def test_cut_sentinels_are_left_alone() -> None:
    tokenizer = small_tokenizer()
    for ids in ([1, 300, 3, 301], [1], [3, 300, 2], [1, 3, 0, 300, 2]):
        array = np.array(ids, np.uint16)
        assert np.array_equal(restore(tokenizer, array), array)


def test_uniforms_depend_on_seed_and_key_only() -> None:
    assert uniforms(2, 1, "fim", "a") == uniforms(2, 1, "fim", "a")
    keys = [(1, "fim", "a"), (2, "fim", "a"), (1, "cuts", "a"), (1, "fim", "b"), (1, "fim", "a", 0)]
    assert len({uniforms(1, *key) for key in keys}) == len(keys)
    numbers = np.array([uniforms(2, 7, "x", i) for i in range(4000)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.histogram2d(*numbers.T, bins=5, range=[[0, 1], [0, 1]])[0]
    assert counts.min() > 100
    assert counts.max() < 220


def test_the_first_numbers_never_change() -> None:
    """Shards made today must be made again tomorrow: these are the numbers of the first release."""
    assert uniforms(2, 1337, "fim", "doc", 0) == (0.781948886011203, 0.6712566859797607)


def replaced(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Python with each span taken out must be Python still: a statement or body left `pass`, arguments nothing."""
    for kind, places in syntax_spans(raw).items():
        for low, high in places:
            yield kind, raw[:low] + (b"" if kind == "arguments" else b"pass") + raw[high:]


def test_spans_are_what_python_says() -> None:
    """ast.get_source_segment, which leaves out decorators, is the oracle for statements, the parser for all."""
    for _, path, text in library_files("json"):
        raw, spans = text.encode(), syntax_spans(text.encode())
        segments = [
            ast.get_source_segment(text, node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.stmt)
        ]
        found = [raw[low:high].decode() for low, high in spans.get("statement", [])]
        assert sorted(re.sub(r"\A(@[^\n]+\n\s*)+", "", s) for s in found) == sorted(map(str, segments)), path
        for _, rest in islice(replaced(raw), 0, None, 60):
            ast.parse(rest)


ODD_SYNTAX = {
    "decorators": "if x:\n    @a(1)\n\f    @ (  # a@b\n c)\n    async def f(): 1\nclass B:\n @d\n def g(s): 1\n",
    "what stands before a parenthesis": "(f # (\n )(1)\nf\\\n (2)\n(g)((a))(b)\n",
    "byte order mark": "\ufeffif é: f(1); g(2)\r\nx(3)\r",
    "match": "match f(1):\n case [1, *r] if g(r): h(é='ß')\n case _: pass\n",
    "strings": "x = f'{f(1)} {g(f\"{h(2)}\")!r:>{w(3)}}'; f(4)\n",
    "lines that end otherwise": "a('\u2028', '\x85')\x0c;b(1)\rc(lambda é: d(2))\r\n",
}


@pytest.mark.parametrize("text", ODD_SYNTAX.values(), ids=ODD_SYNTAX.keys())
def test_a_span_taken_out_leaves_python(text: str) -> None:
    rests = list(replaced(text.encode()))
    assert {kind for kind, _ in rests} >= {"statement", "arguments"}
    for _, rest in rests:
        ast.parse(rest)


def test_spans_count_bytes_and_know_every_line_end() -> None:
    raw = "é = 'ü'\r\nfür(1, b='漢')\rif x:\n\ty = 1\n".encode()
    spans = {kind: [raw[low:high].decode() for low, high in places] for kind, places in syntax_spans(raw).items()}
    assert spans == {
        "statement": ["é = 'ü'", "für(1, b='漢')", "if x:\n\ty = 1", "y = 1"],
        "arguments": ["1, b='漢'"],
        "body": ["y = 1"],
    }


@pytest.mark.parametrize("raw", [b"def f(:", b"x = '\0'", b"", b"(" * 5000, b"print 1", b"\xffx"])
def test_no_spans_where_python_cannot_parse(raw: bytes) -> None:
    assert syntax_spans(raw) == {}
