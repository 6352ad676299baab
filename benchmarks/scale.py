"""What whole data sets take, by arithmetic from measured rates: writes the tables of docs/concepts/scale.md.

    .venv/bin/python benchmarks/scale.py           # prints them
    .venv/bin/python benchmarks/scale.py --write   # puts them into the page, as `make docs` does

Rates are read from benchmarks/results/, so a newer measurement moves the tables; a test compares them with the page.
"""

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "concepts" / "scale.md"
MARKS = "<!-- written by benchmarks/scale.py: make docs -->\n", "<!-- end -->\n"
MAX_PARTITIONS = 64
"""Partitions at most, hence processes that work on one stage at a time."""
GPU_FLOPS, GPU_SHARE = 989e12, 0.45
"""Peak of an H100 in bf16; share of it. Source: its data sheet; 41 to 50 % by nanochat and llm-foundry, not ours."""
GPU_HOUR = 48 / (8 * 1.65)
"""Dollars for an hour of one H100, at most. Source: nanochat's README, eight of them for 1.65 h below $48."""
FLOPS_PER_TOKEN, TOKENS = 1.66e9, 4.2e9
"""The mini preset's size of model: 6 flops a matrix parameter and attention, 20 tokens a parameter (Chinchilla)."""
BYTES_PER_TOKEN = 3.6
"""A vocabulary of 32,768 on Python, measured on unseen repositories."""
BLOBS_PER_S, API_PER_S = 300, 1200 / 3600
"""The public bucket (some 350 files/s by 16 processes, as python-edu's card says); the web API with a token."""


@dataclass(frozen=True)
class Corpus:
    """A data set: where its numbers come from is said in the page."""

    name: str
    num_files: float
    text_bytes: float
    table_bytes: float
    manifest_rows: float
    in_bucket: bool


@dataclass(frozen=True)
class Machine:
    """What works: all nodes together."""

    name: str
    cores: int
    memory_bytes: float
    gpus: int
    network_bytes_per_s: float
    nodes: int = 1


STACK_V3_PYTHON_TOKENS = 4.9e12 * (191.6e9 / BYTES_PER_TOKEN / 900e9)
CORPORA = (
    Corpus("2019-01-28-popular-3k-python", 800_000, 800_000 * 7_884, 5.3 * 2**30, 15.6e6, in_bucket=True),
    Corpus("Python of The Stack v3", STACK_V3_PYTHON_TOKENS * BYTES_PER_TOKEN / (233e9 / 56.9e6),
           STACK_V3_PYTHON_TOKENS * BYTES_PER_TOKEN, 0, 0, in_bucket=False),
)  # fmt: skip
MACHINES = (
    Machine("one laptop", 8, 16e9, 0, 12.5e6),
    Machine("one GPU server", 16, 128e9, 1, 125e6),
    Machine("ten nodes", 160, 1280e9, 10, 1250e6, 10),
)


def rates() -> dict[str, float]:
    """Work of one core in a second, from the newest results: bytes of text a stage, rows, blobs, tokens, flops."""
    blobs = _json("blobs.json")["many"]["end_to_end"]
    manifest = _json("manifest.json")["runs"][-1]
    shapes = _json("training.json")
    return {
        "manifest rows": manifest["rows"] / manifest["cpu_seconds"],
        "blobs verified and stored": blobs["blobs"] / blobs["cpu_s"],
        "heuristics, all rules": _number("annotate.md", r"^all rules +\S+ +([\d.]+)") * 1e6,
        "personal data and malware": _json("pii.json")["pii_and_malware_megabytes_per_second"] * 1e6,
        "signatures of near duplicates": _json("near_dup.json")["signatures"]["mb_per_cpu_second"]["minicode"] * 1e6,
        "contamination": _json("contamination.json")["mb_per_cpu_second"]["minicode"] * 1e6,
        "encoding": _number("tokens.md", r"^\| minicode \| \S+ \| ([\d.]+) ") * 1e6,
        "packing, tokens": _number("packing.md", r"^\| [\d,]+ \| 175 \|(?:[^|]*\|){4} ([\d,]+) "),
        "training, flops": shapes["peak_gflops"]["bf16"] * 1e9 * shapes["variants"]["minicode bf16"]["peak_fraction"],
    }


TEXT_STAGES = (
    "heuristics, all rules", "personal data and malware", "signatures of near duplicates", "contamination", "encoding",
)  # fmt: skip


def _json(name: str) -> Any:
    return json.loads(max(RESULTS.glob(f"*{name}")).read_text())  # the newest date; a name without one stands alone


def _number(name: str, pattern: str) -> float:
    found = re.search(pattern, (RESULTS / name).read_text(), re.MULTILINE)
    assert found, f"{name}: nothing matches {pattern}"
    return float(found[1].replace(",", ""))


def core_seconds(corpus: Corpus) -> float:
    """Processor time of curation: manifest, blobs, the text stages, packing."""
    rate = rates()
    text = sum(corpus.text_bytes / rate[stage] for stage in TEXT_STAGES)
    tokens = corpus.text_bytes / BYTES_PER_TOKEN
    blobs = corpus.num_files / rate["blobs verified and stored"]
    return corpus.manifest_rows / rate["manifest rows"] + blobs + text + tokens / rate["packing, tokens"]


def fetch_seconds(corpus: Corpus, machine: Machine) -> float:
    """Tables and blobs from the bucket, whose rate is one address's; or the data set's text, stored as ours is."""
    line = (corpus.table_bytes + (0 if corpus.in_bucket else stored_bytes(corpus))) / machine.network_bytes_per_s
    return line + (corpus.num_files / (BLOBS_PER_S * machine.nodes) if corpus.in_bucket else 0)


def stored_bytes(corpus: Corpus) -> float:
    """Text as the blob store keeps it."""
    blobs = _json("blobs.json")["many"]["end_to_end"]
    return float(corpus.text_bytes * blobs["stored_bytes"] / blobs["blob_bytes"])


def disk_bytes(corpus: Corpus) -> float:
    """Tables, blobs, documents (taken to be stored like blobs), and two bytes a token, encoded and in shards."""
    return corpus.table_bytes + 2 * stored_bytes(corpus) + 2 * 2 * corpus.text_bytes / BYTES_PER_TOKEN


def training_seconds(tokens: float, machine: Machine) -> float:
    """Of the mini preset's model: by the GPUs, else by the cores as measured."""
    speed = machine.gpus * GPU_FLOPS * GPU_SHARE or machine.cores * rates()["training, flops"]
    return tokens * FLOPS_PER_TOKEN / speed


def duration(seconds: float) -> str:
    """Two digits in the unit that a person would use."""
    units = (("years", 365 * 86400), ("days", 86400), ("h", 3600), ("min", 60), ("s", 1))
    name, size = next(((n, s) for n, s in units if seconds >= 2 * s), units[-1])
    return f"{_short(seconds / size)} {name}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{float(f'{value:.2g}'):,.0f}"


def tables() -> str:
    """The page's generated part."""
    lines = ["One core in a second:", "", "| work | rate |", "| --- | --- |"]
    for name, rate in rates().items():
        text = name in TEXT_STAGES
        unit = "MB of text" if text else {"training, flops": "Gflop"}.get(name, "")
        scale = 1e6 if text else 1e9 if name == "training, flops" else 1
        lines.append(f"| {name} | {_short(rate / scale)} {unit}".rstrip() + " |")
    for corpus in CORPORA:
        lines += ["", *_table(corpus)]
    return "\n".join(lines) + "\n"


def _table(corpus: Corpus) -> list[str]:
    tokens = corpus.text_bytes / BYTES_PER_TOKEN
    files, text, disk = (
        _short(corpus.num_files / 1e6),
        _short(corpus.text_bytes / 1e9),
        _short(disk_bytes(corpus) / 1e9),
    )
    facts = (
        f"**{corpus.name}**: {files} million files, {text} GB of text, {_short(tokens / 1e9)} billion tokens, "
        f"{disk} GB on disk, {_short(corpus.text_bytes / MAX_PARTITIONS / 1e9)} GB of text in each of "
        f"{MAX_PARTITIONS} partitions."
    )
    head = ["", "| | " + " | ".join(machine.name for machine in MACHINES) + " |", "| --- | --- | --- | --- |"]
    columns = [_column(corpus, machine) for machine in MACHINES]
    return [facts, *head, *(f"| {name} | {' | '.join(column[name] for column in columns)} |" for name in columns[0])]


def _column(corpus: Corpus, machine: Machine) -> dict[str, str]:
    """What one machine takes, by row of the table."""
    tokens = min(corpus.text_bytes / BYTES_PER_TOKEN, TOKENS)
    at_once = processes(corpus, machine)
    fetching, training = fetch_seconds(corpus, machine), training_seconds(tokens, machine)
    curation = core_seconds(corpus) / at_once if at_once else 0
    dollars = GPU_HOUR * machine.gpus * (fetching + curation + training) / 3600
    return {
        "fetching": duration(fetching),
        "the same by the web API": duration(corpus.num_files / API_PER_S) if corpus.in_bucket else "",
        "processes at a time": str(at_once or "a partition doesn't fit"),
        "curation": duration(curation) if at_once else "",
        f"training, {_short(tokens / 1e9)} billion tokens": duration(training),
        "dollars, all of it at the GPUs' price": f"{_short(dollars)}" if dollars else "none",
    }


def processes(corpus: Corpus, machine: Machine) -> int:
    """Partitions that are worked on at once: as cores and partitions allow, and memory, each with its text in it."""
    by_memory = machine.nodes * int(machine.memory_bytes / machine.nodes / (corpus.text_bytes / MAX_PARTITIONS))
    return min(machine.cores, MAX_PARTITIONS, by_memory)


def page() -> str:
    """The page with its tables as they are now."""
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    return f"{before}{MARKS[0]}\n{tables()}\n{MARKS[1]}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/concepts/scale.md")
    if parser.parse_args().write:
        PAGE.write_text(page())
    else:
        print(tables())


if __name__ == "__main__":
    main()
