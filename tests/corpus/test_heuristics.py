"""Measures against slow oracles (str methods, tokenize, ast.walk, brute-force n-grams) on real and random texts."""

import ast
import bisect
import io
import sys
import sysconfig
import time
import tokenize
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.config import Heuristics, Language
from minicode_assets.corpus.annotate import heuristics, language, syntax
from minicode_assets.corpus.annotate.characters import count_characters, split_lines
from minicode_assets.corpus.annotate.encoded import count_hex_words, encoded_runs
from minicode_assets.corpus.annotate.language import is_generated, is_vendored, language_of, says_vendored
from minicode_assets.corpus.annotate.lexer import measure_lexemes, token_spans
from minicode_assets.corpus.annotate.syntax import syntax_of
from minicode_assets.corpus.annotate.words import Lines, count_lines, count_words
from minicode_assets.parquet import read_table
from minicode_assets.schemas import DOCUMENTS, HEURISTICS
from tests.corpus.worlds import documents_of

REAL = sorted(Path(sysconfig.get_path("stdlib")).glob("[a-j]*.py"))
TEXTS = st.text(st.sampled_from("ab9 _\t\n\r\u2028é٣\U0001d517#'\"\\"), max_size=80)


def measure(text: str) -> dict[str, object]:
    return heuristics.measure(text, params=Heuristics())


@given(TEXTS)
def test_characters_against_str(text):
    count = count_characters(text)
    lines = split_lines(text)
    assert count.num_characters == len(text)
    assert count.alphabetic == sum(map(str.isalpha, text))
    assert count.alphanumeric == sum(map(str.isalnum, text))
    assert count.whitespace == sum(map(str.isspace, text))
    assert count.digits == sum(map(str.isdigit, text))
    assert (count.num_lines, count.line_characters) == (len(lines), sum(map(len, lines)))
    assert count.max_line_length == max(map(len, lines), default=0)


@given(TEXTS)
def test_lines_are_those_of_a_text_file(text):
    assert split_lines(text) == [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_lexer_against_tokenize(path):
    text = path.read_text(encoding="utf-8")
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    strings = [token.string for token in tokens if token.type == tokenize.STRING]
    found = measure_lexemes(text, long_word_length=20, long_string_words=20)
    assert found.comment_characters == sum(map(len, comments))
    assert found.string_characters == sum(len(s) - min(s.find(q) for q in "'\"" if q in s) for s in strings)
    assert [text[start:end] for start, end in token_spans(text) if text[start] == "#"] == comments


@pytest.mark.parametrize("path", REAL[::4], ids=lambda path: path.name)
def test_syntax_against_ast_walk(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    kinds = Counter(type(node) for node in ast.walk(tree))
    found = syntax_of(text)
    assert found.problem == ""
    assert found.num_functions == kinds[ast.FunctionDef] + kinds[ast.AsyncFunctionDef]
    assert (found.num_classes, found.num_calls) == (kinds[ast.ClassDef], kinds[ast.Call])
    assert (found.num_passes, found.num_asserts) == (kinds[ast.Pass], kinds[ast.Assert])
    assert found.num_imports == kinds[ast.Import] + kinds[ast.ImportFrom]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)]
    assert found.docstring_characters == sum(map(len, filter(None, docstrings)))


def slow_duplicate_fraction(words: list[str], n: int) -> float:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    counts = Counter(grams)
    covered = {j for i, gram in enumerate(grams) if counts[gram] > 1 for j in range(i, i + n)}
    return sum(len(words[j]) for j in covered) / sum(map(len, words)) if words else 0.0


def slow_top_fraction(words: list[str], n: int) -> float:
    counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    most = max(counts.values(), default=0)
    if most < 2:
        return 0.0
    longest = max(sum(map(len, gram)) for gram, count in counts.items() if count == most)
    return min(1.0, most * longest / sum(map(len, words)))


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "x" * 21]), max_size=60))
def test_repetition_against_brute_force(words):
    found = count_words(" ".join(words), long_word_length=20)
    assert found.num_words == len(words)
    assert found.top_ngram_fractions == pytest.approx([slow_top_fraction(words, n) for n in (2, 3, 4)])
    assert found.duplicate_ngram_fractions == pytest.approx([slow_duplicate_fraction(words, n) for n in (5, 6, 10)])
    long_characters = sum(len(word) for word in words if len(word) > 20)
    assert found.long_word_fraction == pytest.approx(long_characters / max(1, sum(map(len, words))))


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=12, max_size=80))
def test_coverage_falls_with_n(words):
    five, six, ten = count_words(" ".join(words), long_word_length=20).duplicate_ngram_fractions
    assert five >= six >= ten


@pytest.mark.parametrize(
    ("text", "total", "longest"),
    [
        ("x = 1\n", 0, 0),
        (f'k = "{"QUJD" * 20}"\n', 80, 80),
        (f'k = "{"QUJD" * 15}"\n', 0, 0),  # 60 characters are fewer than 64
        ("0xde,0xad," * 20, 200, 200),
        ("0xde, 0xad, " * 20, 0, 0),  # the published pattern takes a comma or blanks, not both
        ("\\u00e9" * 30, 180, 180),
        ("ab " * 8 + "-" + "cd " * 9, 24 + 27, 27),
    ],
)
def test_encoded_runs(text, total, longest):
    assert encoded_runs(text) == pytest.approx((total, longest), abs=1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\nfrom a import b\n", {"num_imports": 2}),
        (
            "important = password = fingerprint = 1\n",
            {"num_imports": 0, "num_passes": 0, "num_prints": 0, "num_variables": 3},
        ),
        ("async def f():\n    pass\ndef g(): pass\n", {"num_functions": 2, "num_passes": 2}),
        ("print(1)\nobject.print(2)\n", {"num_prints": 1, "num_calls": 2}),
        ("def f(self):\n    '''Doc.'''\n    return self.x\ndef g():\n    return h()\n", {"num_simple_returns": 1}),
        ("# TODO: x\nx = 'todo'\n# fixme\n", {"todo_line_fraction": 2 / 3}),
        ("a\na\nb\n  a\n", {"num_lines": 4}),
        ("x = (1\n", {"num_functions": None, "docstring_fraction": None, "num_lines": 1}),
        ("x = 1\n\n# alone\ny = 2  # beside\n  # alone\n", {"num_code_lines": 2}),
        (
            '"""Doc\n\nmore."""\nclass A:\n    """D."""\n    x = y = 1\n    z: int\n    a.b = 2\n',
            {"num_code_lines": 4, "num_class_variables": 3},
        ),
        ("# 'a'\r# b\rx = '# no'\r", {"num_code_lines": 1}),
        ('"""Doc."""\nx = "abcd"\n', {"code_string_fraction": 6 / 12, "string_fraction": 16 / 22}),
        (
            f"x = '{'w ' * 21}'\ny = 'https://e.org/{'a' * 30} {'b' * 30}'\n",
            {"num_long_string_lines": 1, "long_string_word_fraction": 31 / 131},
        ),
        (
            "def f(): ...\nasync def g(): 'd'\ndef h():\n 'd'\n (...)\ndef i(): pass\ndef j(): ...; x\ndef k(): x\n",
            {"num_stubs": 4, "num_functions": 6},
        ),
        ("def f(a, *b, c=1, **d):\n    return a\n", {"num_variables": 4, "num_returns": 1}),
        ("", {"num_lines": 0, "mean_line_length": 0.0, "alphabetic_fraction": 0.0, "num_functions": 0}),
        ("'" + "\\n" * 40 + "'\n", {"docstring_fraction": 40 / 83}),
    ],
)
def test_measures(text, expected):
    found = measure(text)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_small_measures():
    assert count_lines("xx = 1\n xx = 1\n\n}\ny = 2") == Lines(4, pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert count_lines("") == Lines(0, 0.0, 0.0)
    assert (count_hex_words("0x1F deadbeef12 decorated facade \\xff"), count_hex_words("x0x1f")) == (3, 0)


@given(st.text(max_size=60))
def test_measures_are_finite_and_in_range(text):
    found = measure(text)
    assert set(found) == set(HEURISTICS.polars.names()) - {"document_id"}
    assert all(0 <= value <= 1 for name, value in found.items() if name.endswith("_fraction") and value is not None)


def test_equal_texts_have_equal_measures(tmp_path):
    documents = documents_of({"a.py": "x = 1\n", "b.py": "x = 1\n", "c.py": None}, tmp_path / "documents")
    artifact = heuristics.annotate(documents, tmp_path / "heuristics", params=Heuristics(), config_digest="")
    frame = read_table(documents, DOCUMENTS).join(read_table(artifact.path, HEURISTICS), on="document_id")
    assert dict(frame.select("path", "num_lines").iter_rows()) == {"a.py": 1, "b.py": 1, "c.py": None}
    assert artifact.metadata["num_measured"] == 2


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", "# This file is automatically generated by x.\n", True),
        ("a.py", "# Generated by the protocol buffer compiler.  DO NOT EDIT!\n", True),
        ("a.py", '"""Auto-generated by tool."""\n', True),
        ("a_pb2.py", "x = 1\n", True),
        ("a.py", "# Generated from XPathLexer.g4 by ANTLR 4.13.1\n", True),
        ("a.py", "# file generated by vcs-versioning\n# don't change\n", True),
        ("a.py", '""" Codec cp500 generated from \'CP500.TXT\' with gencodec.py.\n', True),
        ("a.py", '"""Parser engine for the grammar tables generated by pgen."""\n', False),
        ("a.py", '"""AST nodes generated by the parser for the compiler."""\n', False),
        ("a.py", "# pickle streams\n# generated with Python 2 loadable by Python 3.\n", False),
        ("a.py", "\n" * 5 + "# autogenerated\n", False),
        ("a.py", "from x import AutogenerateDiffsDetected\n", False),
        ("a.py", "\n" * 9 + "    Generated by: https://openapi-generator.tech\n", True),
        ("gen-py/service.py", "x = 1\n", True),
        ("a.py", "\n_tabversion = '3.10'\n", True),
        ("a.py", "# Form implementation generated from reading ui file 'main.ui'\n", True),
        ("a.py", "# Generated by Django 4.2 on 2024-01-01 10:00\n", True),
        ("a.py", "x = 'generated by: https://example.org'\n", False),
        ("a.py", "# Generates files. Do not panic.\n", False),
    ],
)
def test_generated(path, text, expected):
    assert is_generated(path, text, first_lines=5) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pip/_vendor/six.py", True),
        ("a/third_party/b.py", True),
        ("versioneer.py", True),
        ("vendor.py", False),
        ("src/vending/a.py", False),
    ],
)
def test_vendored(path, expected):
    assert is_vendored(path) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Licence\n# This file is taken from CPython 3.8.\n", True),
        ('"""Vendored copy of packaging.tags."""\n', True),
        ("# pip vendors its dependencies\n", False),
        ("x = 1\n" * 30 + "# vendored from six\n", False),
    ],
)
def test_vendored_by_its_own_words(text, expected):
    assert says_vendored(text, first_lines=20) is expected


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("a.py", "", "python"),
        ("a.PYI", None, "python_stub"),
        ("bin/tool", "#!/usr/bin/env python3\nx = 1\n", "python"),
        ("bin/tool", "#! /usr/bin/env -S -i python -u\n", "python"),
        ("bin/tool", "#!/opt/pypy3.9 -E\n", "python"),
        ("bin/tool", "#!/bin/sh\nexec python\n", "other"),
        ("bin/tool", "#!/usr/bin/pythonista\n", "other"),
        ("bin/tool", "x = 1\n", "other"),
        ("bin/tool", None, "other"),
        ("n.ipynb", None, "notebook"),
        ("n.py", '{\n "cells": [],\n "metadata": {},\n "nbformat": 4\n}', "notebook"),
        ("d.py", '{"cells": 1}\n', "python"),
    ],
)
def test_language(path, text, expected):
    assert language_of(path, text) == expected


HOSTILE = {
    "parentheses": "(" * 100_000,
    "unary": "-" * 100_000 + "1",
    "sum": "1" + "+1" * 100_000,
    "elif": "if a:\n pass\n" + "elif a:\n pass\n" * 20_000,
    "nested lambda": "lambda:" * 50_000 + "0",
    "import of a name with many parts": "import " + "a." * 100_000 + "a",
    "the same over many lines": "import " + "a.\\\n" * 100_000 + "a",
    "one line": "x = '" + "ab " * 300_000 + "'",
    "quotes": "'" * 1_000_000,
    "triple quotes": '"""' * 300_000,
    "backslashes": "'" + "\\" * 1_000_000,
    "comments with CR": "#\r" * 500_000,
    "hexadecimal pairs": "ab " * 7 + " " * 1_000_000 + "ab " * 7,
    "base64 a little too short": ("A" * 63 + "-") * 15_000,
    "unicode escapes": "\\u0041" * 7 + "-" + "\\u004" * 150_000,
    "generated": ("# generated " + "x" * 150) * 6_000,
    "notebook": "{" + " " * 1_000_000,
    "shebang": "#!" + "/env " * 200_000,
    "form feeds": "\f" * 1_000_000,
    "one word": "a" * 1_000_000,
    "dots": "." * 1_000_000,
    "marks": "\ufeff" * 300_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_take_little_time_and_no_error(name):
    started = time.process_time()
    found = measure(HOSTILE[name])
    described = language.describe("a.py", HOSTILE[name], params=Language())
    assert time.process_time() - started < 6
    assert found["num_characters"] == len(HOSTILE[name])
    assert isinstance(described[1], bool)


def test_depth_that_parses_does_not_depend_on_the_caller():
    def deeper(depth: int, text: str) -> str:
        return syntax._parse(text).problem if depth == 0 else deeper(depth - 1, text)

    edge = bisect.bisect_left(range(5000), True, key=lambda n: syntax._parse("1" + "+1" * n).problem != "")
    for n in (edge - 1, edge):
        assert deeper(200, "1" + "+1" * n) == syntax._parse("1" + "+1" * n).problem


@pytest.mark.parametrize(
    ("text", "parses"),
    [
        ("x = f'{a!r:{b}}'\n", True),
        ("x = f'{'nested'}'\n", sys.version_info >= (3, 12)),
        ("print 'old'\n", False),
        ("x = 1\n\ufeffy = 2\n", False),
        ("x = 1\ry = 2\r", True),
        ("x = 1\x0c\n", True),
        ("\x0cdef f(): pass\n", True),
        ("x = '\u2028'\n", True),
        ("", True),
        ("\n\n", True),
        ("match x:\n    case 1: pass\n", True),
        ("exec 'x'\n", False),
    ],
)
def test_odd_texts(text, parses):
    assert (measure(text)["num_functions"] is not None) is parses
