"""How much of a GPU training uses: tokens a second and MFU of a preset's shape, over batch sizes, compiled and not.

The real training loop (minicode_model.training.run.fit) on random tokens in documents of random length, so the figure
has clipping, optimizer, logging and data loading in it. The first half of the steps warms up and isn't counted. MFU is
given against the measured peak of a large matrix product on the same device, and against a published peak.

    python benchmarks/mfu.py --preset mini --out mfu.json
    python benchmarks/mfu.py --preset tiny --batches 2 --steps 6 --allow-cpu     # does the script work?

Operations of a token: minicode_model.training.throughput.operations_per_token.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minicode_assets.config import load
from minicode_model.config import Checkpoint, Model
from minicode_model.model import initialise
from minicode_model.training.run import fit
from minicode_model.training.throughput import measure_peak, operations_per_token

PUBLISHED_PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Dense bf16 operations a second of the SXM cards. Source: NVIDIA's data sheets."""
MEAN_DOCUMENT_TOKENS = 700


@dataclasses.dataclass
class RandomText:
    """Packed sequences of random tokens; what training needs of a split."""

    model: Model
    seq_len: int
    num_sequences: int = 4096

    def sequence(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """As PackedSplit.sequence."""
        random = np.random.default_rng(index)
        starts = random.random(self.seq_len) < 1 / MEAN_DOCUMENT_TOKENS
        tokens = random.integers(32, self.model.vocab_size, self.seq_len, dtype=np.uint16)
        return tokens, np.cumsum(starts).astype(np.int32)

    def learnt(self, index: int) -> None:
        """Everything is learnt."""


def measure(model: Model, params: Checkpoint, seq_len: int) -> dict[str, Any]:
    """Train a few steps; tokens a second of the second half."""
    marks: list[tuple[float, float, float]] = []
    split: Any = RandomText(model, seq_len)
    on_cuda = torch.cuda.is_available()
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        fit(
            initialise(model, 0),
            split,
            split,
            Path(folder),
            params=params,
            on_progress=lambda p: marks.append((time.perf_counter(), p["tokens"], p["data_wait_fraction"])),
        )
    middle = len(marks) // 2
    (start, before, _), (end, after, waiting) = marks[middle], marks[-1]
    return {
        "tokens_per_second": (after - before) / (end - start),
        "data_wait_fraction": waiting,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if on_cuda else None,
    }


def run(options: argparse.Namespace) -> dict[str, Any]:
    config = load(options.preset)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    peak = measure_peak(device, torch.bfloat16)
    published = next((value for card, value in PUBLISHED_PEAK.items() if card in name), None)
    operations, rows = operations_per_token(config.model, config.token_shards.seq_len), []
    for compiled in (False, True) if not options.no_compile else (False,):
        for batch in options.batches:
            params = dataclasses.replace(
                config.checkpoint, max_steps=options.steps, batch_size=batch, compile=compiled, log_every_steps=1,
                gradient_accumulation_steps=1, checkpoint_every_steps=10**6, validate_every_steps=10**6,
                validation_sequences=1,
            )  # fmt: skip
            row: dict[str, Any] = {"batch": batch, "compiled": compiled}
            try:
                row |= measure(config.model, params, config.token_shards.seq_len)
                used = row["tokens_per_second"] * operations
                row |= {"mfu": used / peak, "mfu_of_published_peak": used / published if published else None}
            except torch.cuda.OutOfMemoryError:
                row["out_of_memory"] = True
                torch.cuda.empty_cache()
            print(row, flush=True)
            rows.append(row)
    return {
        "device": name,
        "torch": torch.__version__,
        "preset": options.preset,
        "measured_peak_tflops": peak / 1e12,
        "published_peak_tflops": published and published / 1e12,
        "operations_per_token": operations,
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--allow-cpu", action="store_true", help="to see that the script works; says nothing of speed")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    if not torch.cuda.is_available() and not options.allow_cpu:
        print("no CUDA device here: nothing measured")
        return
    result = run(options)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
