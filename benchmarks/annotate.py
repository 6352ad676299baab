"""The annotators beside OpenCoder's rules and the plain way of doing it: each kernel, then all in one run; one core.

The plain way is what curation pipelines do for each document: Python loops over characters, `re` for every pattern,
`tokenize`, `ast.walk`, n-grams as tuples in a Counter, and lines split again for every rule. It gives the same figures,
which the benchmark checks. OpenCoder's rules, in our own words, are benchmarks/opencoder_rules.py.

All in one run: `language`, `heuristics`, `pii` and `malware` as their stages call them, one after the other, with one
parse. Not in it: reading and writing of tables, `lint` (a process of its own), a model for personal data (off by
default). OpenCoder has no rules about personal data in public, so that its side is at an advantage; beside the second
part stands one backtracking pattern a kind and file, as BigCode had it. Last, the same with two processes, by clock.

    python benchmarks/annotate.py --megabytes 8
"""

import argparse
import ast
import io
import os
import platform
import sysconfig
import time
import tokenize
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import opencoder_rules

from minicode_assets.config import Annotators, Heuristics, Language, Malware, Pii
from minicode_assets.corpus.annotate.characters import count_characters, split_lines
from minicode_assets.corpus.annotate.encoded import count_hex_words, encoded_runs
from minicode_assets.corpus.annotate.heuristics import measure_rows
from minicode_assets.corpus.annotate.language import describe_rows, is_generated
from minicode_assets.corpus.annotate.lexer import Lexemes, measure_lexemes
from minicode_assets.corpus.annotate.malware import scan_rows
from minicode_assets.corpus.annotate.pii import examine_rows
from minicode_assets.corpus.annotate.syntax import clear_cache, parsing, syntax_of
from minicode_assets.corpus.annotate.words import count_lines, count_words
from minicode_assets.corpus.annotate.workers import map_rows

Texts = list[str]
Runs = dict[str, tuple[Callable[[], float], Callable[[], float]]]
CLASSES = (str.isalpha, str.isalnum, str.isspace, str.isdigit)


def read_texts(max_bytes: int) -> Texts:
    """Files of the standard library, its tests and the installed packages, every eleventh, so that all kinds occur."""
    root = Path(sysconfig.get_path("stdlib"))
    paths = sorted({*root.rglob("*.py"), *Path(sysconfig.get_path("purelib")).rglob("*.py")})
    texts, size = [], 0
    for start in range(11):
        for path in paths[start::11]:
            content = path.read_bytes()
            if size + len(content) > max_bytes:
                return texts
            try:
                texts.append(content.decode())
            except UnicodeDecodeError:
                continue
            size += len(content)
    return texts


def plain_characters(text: str) -> tuple[int, ...]:
    lines = split_lines(text)
    classes = tuple(sum(1 for character in text if test(character)) for test in CLASSES)
    return (len(lines), sum(len(line) for line in lines), max((len(line) for line in lines), default=0), *classes)


def fast_characters(text: str) -> tuple[int, ...]:
    found = count_characters(text)
    return (
        found.num_lines, found.line_characters, found.max_line_length,
        found.alphabetic, found.alphanumeric, found.whitespace, found.digits,
    )  # fmt: skip


def plain_words(text: str) -> tuple[float, ...]:
    words = text.split()
    total = sum(len(word) for word in words)
    figures = []
    for n in (2, 3, 4):
        counts = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        most = max(counts.values(), default=0)
        longest = max((sum(map(len, gram)) for gram, count in counts.items() if count == most), default=0)
        figures.append(min(1.0, most * longest / total) if most > 1 else 0.0)
    for n in (5, 6, 7, 8, 9, 10):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        covered: set[int] = set()
        for i, gram in enumerate(grams):
            if counts[gram] > 1:
                covered.update(range(i, i + n))
        figures.append(sum(len(words[i]) for i in covered) / total if total else 0.0)
    return (*figures[:5], figures[8])


def fast_words(text: str) -> tuple[float, ...]:
    found = count_words(text, long_word_length=20)
    return (*found.top_ngram_fractions, *found.duplicate_ngram_fractions)


def plain_comments(text: str) -> tuple[int, ...]:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, SyntaxError):
        return ()
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return (sum(map(len, comments)),)


def fast_comments(text: str) -> tuple[int, ...]:
    return (lexemes(text).comment_characters,)


def lexemes(text: str) -> Lexemes:
    return measure_lexemes(text, long_word_length=20, long_string_words=20)


def plain_syntax(text: str) -> tuple[int, ...]:
    """One parse for each question, as rules that know nothing of each other do."""
    counts = []
    for kinds in ((ast.FunctionDef, ast.AsyncFunctionDef), (ast.ClassDef,), (ast.Import, ast.ImportFrom), (ast.Call,)):
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ()
        counts.append(sum(isinstance(node, kinds) for node in ast.walk(tree)))
    return tuple(counts)


def fast_syntax(text: str) -> tuple[int, ...]:
    found = syntax_of(text)
    if found.problem:
        return ()
    return found.num_functions, found.num_classes, found.num_imports, found.num_calls


def run(function: Callable[[str], object], texts: Texts) -> float:
    """CPU seconds of one pass."""
    clear_cache()
    started = time.process_time()
    for text in texts:
        function(text)
    return time.process_time() - started


STAGES: dict[str, tuple[Any, Any]] = {
    "language": (describe_rows, Language()),
    "heuristics": (measure_rows, Heuristics()),
    "pii": (examine_rows, Pii()),
    "malware": (scan_rows, Malware()),
}
MEASURES = ("language", "heuristics")


def run_stages(texts: Texts, names: tuple[str, ...] = tuple(STAGES), num_workers: int = 1) -> list[list[Any]]:
    """What these stages compute, in their order; what one learns of the syntax the next one knows."""
    clear_cache()
    workers = Annotators(num_workers=num_workers, parallel_from_bytes=0)
    found = []
    for name in names:
        function, params = STAGES[name]
        rows = [(text, "a.py", "swh") if name == "language" else (text,) for text in texts]
        found.append(
            list(map_rows(function, rows, params, workers=workers, reads_syntax=name in ("heuristics", "pii")))
        )
    return found


def spent(function: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of one call, by default of the processor."""
    started = clock()
    function()
    return clock() - started


def plain_encoded(text: str) -> tuple[int, int]:
    runs = sorted(match.span() for pattern in opencoder_rules.ENCODED for match in pattern.finditer(text))
    total = longest = reached = 0
    for start, end in runs:
        longest, total, reached = (
            max(longest, end - start),
            total + max(0, end - max(start, reached)),
            max(reached, end),
        )
    return total, longest


KERNELS: dict[str, Callable[[str], object]] = {
    "characters and lines": count_characters,
    "words and repetition": lambda text: (count_words(text, long_word_length=20), count_lines(text)),
    "comments": lexemes,
    "strings": lexemes,
    "encoded data": lambda text: (encoded_runs(text), count_hex_words(text)),
    "generated": lambda text: is_generated("a.py", text, first_lines=5),
    "statements": syntax_of,
    "syntax tree": syntax_of,
}


def against_opencoder(texts: Texts) -> Runs:
    """OpenCoder's rules and ours, by kernel, then all of them with what they share."""
    rules = opencoder_rules.RULES
    timed = {
        name: (lambda name=name: run(lambda text: opencoder_rules.apply(text, rules[name]), texts),  # type: ignore[misc]
               lambda kernel=kernel: run(kernel, texts))  # type: ignore[misc]
        for name, kernel in KERNELS.items()
    }  # fmt: skip
    everything = lambda: run(opencoder_rules.evaluate, texts)  # noqa: E731
    timed["all rules"] = everything, partial(spent, partial(run_stages, texts, MEASURES))
    return timed


def parts(texts: Texts) -> Runs:
    """The stages that look for patterns: personal data and secrets, malware (which has no peer here, so it is ours)."""
    import pii

    with parsing():
        for text in texts:
            syntax_of(text)  # which `pii` finds known, as after `language`
    return {"personal data and secrets": (lambda: run(pii.plain, texts), lambda: pii.timed(pii.run_pii, texts))}


def check(pairs: list[tuple[Callable[[str], object], Callable[[str], object]]], texts: Texts) -> None:
    """Both ways give the same figures, except where `tokenize` gives up."""
    for plain, fast in pairs:
        for text in texts:
            expected, found = plain(text), fast(text)
            same = all(abs(a - b) < 1e-9 for a, b in zip(expected, found, strict=False))  # type: ignore[call-overload]
            if expected != () and not same:
                raise SystemExit(f"{plain.__name__} {expected} differs from {fast.__name__} {found}: {text[:80]!r}")


def main(cores: set[int]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=8.0, help="bytes of Python to measure (default 8)")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats; the best counts (default 3)")
    parser.add_argument("--wall-megabytes", type=float, default=30.0, help="for the two processes (default 30)")
    options = parser.parse_args()
    texts = read_texts(int(options.megabytes * 1e6))
    size = sum(len(text.encode()) for text in texts) / 1e6
    pairs = {
        "characters and lines": (plain_characters, fast_characters),
        "words and repetition": (plain_words, fast_words),
        "comments": (plain_comments, fast_comments),
        "encoded data": (plain_encoded, encoded_runs),
        "syntax": (plain_syntax, fast_syntax),
    }
    check(list(pairs.values()), texts[:: max(1, len(texts) // 60)])
    runs: Runs = {
        name: (lambda plain=plain: run(plain, texts), lambda fast=fast: run(fast, texts))  # type: ignore[misc]
        for name, (plain, fast) in pairs.items()
    }
    print(f"{len(texts)} files, {size:.1f} MB, Python {platform.python_version()}, {platform.machine()}, one core")
    show("plain", runs, size, options.repeats)
    show("OpenCoder", against_opencoder(texts), size, options.repeats)
    show("BigCode", parts(texts), size, options.repeats)
    everything = lambda: run(opencoder_rules.evaluate, texts), partial(spent, partial(run_stages, texts))
    show("OpenCoder", {"language, heuristics, pii, malware": everything}, size, options.repeats)
    os.sched_setaffinity(0, cores)
    show_two(list(dict.fromkeys(read_texts(int(options.wall_megabytes * 1e6)))), options.repeats)


def show_two(texts: Texts, repeats: int) -> None:
    """Wall-clock seconds of all stages with one process and with two, in turn, and whether the results are equal.

    Each repeat has texts of its own, since the processes remember the syntax of those that they have seen.
    """
    run_stages(["x = 1\n" * 2_000_000], num_workers=2)  # starts the processes
    seconds = [_one_and_two([f"{text}\n# {repeat}\n" for text in texts]) for repeat in range(repeats)]
    one, two = (min(row[k] for row in seconds) for k in (0, 1))
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"\nall stages, {size:.1f} MB, by the clock: one process {one:.2f} s, two {two:.2f} s, {one / two:.2f} times")


def _one_and_two(texts: Texts) -> list[float]:
    found = []
    seconds = [
        spent(lambda n=n: found.append(run_stages(texts, num_workers=n)), time.perf_counter)  # type: ignore[misc]
        for n in (1, 2)
    ]
    if found[0] != found[1]:
        raise SystemExit("the results differ with the number of processes")
    return seconds


def show(peer: str, runs: Runs, size: float, repeats: int) -> None:
    """One line a kernel: MB/s of the peer and of ours, best of the interleaved repeats."""
    print(f"\n{'kernel':<36}{peer + ' MB/s':>16}{'ours MB/s':>12}{'ratio':>8}")
    with parsing():
        for name, (theirs, ours) in runs.items():
            seconds = [(theirs(), ours()) for _ in range(repeats)]
            slow, quick = min(s for s, _ in seconds), min(q for _, q in seconds)
            print(f"{name:<36}{size / slow:>16.2f}{size / quick:>12.1f}{slow / quick:>8.1f}", flush=True)


if __name__ == "__main__":
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    main(cores)
