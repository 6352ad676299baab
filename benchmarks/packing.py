"""Packing: padding, cuts and discarded tokens beside concatenate-and-chunk and crop packing; speed and memory by size.

Text: the installed packages and the standard library; sizes beyond it repeat the packages under other names, so that
every document has an id, an order and fill-in-the-middle cuts of its own. The stage runs in a process of its own; it
and its workers are looked at fifty times a second, for memory that is theirs (anonymous) and pages of files. So is the
training of a tokenizer on a sample of fixed size. Sizes are millions of tokens. On two quiet cores 10 and 50 take some
2 minutes together, 500 some 12, most of it writing the corpus.

    python benchmarks/packing.py --megabytes 40 > benchmarks/results/packing.md
    python benchmarks/packing.py --megabytes 40 --no-compare --modes
    python benchmarks/packing.py --megabytes 20 --no-compare --scale 10 50 500
    python benchmarks/packing.py --samples 5 20 40
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import machine_line

from minicode_assets.config import EncodedDocuments, TokenShards
from minicode_assets.config import Tokenizer as TokenizerParams
from minicode_assets.parquet import write_parquet
from minicode_assets.schemas import CORPUS
from minicode_assets.tokens.encoded import encode_corpus
from minicode_assets.tokens.train import train_tokenizer
from minicode_assets.tokens.write import write_token_shards
from minicode_model.artifact import write_artifact

VOCAB_SIZE = 32_768
PART_BYTES = 64_000_000
SOURCES = ("swh", "swh", "swh", "documentation", "issues")
"""What a package's files are said to be, by its name, where several sources are packed."""
MODES: dict[str, dict[str, object]] = {
    "as configured": {},
    "nothing rearranged": {"fim_rate": 0.0},
    "every part rearranged": {"fim_rate": 1.0, "fim_file_rate": 1.0},
    "middles from the syntax": {"fim_syntax_rate": 1.0},
    "each file by itself": {"repository_context": False},
    "each by itself, rearranged": {"repository_context": False, "fim_rate": 1.0},
    "no spaces": {"corpus": "no_spaces"},
    "no spaces, every part rearranged": {"corpus": "no_spaces", "fim_rate": 1.0, "fim_file_rate": 1.0},
    "three sources": {"corpus": "several"},
    "three sources, weighted": {
        "corpus": "several", "mixing": "target", "target_shares": ["swh=0.5", "documentation=0.5"],
    },
    "three sources, 2.5 epochs, every part rearranged": {
        "corpus": "several", "epochs": ["swh=2.5", "issues=0.5"], "fim_rate": 1.0, "fim_file_rate": 1.0,
    },
}  # fmt: skip
BYTES_PER_TOKEN = 3.5
"""Of the text at VOCAB_SIZE, roughly: how much text a number of tokens takes."""
SAMPLE_BYTES = 20_000_000
CROP_BUFFER = 1000
"""nanochat's loader chooses among so many documents."""


def python_files() -> Iterator[tuple[str, str, str]]:
    """(package, path, text) of what is installed, package by package."""
    paths = sysconfig.get_paths()
    for root in (Path(paths["purelib"]), Path(paths["stdlib"])):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).parts
            if parts[0] == "site-packages" or not 100 <= path.stat().st_size <= 1_000_000:
                continue
            try:
                yield parts[0], "/".join(parts), path.read_bytes().decode()
            except UnicodeDecodeError:
                continue


def corpus_rows(max_bytes: int, sources: Sequence[str], without: str) -> Iterator[dict[str, object]]:
    size = copy = 0
    while True:
        for package, path, text in python_files():
            text = text.replace(without, "") if without else text
            raw = text.encode()
            origin = f"pkg:pypi/{copy:04}-{package}@1"
            sha1_git = hashlib.sha1(b"blob %d\0" % len(raw) + raw).hexdigest()
            swhid = f"swh:1:cnt:{sha1_git};origin={origin};path=/{path}"
            yield {
                "document_id": hashlib.blake2b(swhid.encode(), digest_size=16).hexdigest(),
                "source": sources[zlib.crc32(package.encode()) % len(sources)],
                "swhid": swhid,
                "origin_url": origin,
                "path": path,
                "license_expression": "MIT",
                "license_type": "permissive",
                "license_evidence": "LICENSE",
                "text_sha256": hashlib.sha256(raw).digest(),
                "length_bytes": len(raw),
                "text": text,
            }
            size += len(raw)
            if size >= max_bytes:
                return
        copy += 1


def write_corpus(folder: Path, max_bytes: int, sources: Sequence[str] = ("swh",), without: str = "") -> None:
    with write_artifact(folder, name="corpus", config_digest="", inputs={}) as writer:
        for split in ("train", "validation"):
            (writer.path / split).mkdir()
        rows: list[dict[str, object]] = []
        size = parts = 0
        for row in corpus_rows(max_bytes, sources, without):
            rows.append(row)
            size += len(str(row["text"]))
            if size >= PART_BYTES:
                write_part(rows, writer.path / "train" / f"part-{parts:05d}.parquet")
                rows, size, parts = [], 0, parts + 1
        write_part(rows, writer.path / "train" / f"part-{parts:05d}.parquet")
        for part in range(parts + 1):
            write_part(rows[:1] if part == 0 else [], writer.path / "validation" / f"part-{part:05d}.parquet")


def write_part(rows: list[dict[str, object]], path: Path) -> None:
    write_parquet(pl.DataFrame(rows, schema=CORPUS.polars), path, CORPUS)


def run_stage(home: Path, **changes: object) -> dict[str, object]:
    """Run the stage in a process of its own; figures of the training split, seconds, and peak memory."""
    command = [sys.executable, __file__, "--stage", str(home), "--changes", json.dumps(changes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peaks = watch(process)
        output = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return json.loads(output.splitlines()[-1]) | peaks


def watch(process: subprocess.Popen[str]) -> dict[str, float]:
    """The most anonymous and file-backed memory that the process, and any of its workers, was seen with. MB."""
    peaks = dict.fromkeys(("anonymous_mb", "file_mb", "worker_anonymous_mb", "worker_file_mb"), 0.0)
    while process.poll() is None:
        for pid in descendants(process.pid):
            role = "" if pid == process.pid else "worker_"
            for name, found in zip(("anonymous_mb", "file_mb"), resident_mb(pid), strict=True):
                peaks[role + name] = max(peaks[role + name], found)
        time.sleep(0.02)
    return peaks


def descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def resident_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process: anonymous, and pages of files (which the kernel can drop). MB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    kb = {
        name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if name.startswith("Rss")
    }
    return int(kb.get("RssAnon", 0)) / 1000, int(kb.get("RssFile", 0)) / 1000


def train(home: Path, sample_bytes: int) -> None:
    """A tokenizer on a sample of so many bytes, in this process."""
    start = time.perf_counter()
    params = TokenizerParams(sample_bytes=sample_bytes)
    train_tokenizer(home / "corpus", home / "sampled_tokenizer", params=params, config_digest="")
    print(json.dumps({"seconds": time.perf_counter() - start}))


def stage(home: Path, changes: dict[str, object]) -> None:
    num_threads = changes.get("num_workers", 1)
    changes = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
    params = dataclasses.replace(TokenShards(), **changes)
    start = time.perf_counter()
    encoded = encode(home, num_threads) if num_threads > 1 or not (home / "encoded").exists() else encoded_parts(home)
    encoded_at = time.perf_counter()
    artifact = write_token_shards(encoded, home / "tokenizer", home / "token_shards", params=params, config_digest="")
    seconds = time.perf_counter() - start
    cpu = os.times()
    lengths = document_lengths(artifact.path)
    print(
        json.dumps(
            {
                **artifact.metadata["train"],
                "seconds": seconds,
                "encode_seconds": encoded_at - start,
                "cpu_seconds": cpu.user + cpu.system + cpu.children_user + cpu.children_system,
                "crop_discarded": crop_discards(lengths, params.seq_len) if changes.get("num_workers") == 1 else None,
            }
        )
    )


def encoded_parts(home: Path) -> list[Path]:
    return [home / "encoded" / path.stem for path in sorted((home / "corpus" / "train").glob("*.parquet"))]


def encode(home: Path, num_threads: int) -> list[Path]:
    params = EncodedDocuments(num_threads=num_threads)
    return encode_corpus(home / "corpus", home / "tokenizer", home / "encoded", params=params)


def document_lengths(folder: Path) -> list[int]:
    documents = pl.read_parquet(folder / "train" / "documents.parquet")
    return documents.group_by("document", maintain_order=True).agg(pl.col("num_tokens").sum())["num_tokens"].to_list()


def crop_discards(lengths: list[int], seq_len: int) -> float:
    """Share of tokens that BOS-aligned best-fit cropping throws away, on documents in random order.

    Each row takes the longest document of the buffer that still fits; when none does, the shortest is cropped to
    fill the row and its rest is dropped.
    """
    order = np.random.default_rng(0).permutation(len(lengths)).tolist()
    waiting = [lengths[i] for i in order]
    buffer: list[int] = []
    kept = 0
    while waiting or buffer:
        room = seq_len
        while room and (waiting or buffer):
            while waiting and len(buffer) < CROP_BUFFER:
                buffer.append(waiting.pop())
            fitting = [length for length in buffer if length <= room]
            chosen = max(fitting) if fitting else min(buffer)
            buffer.remove(chosen)
            kept += min(chosen, room)
            room -= min(chosen, room)
    return 1 - kept / sum(lengths)


def compare(home: Path, seq_lens: list[int]) -> None:
    print(
        "\n| seq_len | packing | padding | documents | longer than seq_len | cut | cut / unavoidable | "
        "files longer, cut | files cut / unavoidable | cuts at line ends | tokens |"
        "\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for seq_len in seq_lens:
        for context in (False, True):
            for packing in ("best_fit", "concatenate"):
                figures = run_stage(home, seq_len=seq_len, packing=packing, repository_context=context, num_workers=1)
                unavoidable = max(figures["num_long_documents"], 1)
                lines = f"{figures['num_line_cuts'] / max(figures['num_cuts'], 1):.0%}" if packing == "best_fit" else ""
                unit = "repositories" if context else "files"
                long, cut = figures["num_long_files"], figures["num_cut_files"]
                files = f"{long}, {cut} | {cut / max(long, 1):.3f}" if packing == "best_fit" else " | "
                print(
                    f"| {seq_len} | {packing}, {unit} | {figures['padding_fraction']:.4%} | {figures['num_documents']} "
                    f"| {figures['num_long_documents']} | {figures['num_cut_documents']} "
                    f"| {figures['num_cut_documents'] / unavoidable:.3f} | {files} | {lines} "
                    f"| {figures['num_tokens']} |",
                    flush=True,
                )
        figures = run_stage(home, seq_len=seq_len, repository_context=False, num_workers=1)
        print(f"| {seq_len} | crop (nanochat), files | discards {figures['crop_discarded']:.1%} | | | | | | | | |")


def compare_modes(home: Path, num_bytes: int, seq_lens: list[int]) -> None:
    """Padding and cuts of every way to pack, on the same text."""
    print(
        "\n| mode | seq_len | padding | files longer than seq_len | cut | cut / unavoidable | tokens |\n"
        + "|---" * 7
        + "|"
    )
    write_corpus(home / "several" / "corpus", num_bytes, SOURCES)
    write_corpus(home / "no_spaces" / "corpus", num_bytes, without=" ")
    for name in ("several", "no_spaces"):
        (home / name / "tokenizer").symlink_to(home / "tokenizer")
    for name, changes in MODES.items():
        changes = {**changes, "num_workers": 1}
        where = home / str(changes.pop("corpus", "."))
        for seq_len in seq_lens:
            figures = run_stage(where, **changes, seq_len=seq_len)
            long, cut = figures["num_long_files"], figures["num_cut_files"]
            print(
                f"| {name} | {seq_len} | {figures['padding_fraction']:.4%} | {long} | {cut} | {cut / max(long, 1):.3f} "
                f"| {figures['num_tokens']} |",
                flush=True,
            )


def scale(home: Path, millions: list[float], num_workers: int) -> None:
    print(
        "\n| tokens | MB | s | encoding s | tokens/s | CPU s | tokens/CPU s | files | peak MB anonymous + of files "
        f"| a worker's | padding | tokenizer on {SAMPLE_BYTES // 1_000_000} MB of it: s | peak MB |\n{'|---' * 13}|"
    )
    speeds = []
    for size in millions:
        num_bytes = int(size * 1_000_000 * BYTES_PER_TOKEN)
        write_corpus(home / "corpus", num_bytes)
        trained = run_stage(home, train=SAMPLE_BYTES)
        figures = run_stage(home, seq_len=2048, num_workers=num_workers)
        tokens, seconds, cpu = figures["num_tokens"], figures["seconds"], figures["cpu_seconds"]
        speeds.append((tokens / seconds, tokens / cpu))
        print(
            f"| {tokens:,} | {num_bytes / 1e6:.0f} | {seconds:.1f} "
            f"| {figures['encode_seconds']:.1f} "
            f"| {tokens / seconds:,.0f} | {cpu:.1f} | {tokens / cpu:,.0f} | {figures['num_files']:,} "
            f"| {figures['anonymous_mb']:.0f} + {figures['file_mb']:.0f} "
            f"| {figures['worker_anonymous_mb']:.0f} + {figures['worker_file_mb']:.0f} "
            f"| {figures['padding_fraction']:.4%} | {trained['seconds']:.1f} "
            f"| {trained['anonymous_mb']:.0f} + {trained['file_mb']:.0f} |",
            flush=True,
        )
    by_clock, by_cpu = (max(values) / min(values) for values in zip(*speeds, strict=True))
    print(f"\nlargest speed / smallest: {by_clock:.2f} by the clock, {by_cpu:.2f} by processor time (linear is 1)")


def train_samples(home: Path, megabytes: list[float]) -> None:
    """Peak memory of tokenizers on samples of corpora that are ten times as large."""
    print("\n| sample MB | corpus MB | s | peak MB anonymous + of files |\n|---|---|---|---|")
    for size in megabytes:
        write_corpus(home / "corpus", int(10 * size * 1e6))
        figures = run_stage(home, train=int(size * 1e6))
        memory = f"{figures['anonymous_mb']:.0f} + {figures['file_mb']:.0f}"
        print(f"| {size:g} | {10 * size:g} | {figures['seconds']:.1f} | {memory} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--seq-lens", type=int, nargs="*", default=[512, 2048, 4096])
    parser.add_argument("--scale", type=float, nargs="*", default=[], help="speed and memory at so many M tokens")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--modes", action="store_true", help="also every way to pack")
    parser.add_argument("--samples", type=float, nargs="*", default=[], help="memory to train on so many MB of text")
    parser.add_argument("--no-compare", action="store_true", help="only the scale")
    parser.add_argument("--stage", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--changes", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage and "train" in arguments.changes:
        train(arguments.stage, arguments.changes["train"])
        return
    if arguments.stage:
        stage(arguments.stage, arguments.changes)
        return
    print(machine_line() + "\n")
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        if arguments.samples:
            train_samples(home, arguments.samples)
            return
        write_corpus(home / "corpus", arguments.megabytes * 1_000_000)
        params = TokenizerParams(vocab_size=VOCAB_SIZE, sample_bytes=arguments.megabytes * 1_000_000)
        train_tokenizer(home / "corpus", home / "tokenizer", params=params, config_digest="")
        if not arguments.no_compare:
            compare(home, arguments.seq_lens)
        if arguments.modes:
            compare_modes(home, arguments.megabytes * 1_000_000, arguments.seq_lens)
        if arguments.scale:
            scale(home, arguments.scale, arguments.workers)


if __name__ == "__main__":
    main()
