r"""Near duplicates: speed of signatures and of the whole stage, and quality on labelled pairs, beside their peers.

The peers do what their sources say, in our words: The Stack v2 (lower case, split at every non-word character, 5-grams
as a set of strings, xxh32, 250 affine permutations in numpy, 25 x 10 bands, no verification), datasketch 2.0 fed with
sets of 5-grams of words (256 permutations, bands by its own optimum for 0.7), datatrove (digits to 0, 14 x 8 bands, no
verification; words by `\w+` where it uses spaCy).

    python benchmarks/near_dup.py signatures --megabytes 20
    python benchmarks/near_dup.py quality --files 1500
    python benchmarks/near_dup.py stage --documents 200000
"""

import argparse
import hashlib
import json
import os
import random
import re
import statistics
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import xxhash
from datasketch import MinHash, MinHashLSH
from machine import machine, peak_bytes

from minicode_assets.config import NearDup
from minicode_assets.corpus.annotate import minhash as minhash_annotator
from minicode_assets.corpus.annotate import near_dup as near_dup_annotator
from minicode_assets.corpus.annotate.minhash import comparable_texts
from minicode_assets.corpus.minhash import band_keys, estimate_jaccard, exact_jaccard, shingle_sets, sketch
from minicode_assets.layout import partition_keys
from minicode_assets.parquet import write_table
from minicode_assets.schemas import DOCUMENTS

PARAMS = NearDup()
Edit = Callable[[list[str], random.Random], list[str]]


def read_texts(max_bytes: int, max_files: int = 10**9) -> list[str]:
    """Distinct files of the installed packages and the standard library, every eleventh, so that all kinds occur."""
    roots = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    paths = sorted({path for root in roots for path in Path(root).rglob("*.py")})
    texts: dict[str, None] = {}
    size = 0
    for path in (path for start in range(11) for path in paths[start::11]):
        content = path.read_bytes()
        try:
            texts.setdefault(content.decode())
        except UnicodeDecodeError:
            continue
        size += len(content)
        if size >= max_bytes or len(texts) >= max_files:
            break
    return list(texts)


# The peers.

_GENERATOR = np.random.RandomState(42)
_PRIME = np.uint32(4294967291)
_A = _GENERATOR.randint(1, 4294967291, 250, dtype=np.uint32)
_B = _GENERATOR.randint(0, 4294967291, 250, dtype=np.uint32)
_NON_WORD = re.compile(r"\W")
_WORD = re.compile(r"\w+")
_OUR_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")


def ngrams(tokens: list[str]) -> set[str]:
    return {" ".join(tokens[i : i + 5]) for i in range(len(tokens) - 4)}


def stack_v2_signature(text: str) -> np.ndarray:
    shingles = ngrams(_NON_WORD.split(text.lower()))
    hashes = np.array([xxhash.xxh32_intdigest(shingle.encode()) for shingle in shingles], dtype=np.uint32)
    if not hashes.size:
        return np.zeros(250, dtype=np.uint32)
    return ((hashes[:, None] * _A + _B) % _PRIME).min(axis=0)


def datasketch_signature(text: str) -> np.ndarray:
    sketched = MinHash(num_perm=256)
    sketched.update_batch([s.encode() for s in ngrams(_WORD.findall(text.lower()))])
    return np.asarray(sketched.hashvalues)


def datatrove_signature(text: str) -> np.ndarray:
    sketched = MinHash(num_perm=112)
    words = re.sub(r"\d+", "0", re.sub(r"[^\w\s]", " ", text.lower())).split()
    sketched.update_batch([s.encode() for s in ngrams(words)])
    return np.asarray(sketched.hashvalues)


def our_signatures(texts: list[str]) -> np.ndarray:
    return sketch(
        comparable_texts(pl.Series(texts), PARAMS), shingle_words=PARAMS.shingle_words, tokens=PARAMS.tokens,
        num_permutations=PARAMS.num_permutations, seed=PARAMS.seed,
    )[0]  # fmt: skip


# Speed of signatures.


def measure_signatures(megabytes: int) -> dict[str, object]:
    texts = read_texts(megabytes * 1_000_000)
    size = sum(len(text.encode()) for text in texts) / 1e6
    systems: dict[str, Callable[[list[str]], object]] = {
        "stack_v2": lambda part: [stack_v2_signature(text) for text in part],
        "datasketch": lambda part: [datasketch_signature(text) for text in part],
        "minicode": our_signatures,
    }
    speeds: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(3):
        for name, run in systems.items():
            started = time.process_time()
            run(texts)
            speeds[name].append(size / (time.process_time() - started))
    median = {name: round(statistics.median(values), 1) for name, values in speeds.items()}
    return {
        "files": len(texts),
        "megabytes": round(size, 1),
        "mb_per_cpu_second": median,
        "ratio_to_stack_v2": round(median["minicode"] / median["stack_v2"], 1),
        "ratio_to_datasketch": round(median["minicode"] / median["datasketch"], 1),
    }


# Quality on labelled pairs.


def replace_lines(fraction: float) -> Edit:
    def edit(lines: list[str], rng: random.Random) -> list[str]:
        chosen = set(rng.sample(range(len(lines)), int(fraction * len(lines))))
        return [f"    value_{rng.randrange(10**6)} = call_{rng.randrange(10**6)}(x)" if n in chosen else line
                for n, line in enumerate(lines)]  # fmt: skip

    return edit


def reformat(lines: list[str], rng: random.Random) -> list[str]:
    """Tabs, wrapped argument lists, other blank lines: white space only."""
    text = "\n".join(line for line in lines if line.strip())
    return text.replace("    ", "\t").replace(", ", ",\n\t\t").replace(" = ", "=").splitlines()


def rename(lines: list[str], rng: random.Random) -> list[str]:
    """One name of middling frequency becomes another."""
    names = re.findall(r"\b[a-z_]{4,}\b", "\n".join(lines))
    found = {name: names.count(name) for name in set(names[:400])}
    counts = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    name = counts[len(counts) // 3][0] if counts else "x"
    return re.sub(rf"\b{name}\b", "renamed", "\n".join(lines)).splitlines()


def licence(lines: list[str], rng: random.Random) -> list[str]:
    return [f"# Copyright holder number {rng.randrange(100)}", *HEADER, *lines]


HEADER = [f"# clause {n}: the software is provided as it is and without any kind of warranty {n}" for n in range(40)]
POSITIVE: dict[str, Edit] = {
    "2 % of lines": replace_lines(0.02),
    "5 % of lines": replace_lines(0.05),
    "8 % of lines": replace_lines(0.08),
    "reformatted": reformat,
    "one name changed": rename,
    "licence header added": licence,
}


def labelled(num_files: int) -> Iterator[tuple[str, bool, str, str]]:
    """(kind, whether it is a near duplicate, text, text): edits of real files, and different files that look alike."""
    rng = random.Random(7)
    files = [t for t in read_texts(10**9, 3 * num_files) if 40 <= t.count("\n") <= 2000][:num_files]
    for number, text in enumerate(files):
        kind, edit = list(POSITIVE.items())[number % len(POSITIVE)]
        yield kind, True, text, "\n".join(edit(text.splitlines(), rng))
    for first, second in zip(files[::2], files[1::2], strict=False):
        yield "different files", False, first, second
        start, other = ("\n".join(t.splitlines()[20:45]) for t in (first, second))
        header = "\n".join(HEADER) + "\n"
        yield "different files, one licence header", False, header + start, header + other
        yield "different numbers, one form", False, table(rng), table(rng)


def table(rng: random.Random) -> str:
    """A generated table: the words are those of any other, the numbers are not."""
    rows = "\n".join(f"    ({rng.randrange(9999)}, {rng.random():.4f}, {rng.randrange(99)})," for _ in range(60))
    return f"VALUES = [\n{rows}\n]\n\n\ndef lookup(index):\n    return VALUES[index]\n"


def linked(signatures: np.ndarray, num_bands: int, rows: int) -> np.ndarray:
    """Whether texts 2k and 2k + 1 share a band."""
    keys = band_keys(np.ascontiguousarray(signatures, np.uint32), num_bands=num_bands, rows_per_band=rows)
    return (keys[:, ::2] == keys[:, 1::2]).any(axis=0)


def measure_quality(num_files: int) -> dict[str, object]:
    pairs = list(labelled(num_files))
    texts = [text for _, _, first, second in pairs for text in (first, second)]
    signatures = our_signatures(texts)
    left = np.arange(0, len(texts), 2)
    exact = exact_jaccard(shingle_sets(comparable_texts(pl.Series(texts), PARAMS), shingle_words=5, tokens="words"),
                          left, left + 1)  # fmt: skip
    # datasketch's own optimum of bands and rows at its default threshold weights.
    bands = MinHashLSH(threshold=0.7, num_perm=256)
    verdicts = {
        "stack_v2": linked(np.stack([stack_v2_signature(t) for t in texts]), 25, 10),
        "datatrove": linked(np.stack([datatrove_signature(t) for t in texts]), 14, 8),
        "datasketch": linked(np.stack([datasketch_signature(t) for t in texts]), bands.b, bands.r),
        "minicode": linked(signatures, PARAMS.num_bands, PARAMS.rows_per_band) & (exact >= PARAMS.min_jaccard_fraction),
    }
    truth = np.array([label for _, label, _, _ in pairs])
    kinds = np.array([kind for kind, _, _, _ in pairs])
    report: dict[str, object] = {"pairs": len(pairs), "near_duplicates": int(truth.sum())}
    for name, verdict in verdicts.items():
        hits = int((verdict & truth).sum())
        report[name] = {
            "precision": round(hits / max(1, int(verdict.sum())), 4),
            "recall": round(hits / int(truth.sum()), 4),
            "share_linked": {kind: round(float(verdict[kinds == kind].mean()), 3) for kind in dict.fromkeys(kinds)},
        }
    above = exact >= PARAMS.min_jaccard_fraction
    report["minicode_lsh_recall_of_exact"] = round(float(verdicts["minicode"][above].mean()), 4)
    errors = estimate_jaccard(signatures, left, left + 1) - exact
    report["estimate_bias_rmse"] = [round(float(errors.mean()), 4), round(float(np.sqrt((errors**2).mean())), 4)]
    return report


# The whole stage.


def synthetic(num_documents: int, rng: random.Random, lines: list[str]) -> Iterator[str]:
    """Texts of some 40 real lines; a third are edits of an earlier text."""
    recent: list[list[str]] = []
    for _ in range(num_documents):
        if recent and rng.random() < 1 / 3:
            text = list(recent[rng.randrange(len(recent))])
            for _ in range(rng.choice([0, 1, 1, 2, 4])):
                text[rng.randrange(len(text))] = lines[rng.randrange(len(lines))]
        else:
            starts = [rng.randrange(len(lines) - 8) for _ in range(5)]
            text = [line for start in starts for line in lines[start : start + 8]]
        recent.append(text)
        if len(recent) > 5000:
            recent[rng.randrange(5000)] = recent.pop()
        yield "\n".join(text)


def write_documents(folder: Path, num_documents: int, rng: random.Random, lines: list[str]) -> int:
    texts = list(synthetic(num_documents, rng, lines))
    ids = [hashlib.blake2b(f"{folder.name} {n}".encode(), digest_size=16).hexdigest() for n in range(len(texts))]
    others = {name: dtype for name, dtype in DOCUMENTS.polars.items() if name not in ("document_id", "text")}
    frame = pl.DataFrame({"document_id": ids, "text": texts}).with_columns(
        *(pl.lit(None, dtype).alias(name) for name, dtype in others.items())
    )
    write_table(folder, frame, DOCUMENTS, config_digest="", inputs={})
    return int(frame["text"].str.len_bytes().sum())


class Watch(threading.Thread):
    """The largest anonymous memory of this process while it runs, in MB: what the kernel can't drop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.done = 0, threading.Event()

    def run(self) -> None:
        """Look every 50 ms."""
        while not self.done.wait(0.05):
            line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon"))
            self.peak = max(self.peak, int(line.split()[1]) // 1000)


def measure_edges(root: Path, keys: list[str], num_pairs: int = 2000) -> dict[str, object]:
    """Documents beside the ones that represent them, compared anew on Python sets of strings."""
    found = pl.concat([pl.read_parquet(root / "near_dup" / f"part-{key}.parquet") for key in keys])
    pairs = found.drop_nulls("duplicate_of").sort("document_id").gather_every(max(1, found.height // 3 // num_pairs))
    wanted = pl.concat([pairs["document_id"], pairs["duplicate_of"].rename("document_id")]).unique()
    rows = []
    for key in keys:
        texts = pl.read_parquet(root / "documents" / key / "*.parquet", columns=["document_id", "text"])
        rows += texts.filter(pl.col("document_id").is_in(wanted.implode())).rows()
    texts_by_id = dict(rows)
    names = list(pairs.select("document_id", "duplicate_of").iter_rows())
    flat = pl.Series([texts_by_id[name] for pair in names for name in pair])
    sets = [
        ngrams([w.decode("latin-1") for w in _OUR_WORD.findall(text.lower())])
        for text in comparable_texts(flat, PARAMS)
    ]
    true = np.array([len(a & b) / len(a | b) for a, b in zip(sets[::2], sets[1::2], strict=True)])
    left = np.arange(0, flat.len(), 2)
    errors = estimate_jaccard(our_signatures(flat.to_list()), left, left + 1) - true
    return {
        "pairs_compared_anew": len(true),
        "least_true_jaccard": round(float(true.min()), 4),
        "recorded_jaccard_differs": int((np.abs(true - pairs["jaccard"].to_numpy()) > 1e-6).sum()),
        "estimate_bias_rmse": [round(float(errors.mean()), 4), round(float(np.sqrt((errors**2).mean())), 4)],
    }


def measure_stage(num_documents: int, workspace: str | None) -> dict[str, object]:
    rng, lines = random.Random(3), [x for t in read_texts(40_000_000) for x in t.splitlines() if len(x.strip()) > 3]
    keys = partition_keys(16)
    with tempfile.TemporaryDirectory(dir=workspace) as root_name:
        root = Path(root_name)
        size = sum(write_documents(root / "documents" / key, num_documents // 16, rng, lines) for key in keys)
        del lines
        watch = Watch()
        started, used = time.perf_counter(), time.process_time()
        watch.start()
        for key in keys:
            documents = root / "documents" / key
            minhash_annotator.annotate(documents, root / "minhash" / key, params=PARAMS, config_digest="")
        signed, signed_used = time.perf_counter(), time.process_time()
        artifact = near_dup_annotator.annotate(
            [root / "documents" / key for key in keys], [root / "minhash" / key for key in keys], {}, root / "near_dup",
            partitions=keys, params=NearDup(keep_order=()), config_digest="",
        )  # fmt: skip
        ended, ended_used = time.perf_counter(), time.process_time()
        watch.done.set()
        resident = peak_bytes() // 1_000_000
        edges = measure_edges(root, keys)
    wanted = ("num_duplicates", "num_candidates", "num_likely", "num_verified", "num_confirmed", "num_crowded")
    return {
        "documents": num_documents,
        "megabytes": round(size / 1e6),
        "minhash_s": round(signed - started, 1),
        "minhash_cpu_s": round(signed_used - used, 1),
        "near_dup_s": round(ended - signed, 1),
        "near_dup_cpu_s": round(ended_used - signed_used, 1),
        "documents_per_s": round(num_documents / (ended - started)),
        "peak_anonymous_mb": watch.peak,
        "peak_resident_mb": resident,
        **{name: artifact.metadata[name] for name in wanted},
        "edge_precision": round(artifact.metadata["edge_precision_fraction"], 4),
        "largest_cluster": artifact.metadata["largest_cluster"],
        "documents_in_clusters_over_16": sum(
            int(size) * count for size, count in artifact.metadata["cluster_sizes"].items() if int(size) > 16
        ),
        "edges": edges,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["signatures", "quality", "stage"])
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--files", type=int, default=1500)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--workspace", help="folder for the synthetic documents; the system's temporary one by default")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    if arguments.what == "signatures":
        report = measure_signatures(arguments.megabytes)
    elif arguments.what == "quality":
        report = measure_quality(arguments.files)
    else:
        report = measure_stage(arguments.documents, arguments.workspace)
    print(json.dumps({"benchmark": f"near_dup {arguments.what}", "machine": machine(), **report}, indent=1))


if __name__ == "__main__":
    main()
