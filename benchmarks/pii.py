"""Personal data and malware, beside one regular expression a file and kind: same files, same run, one core.

The plain way is bigcode-style: for each file, backtracking patterns for e-mail addresses, IP addresses and assigned
secrets are run over the whole text by `re`, and every match is looked at in Python. Ours finds more (names, keys by
maker, logins, headers, all with evidence), replaces, and parses each changed text again.

With --labelled it tells precision and recall on tests/corpus/pii_labelled.txt instead: snippets written by hand for
this project by the authors of the rules, so the figures say what the rules are meant to do, not how they do elsewhere.

    python benchmarks/pii.py --megabytes 16 --out benchmarks/results/2026-11-27-pii.json
"""

import argparse
import ipaddress
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
from annotate import read_texts
from machine import machine

from minicode_assets.config import Malware, Pii
from minicode_assets.corpus.annotate.malware import load_scanners, scan
from minicode_assets.corpus.annotate.pii import examine
from minicode_assets.corpus.annotate.syntax import parsing, syntax_of

EMAIL = re.compile(
    r"(?:^|[\b\s@?,!;:\'\")(.\[])([^\b\s@?!;,:\'\")(<>\[\]]+@[^\b\s@!?;,/]*[^\b\s@?!;,/:\'\")(>\[\].]\.\w+)"
)
IPV4 = re.compile(
    r"(?:^|[\b\s@?,!;:\'\")(.])((?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3})(?:$|[\s,!;:\'\"/])"
)
SECRET = re.compile(
    r"(?i)[\w.-]{0,50}?(?:password|passwd|secret|token|api_?key)[\w.-]{0,20}\s{0,3}[=:]\s{0,3}[\"']([^\"']{8,150})[\"']"
)


def plain(text: str) -> int:
    """One pass a pattern and file; matches that are private addresses are left."""
    found = len(EMAIL.findall(text)) + len(SECRET.findall(text))
    return found + sum(not ipaddress.ip_address(address).is_private for address in IPV4.findall(text))


def run_plain(texts: list[str]) -> None:
    for text in texts:
        plain(text)


def run_pii(texts: list[str]) -> None:
    for _ in examine(pl.Series(texts), params=Pii()):
        pass


def run_malware(texts: list[str]) -> None:
    scanners, _ = load_scanners(Malware())
    for text in texts:
        scan(text, scanners)


def timed(function: Callable[[list[str]], None], texts: list[str]) -> float:
    """CPU seconds of one pass."""
    started = time.process_time()
    function(texts)
    return time.process_time() - started


def labelled() -> dict[str, object]:
    sys.path.append(str(Path(__file__).parents[1]))
    from tests.corpus.test_pii import score

    counts, told = score()
    table: dict[str, object] = {
        kind: {"right": right, "wrong": wrong, "missed": missed,
               "precision": right / max(right + wrong, 1), "recall": right / max(right + missed, 1)}
        for kind, (right, wrong, missed) in counts.items()
    }  # fmt: skip
    return table | {"wrong_and_missed": told}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=16.0, help="bytes of Python to measure (default 16)")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats; the best counts (default 3)")
    parser.add_argument("--labelled", action="store_true", help="only precision and recall on the labelled set")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    figures: dict[str, object] = {"labelled_set": labelled()}
    if not options.labelled:
        figures |= measure(int(options.megabytes * 1e6), options.repeats)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


def measure(max_bytes: int, repeats: int) -> dict[str, object]:
    """MB/s of each way. The facts of the syntax are known before, as `language` leaves them."""
    texts = read_texts(max_bytes)
    size = sum(len(text.encode()) for text in texts) / 1e6
    ways = {"plain": run_plain, "pii": run_pii, "malware": run_malware}
    with parsing():
        for text in texts:
            syntax_of(text)
        seconds = [{name: timed(way, texts) for name, way in ways.items()} for _ in range(repeats)]
    best = {name: min(row[name] for row in seconds) for name in ways}
    return {
        **machine(),
        "files": len(texts),
        "megabytes": round(size, 1),
        "megabytes_per_second": {name: round(size / value, 1) for name, value in best.items()},
        "pii_and_malware_megabytes_per_second": round(size / (best["pii"] + best["malware"]), 1),
        "pii_to_plain": round(best["plain"] / best["pii"], 1),
    }


if __name__ == "__main__":
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    main()
