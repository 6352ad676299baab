"""The trainer's options by measurement: bytes per token on held-out origins, and bits per byte of a small fixed model.

Text: the installed packages and the standard library's top folders, an origin each; every fold holds out a fifth of the
origins, and the sample is balanced by origin as the pipeline balances it. Bytes per token are given over all held-out
text and as the median origin, since a few origins with tables of rare characters can decide the first. A byte-level BPE
(Hugging Face tokenizers) of the same size is trained on the same text. Bits per byte (`--steps`): the tiny preset's
network, the same number of tokens and so the same compute for each tokenizer, scored on the same held-out text.

    python benchmarks/tokenizer_options.py --megabytes 20 --vocab 4096 --folds 3
    python benchmarks/tokenizer_options.py --megabytes 20 --vocab 4096 --folds 1 --steps 600 --seeds 2 --only ...
"""

import argparse
import dataclasses
import math
import re
import statistics
import sys
import sysconfig
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tokens import begin, train_byte_level, train_ours

sys.path.insert(0, str(Path(__file__).parents[1]))

from minicode_assets.tokens.train import balanced

Encode = Callable[[str], list[int]]
OPTIONS: dict[str, dict[str, object]] = {
    "as configured": {},
    "split_by_unicode_script = false": {"split_by_unicode_script": False},
    "whitespace_only_pieces = false": {"whitespace_only_pieces": False},
    **{f"max_piece_length = {n}": {"max_piece_length": n} for n in (8, 12, 24, 32)},
    **{f"character_coverage = {c}": {"character_coverage": c} for c in (0.995, 0.998, 0.999, 0.9999, 0.99995)},
}
SAMPLES = {"a quarter of the sample": 4, "a sixteenth of the sample": 16}
BYTE_LEVEL = "byte-level BPE (tokenizers)"
NO_DOUBLES = "95 pieces more"
"""What it costs that printable ASCII has a piece beside the token of its byte."""
INDENTED = "line ends joined with the indentation behind"
"""Not to be had in the pipeline: indentation is written as another character, which SentencePiece may join."""
CUT_ALIKE = "byte-level BPE, cut where our pieces end"
"""Before each run of spaces, and between letters, digits and the rest; but a run may join the word behind it."""
_ALIKE = r" *\p{L}+| *[^\p{L}\p{N} ]+|\p{N}| +"
NAMES = [*OPTIONS, *SAMPLES, NO_DOUBLES, INDENTED, BYTE_LEVEL, CUT_ALIKE]
SEQ_LEN, BATCH = 512, 8


def read_origins(max_file_bytes: int = 1_000_000) -> dict[str, list[str]]:
    """Texts of each origin: an installed package, or a top folder of the standard library."""
    paths = sysconfig.get_paths()
    origins: dict[str, list[str]] = defaultdict(list)
    for root in (Path(paths["purelib"]), Path(paths["stdlib"])):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).parts
            if parts[0] == "site-packages" or not 0 < path.stat().st_size <= max_file_bytes:
                continue
            try:
                origins[parts[0] if len(parts) > 1 else "files"].append(path.read_bytes().decode())
            except UnicodeDecodeError:
                continue
    return origins


def num_bytes(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def capped(origins: dict[str, list[str]], total: int) -> dict[str, list[str]]:
    """Whole files of `total` bytes, drawn as the pipeline draws them."""
    files = [(name, text) for name, texts in origins.items() for text in texts]
    numbers = {name: number for number, name in enumerate(origins)}
    chosen = balanced(
        np.array([numbers[name] for name, _ in files]),
        np.array([len(text.encode()) for _, text in files]),
        np.array([zlib.crc32(text.encode()) for _, text in files], float),
        total,
    )
    result: dict[str, list[str]] = defaultdict(list)
    for place in np.flatnonzero(chosen):
        result[files[place][0]].append(files[place][1])
    return result


def flat(origins: dict[str, list[str]]) -> list[str]:
    return [text for name in sorted(origins) for text in origins[name]]


def trained(name: str, train: dict[str, list[str]], vocab_size: int) -> tuple[Encode, np.ndarray]:
    """An encoder, and which ids are bytes without a piece of their own (fallback)."""
    if name in (BYTE_LEVEL, CUT_ALIKE):
        theirs = train_byte_level(flat(train), vocab_size, _ALIKE if name == CUT_ALIKE else "")
        return lambda text: theirs.encode(text).ids, np.zeros(vocab_size, bool)
    if name in SAMPLES:
        train = capped(train, sum(map(num_bytes, train.values())) // SAMPLES[name])
    change = indented if name == INDENTED else str
    vocab_size += 95 * (name == NO_DOUBLES)
    ours = train_ours([change(text) for text in flat(train)], vocab_size=vocab_size, **OPTIONS.get(name, {}))
    fallback = np.array([kind == "byte" for _, _, kind in ours.pieces])
    if name == INDENTED:
        return lambda text: ours.encode(indented(text)).tolist(), fallback
    return lambda text: ours.encode(text).tolist(), fallback


def indented(text: str) -> str:
    return re.sub("(?<=\n) +", lambda spaces: "\x01" * len(spaces[0]), text)


def measure(encode: Encode, fallback: np.ndarray, held: dict[str, list[str]]) -> tuple[float, float, float]:
    """Bytes per token over all text, of the median origin, and the share of fallback tokens."""
    ratios, total, used = [], 0, np.zeros(len(fallback), np.int64)
    for texts in held.values():
        ids = [number for text in texts for number in encode(text)]
        ratios.append(num_bytes(texts) / len(ids))
        total += num_bytes(texts)
        used += np.bincount(ids, minlength=len(fallback))
    return total / int(used.sum()), statistics.median(ratios), used[fallback].sum() / used.sum()


def compare(arguments: argparse.Namespace, origins: dict[str, list[str]]) -> None:
    results: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for fold in range(arguments.folds):
        train, held = split(origins, fold, arguments.megabytes)
        print(
            f"fold {fold}: {len(train)} origins, {num_bytes(flat(train)) / 1e6:.1f} MB to train on; {len(held)} "
            f"origins, {num_bytes(flat(held)) / 1e6:.1f} MB held out",
            flush=True,
        )
        for name in arguments.only or NAMES:
            start = time.process_time()
            encode, fallback = trained(name, train, arguments.vocab)
            seconds = time.process_time() - start
            results[name].append((*measure(encode, fallback, held), seconds))
    print(
        f"\n| vocabulary {arguments.vocab} | bytes/token, all | against the first | bytes/token, median origin | "
        "against the first | byte tokens | CPU s to train |\n|---|---|---|---|---|---|---|"
    )
    base = None
    for name, rows in results.items():
        means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
        base = base or means
        print(
            f"| {name} | {means[0]:.4f} | {means[0] / base[0] - 1:+.2%} | {means[1]:.4f} "
            f"| {means[1] / base[1] - 1:+.2%} | {means[2]:.3%} | {means[3]:.1f} |"
        )


def split(
    origins: dict[str, list[str]], fold: int, megabytes: int
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    held = {name for name in origins if zlib.crc32(name.encode()) % 5 == fold}
    parts = [{name: origins[name] for name in origins if (name in held) == is_held} for is_held in (False, True)]
    return capped(parts[0], megabytes * 1_000_000), capped(parts[1], megabytes * 250_000)


def bits_per_byte(ids: list[list[int]], held: list[list[int]], held_bytes: int, steps: int, seed: int) -> float:
    """Train the tiny preset's network on windows of the text and score the held-out text."""
    import torch

    from minicode_assets.config import load
    from minicode_model.model import initialise
    from minicode_model.training.optim import make_optimizer
    from minicode_model.training.schedule import learning_rate_at

    torch.set_num_threads(1)
    params = dataclasses.replace(load("tiny").checkpoint, max_steps=steps)
    network = initialise(load("tiny").model, seed)
    optimizer = make_optimizer(network, params)
    rows = windows(ids, seed)
    segments = torch.zeros(BATCH, SEQ_LEN, dtype=torch.int32)
    for step in range(steps):
        batch = rows[np.arange(step * BATCH, (step + 1) * BATCH) % len(rows)]
        loss, count = network.loss(torch.from_numpy(batch), segments)
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), params.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, params)
        optimizer.step()
        optimizer.zero_grad()
    rows, total, counted = windows(held, None), 0.0, 0
    with torch.no_grad():
        for first in range(0, len(rows) - BATCH + 1, BATCH):
            loss, count = network.loss(torch.from_numpy(rows[first : first + BATCH]), segments)
            total, counted = total + float(loss), counted + int(count)
    return total / math.log(2) / counted * sum(map(len, held)) / held_bytes


def windows(texts: list[list[int]], seed: int | None) -> np.ndarray:
    """The texts end to end, each behind <|endoftext|>, in rows; in random order where there is a seed."""
    stream = np.array([number for ids in texts for number in (0, *ids)], np.int64)
    rows = stream[: len(stream) // SEQ_LEN * SEQ_LEN].reshape(-1, SEQ_LEN)
    return rows if seed is None else rows[np.random.default_rng(seed).permutation(len(rows))]


def compare_models(arguments: argparse.Namespace, origins: dict[str, list[str]]) -> None:
    """Bits per byte, variant by variant and seed by seed; the loss of a token is averaged over all, ends included."""
    train, held = split(origins, 0, arguments.megabytes)
    texts = capped(held, arguments.score_bytes)
    print(f"\n| {arguments.steps} steps of {BATCH} x {SEQ_LEN} tokens | bits per byte | by seed |\n|---|---|---|")
    for name in arguments.only or NAMES:
        encode, _ = trained(name, train, arguments.vocab)
        ids, scored = ([encode(text) for text in flat(part)] for part in (train, texts))
        found = [
            bits_per_byte(ids, scored, num_bytes(flat(texts)), arguments.steps, seed) for seed in range(arguments.seeds)
        ]
        print(f"| {name} | {statistics.fmean(found):.4f} | {' '.join(f'{x:.4f}' for x in found)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=20, help="training text; a quarter as much is held out")
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--folds", type=int, default=3, choices=range(1, 6))
    parser.add_argument("--steps", type=int, default=0, help="train a small model on each so long, instead")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--score-bytes", type=int, default=400_000)
    parser.add_argument("--only", nargs="+", choices=NAMES)
    arguments = parser.parse_args()
    begin()
    origins = read_origins()
    if arguments.steps:
        compare_models(arguments, origins)
    else:
        compare(arguments, origins)


if __name__ == "__main__":
    main()
