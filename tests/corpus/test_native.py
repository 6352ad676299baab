"""The kernels in C beside Python that says the same slowly: str methods, regular expressions, the syntax tree."""

import dataclasses
import itertools
import re
import sysconfig
import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.corpus import native
from minicode_assets.corpus.annotate import syntax
from minicode_assets.corpus.annotate.characters import split_lines
from minicode_assets.corpus.annotate.encoded import count_hex_words, encoded_runs
from minicode_assets.corpus.annotate.lexer import token_spans
from minicode_assets.corpus.annotate.syntax import Syntax

STDLIB = Path(sysconfig.get_path("stdlib"))
PIECES = (
    *('"', "'", '"""', "'''", "#", "\\", "\n", "\r", "\r\n", " ", "\t", "\f", "\x1c", "\u2028", "\xa0", "a", "todo"),
    *("TODO", "f\u0131xme", "F\u0130XME", "your code here", "w" * 21, "https://", "http://x", "ab", "\u00e9"),
    *("\U0001d517", " word ", "x y " * 22),
)
CODE = (
    *("(", ")", "[", "{", "}", ":", ";", ",", "=", "f'{", "}'", "lambda", "for x in", "def f(", "class A:", "return "),
    *(".", "1e", "0x", "\x00"),
)
TOKEN = re.compile(
    r'''\#[^\r\n]*
    |"""(?:[^"\\]++|\\.|"(?!""))*+(?:"""|\Z)
    |\'\'\'(?:[^'\\]++|\\.|'(?!''))*+(?:\'\'\'|\Z)
    |"(?:[^"\\\r\n]++|\\(?:\r\n|.))*+"?
    |'(?:[^'\\\r\n]++|\\(?:\r\n|.))*+'?''',
    re.DOTALL | re.VERBOSE,
)
ENCODED = (
    re.compile(r"[a-zA-Z0-9+/\n=]{64,}"),
    re.compile(r"(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}"),
    re.compile(r"(?:\\u[0-9a-fA-F]{4}){8,}"),
)
HEX_WORD = re.compile(r"(?:\b0[xX]|\\x)[0-9a-fA-F]{2,}\b|\b[0-9a-fA-F]{8,}\b")
DATA = (
    *("QUJD" * 8, "0x41,", "0x41, ", "\\x41", "\\u0041" * 4, "de ad ", "ab,cd,", "\n", "é", "z", "_", "==", " ", "0x"),
    *("0X1f ", "deadbeef", "\\", "x41,42,", "\u00b2", "\u2003"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


def facts(found: Syntax) -> dict[str, object]:
    """The facts by name, without the problem."""
    return {name: fact for name, fact in dataclasses.asdict(found).items() if name != "problem"}


@given(TEXTS)
def test_spans_against_a_regular_expression(text):
    assert token_spans(text) == [match.span() for match in TOKEN.finditer(text)]


@given(st.lists(st.sampled_from(DATA), max_size=30).map("".join))
def test_encoded_data_against_regular_expressions(text):
    runs = sorted(match.span() for pattern in ENCODED for match in pattern.finditer(text))
    covered = {place for start, end in runs for place in range(start, end)}
    assert encoded_runs(text) == (len(covered), max((end - start for start, end in runs), default=0))
    assert count_hex_words(text) == len(HEX_WORD.findall(text))


@given(TEXTS)
def test_lexemes_against_regular_expressions(text):
    tokens = [text[start:end] for start, end in token_spans(text)]
    comments = [token for token in tokens if token.startswith("#")]
    strings = [token for token in tokens if not token.startswith("#")]
    long = [s for s in strings if len(s) > 20]
    words = [w for s in long for w in s.split() if len(w) > 20 and not re.search("https?://", w)]
    todo = re.compile(r"\b(?:todo|fixme|your code here)\b", re.IGNORECASE)
    characters, _, *rest = native.lexemes_of(text, 20, 20)
    assert characters == sum(map(len, comments))
    assert rest == [
        sum(todo.search(comment) is not None for comment in comments),
        sum(map(len, strings)),
        sum(map(len, words)),
        sum(len(line.split()) > 20 for s in long for line in split_lines(s)),
    ]


@given(TEXTS)
def test_comments_that_begin_their_line(text):
    begun = 0
    for (_, reached), (start, _) in itertools.pairwise([(0, 0), *token_spans(text)]):
        before = text[reached:start]
        newline = max(before.rfind("\n"), before.rfind("\r"))
        begun += text[start] == "#" and (newline >= 0 or reached == 0) and not before[newline + 1 :].strip()
    assert native.lexemes_of(text, 20, 20)[1] == begun


@given(TEXTS)
def test_lines_against_a_counter(text):
    lines = [line.strip() for line in split_lines(text)]
    counts = Counter(line for line in lines if len(line) > 1)
    repeated = sum(count for count in counts.values() if count > 1)
    assert native.lines_of(text) == (counts.total(), len(counts), repeated, sum(map(bool, lines)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_syntax_of_real_files_is_that_of_the_tree(part):
    """Every sixtieth file of the standard library with its tests, a third at a time; 2 % at most are declined."""
    paths = sorted(path for path in STDLIB.rglob("*.py") if "site-packages" not in path.parts)[part * 20 :: 60]
    num_declined = num_files = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            text = path.read_bytes().decode(errors="replace")
            expected = syntax._parse_to_tree(text)
            if expected.problem:
                continue
            found = native.syntax_of(text)
            num_files, num_declined = num_files + 1, num_declined + (found is None)
            assert found is None or facts(Syntax("", *found)) == facts(expected), path
    assert num_files > 20
    assert num_declined <= max(2, num_files // 50)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a and b or c and not d\n(a and b) and c\nx = a or b if c or d else e or f\n",
        "f(a or b, *c or d, e=f or g, **h or i)[j or k : l or m]\n{a or b: c or d, **e}\n",
        "print(1)\n(f)(print)\na.print(2)\n@print\ndef print(print): print\n",
        "[x for x in y if z if w for a, (b, *c) in d]\nsum(x for x in y)\n{a: b for a.b, c[d] in e}\n",
        "f = lambda a, *b, c=lambda d, e=1: d, **g: a if b else c\nlambda: 0\nlambda *, k: k\n",
        "def f(a: int, /, b=lambda x, y: {1: 2}[x:y], *c: d, e, **g) -> lambda: 0: return a\n",
        "async def f():\n  async with a as b, c as (d, e.f):\n    async for g in h: await i\n  [x async for x in y]\n",
        "with (a as b, c() as d[0]): pass\nwith a as b.c, d as [e, *g]: pass\n",
        "x: int\na.b: int = 3\n(y): int\nc[0]: int\nz = w = *v, u = t\n(p), [q, (r.s, *o)] = n\nm += 1\nl.k @= 2\n",
        "class A(B, metaclass=C):\n  'd'\n  x = y = 1; z: int\n  a.b = c[0] = 2\n  (w) = 3\n  v, u = 4\n  if x: t\n",
        "class D: e = 1; f: int\nclass E:\n  x = lambda a=1: a\n  y = z = lambda: 0\n  w: lambda: 0 = 3\n",
        "def a(): return\ndef b(): 'd'; return x\ndef c():\n  r'''d'''\n  return (('a'\n 'b'))\ndef d(): return f''\n",
        "def a(): return -1\ndef b(): return x().y\ndef c(): return ()\ndef d(): return [1]\ndef e(): return [1].f\n",
        "def a():\n  pass\n  return x\ndef b():\n  if x: return y\ndef c(): return a, b\ndef d(): return ...\n",
        "def a(): ...\ndef b(): pass\ndef c(): 1\ndef e():\n  'd'\n  (...)\ndef f():\n  ...\n  pass\ndef g(): ...; x",
        "'''doc\n\n \xa0\n\\x41\\101\\N{DIGIT ONE}\\u0041\\q\\\nmore''' 'and' ; x = 1\n",
        "b'no doc'\ndef f(): f'no doc'\nclass A: 'a' + 'b'\nclass B: 'a', 'b'\nclass C: u'yes'\n",
        "try: a\nexcept (B, C) as e: d\nelse: f\nfinally: g\ntry: a\nexcept* E: b\n",
        "for a.b, c in d: e\nelse: f\nwhile a or b: break\nif a: b\nelif c and d: e\nelse: f\n",
        "f'{a or b!r:>{c and d}}{{}}{e}{f(x)=}{ {1: 2}[y] }{(lambda z: z)(1)}{[w for w in v]}'\n",
        "rf'\\{a}' f\"\"\"{\nb\n}{c['d']}{e != f}{g:%H:%M}\"\"\" '{h()}'\n",
        "if (n := f(x)) and (m := y): [z := 1, w[v := 2]]\n",
        "x = 1if y else 2.5e-3j\n1 .real\n1..real\n1_0.0_1\n...\n",
        "from . import (a as b, c)\nimport d.e as f, g\nfrom ...h import i\n",
        "match = re.match(a)\nmatch.group()\ncase = 1\ntype(x)\nprint(match, case, type)\n",
        "def f(x):\n\tif x:\n\t\treturn y\n\treturn z\n  \n# c\nif a:\n  b\n\fc\n",
        "x = (1 +\n# c\n 2) \\\n  + 3; y = 'a\\\nb'\r\nz = 1\rw = 2",
        "a = [1, -2, 'x' 'y', (3,), {None: True}]; b = f([1], (2), (3, 4))[5]\n[]; c = [x, [6, 7]]\n",
        "d = {'a': [], 'b': f'{c}'}\ne = ('a'\n 'b'); g = ()\nh = {1, 2}; i = [*[1]]; j = {**{'a': 1}}\n",
        "k = [1 for m in (1, 2)]; n = [1, 2][0] in [b'']; o = [1,\n # [2]\n ((3)), ]\r\np = [4]\rq = {'\u00e9', 5}\n",
        "def g(): x = yield; y = yield from z; w = (yield)\ndel a, b.c\nassert a, b\nraise a from b\nglobal h\n",
    ],
)
def test_syntax_is_that_of_the_tree(text):
    found, expected = native.syntax_of(text), syntax._parse_to_tree(text)
    assert expected.problem == ""
    assert found is not None, "declined"
    assert facts(Syntax("", *found)) == facts(expected)


@pytest.mark.parametrize(
    "text",
    [
        "match x:\n  case [a, b]: pass\n",
        "match(x)\n",
        "\u00e9 = 1\n",
        "(print)(1)\n",
        "def f():\n  ('doc')\n",
        "f'\\N{DIGIT ONE}{a}'\n",
        "x = " + "(" * 150 + "1" + ")" * 150 + "\n",
        "x = 1" + "+1" * 700 + "\n",
        "if a: b\n" + "elif c: d\n" * 150,
    ],
)
def test_what_tokens_do_not_tell_is_asked_of_the_tree(text):
    assert native.syntax_of(text) is None
    assert syntax._parse(text) == syntax._parse_to_tree(text)


def test_what_does_not_parse_is_told_as_the_tree_would():
    for text in ("x y\n", "@a\n@a\n", "def f(:\n", "nonlocal x\n", "f(x for x in y, 1)\n", "x = 'a\n", "a\0", "  x\n"):
        assert syntax._parse(text) == syntax._parse_to_tree(text)


def test_wrong_scopes_still_parse():
    assert syntax._parse("def f(x, x): return x\n") == syntax._parse_to_tree("def f(x, x): return x\n")
    assert syntax.parses("def f(x, x): return x\n")
    assert not syntax.parses("def f(x, x) return x\n")


@given(st.lists(st.sampled_from((*PIECES, *CODE)), max_size=30).map("".join))
def test_any_text_is_safe(text):
    """A text that doesn't parse is never asked for, and would do no harm."""
    found = native.syntax_of(text)
    assert found is None or len(found) == len(dataclasses.fields(Syntax)) - 1


def test_a_text_must_be_a_str():
    with pytest.raises(TypeError, match="found bytes, expected str"):
        native.syntax_of(b"x")  # type: ignore[arg-type]
