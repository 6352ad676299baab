"""What each choice in data and training is worth: bits per byte on held-out origins, some seeds a variant.

Every variant trains the same shape on the same corpus for the same number of steps of the same size, and differs from
`minicode` (the tiny preset: fill-in-the-middle, document mask, best-fit packing, Muon) in what its name says. All are
scored by the same code on the same held-out documents. A run that was killed goes on from its newest state, a finished
one isn't repeated, and the table is of what is finished; so the command may run at low priority for hours.

    nice -n 19 python benchmarks/ablation.py --corpus data/corpus --tokenizer data/tokenizer --work /tmp/ablation
    python benchmarks/ablation.py ... --nanogpt nanoGPT/model.py    # also nanoGPT's published model code

Seeds move the initial weights and the order of the sequences; the shards of a variant are the same for all its seeds.
"""

import argparse
import dataclasses
import hashlib
import json
import math
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from machine import machine
from torch import Tensor, nn
from training import nanogpt_network

from minicode_assets.config import load
from minicode_assets.tokens.encoded import encode_corpus
from minicode_assets.tokens.write import write_token_shards
from minicode_model.artifact import MANIFEST, digest_of, write_file
from minicode_model.config import Checkpoint, Model
from minicode_model.evaluation.bits_per_byte import bits_per_byte, score_documents
from minicode_model.evaluation.run import choose_documents
from minicode_model.model import initialise
from minicode_model.shards import open_split
from minicode_model.tokenizer import Tokenizer
from minicode_model.training.run import fit

ADAMW = {"optimizer": "adamw"}
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "minicode": ({}, {}),
    "no fill-in-the-middle": ({"fim_rate": 0.0}, {}),
    "no document mask": ({}, {"document_mask": False}),
    "chunked packing": ({"packing": "concatenate"}, {}),
    "AdamW 6e-3": ({}, ADAMW),
    "AdamW 3e-3": ({}, ADAMW | {"learning_rate": 3e-3}),
    "nanoGPT, AdamW 6e-3": ({"fim_rate": 0.0}, ADAMW | {"document_mask": False}),
    "nanoGPT, AdamW 3e-3": ({"fim_rate": 0.0}, ADAMW | {"document_mask": False, "learning_rate": 3e-3}),
    "our architecture so trained, 6e-3": ({"fim_rate": 0.0}, ADAMW | {"document_mask": False}),
    "our architecture so trained, 3e-3": (
        {"fim_rate": 0.0},
        ADAMW | {"document_mask": False, "learning_rate": 3e-3},
    ),
}
"""Changes to [token_shards] and to [checkpoint]; those whose name begins with nanoGPT train its network."""


class NanoGPT(nn.Module):
    """NanoGPT's network behind the face that our training and scoring know; it sees a sequence as one text."""

    def __init__(self, path: Path, config: Model, seed: int) -> None:
        super().__init__()
        self.config = config
        self.model = _NanoGPTDecoder(nanogpt_network(path, config, seed))

    @property
    def output_weight(self) -> Tensor:
        """NanoGPT ties it to the embedding, as we do."""
        return self.model.network.lm_head.weight

    def loss(self, tokens_BT: Tensor, segments_BT: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """As Starcoder2.loss: summed, and how many targets there are."""
        targets = tokens_BT[:, 1:].masked_fill(~counts, -1)
        mean = self.model.network(tokens_BT[:, :-1].contiguous(), targets.contiguous())[1]
        return mean * counts.sum(), counts.sum()


class _NanoGPTDecoder(nn.Module):
    gradient_checkpointing = False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens_BT: Tensor, *_: Any) -> Tensor:
        parts = self.network.transformer
        hidden = parts.wte(tokens_BT) + parts.wpe(torch.arange(tokens_BT.shape[1]))
        for block in parts.h:
            hidden = block(hidden)
        return parts.ln_f(hidden)


def shards_of(options: argparse.Namespace, changes: dict[str, Any]) -> Path:
    """The shards with these changes to the preset, made if they aren't there yet."""
    params = dataclasses.replace(load("tiny").token_shards, **changes)
    folder = options.work / "shards" / digest_of(dataclasses.asdict(params))[:12]
    if not (folder / MANIFEST).exists():
        encoded = encode_corpus(
            options.corpus, options.tokenizer, options.work / "encoded", params=load("tiny").encoded_documents
        )
        write_token_shards(encoded, options.tokenizer, folder, params=params, config_digest="")
    return folder


def training_params(options: argparse.Namespace, changes: dict[str, Any], seed: int) -> Checkpoint:
    base = dataclasses.replace(load("tiny").checkpoint, **changes)
    return dataclasses.replace(
        base, seed=seed, max_steps=options.steps, num_threads=options.threads, validate_every_steps=options.steps,
        checkpoint_every_steps=options.state_steps, log_every_steps=50,
    )  # fmt: skip


def run_one(options: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Train and score one variant under one seed."""
    shard_changes, changes = VARIANTS[name]
    shards, params = shards_of(options, shard_changes), training_params(options, changes, seed)
    train_split, validation_split = open_split(shards, "train"), open_split(shards, "validation")
    model = load("tiny").model
    network: Any = NanoGPT(options.nanogpt, model, seed) if name.startswith("nanoGPT") else initialise(model, seed)
    states = options.work / "states" / hashlib.sha256(f"{name} {seed} {options.steps}".encode()).hexdigest()[:12]
    started = time.monotonic()
    metrics, _ = fit(network, train_split, validation_split, states, params=params)
    chosen = choose_documents(validation_split, max_bytes=options.score_bytes, seed=0)
    scores = score_documents(
        network.eval(),
        [validation_split.document(number) for number in chosen],
        is_text=Tokenizer.load(options.tokenizer).token_lengths > 0,
        context_tokens=model.max_position_embeddings,
        batch_size=16,
    )
    shutil.rmtree(states)
    return {
        "variant": name,
        "seed": seed,
        "bits_per_byte": bits_per_byte(scores),
        "scored_bytes": sum(score.num_bytes for score in scores),
        "num_tokens": int(metrics.tokens),
        "num_parameters": sum(parameter.numel() for parameter in network.parameters()),
        "last_loss": metrics.smoothed(len(metrics.rows)),
        "seconds": round(time.monotonic() - started, 1),
        "steps": options.steps,
        "params": dataclasses.asdict(params),
        "token_shards": shard_changes,
        "torch": torch.__version__,
        "machine": machine(),
        "threads": params.num_threads,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Mean, standard deviation and single results a variant, and the mean difference to the first by seed."""
    base = {row["seed"]: row["bits_per_byte"] for row in rows if row["variant"] == next(iter(VARIANTS))}
    lines = ["| variant | seeds | bits per byte | ± | by seed | against minicode |", "|---|---|---|---|---|---|"]
    for name in VARIANTS:
        found = {row["seed"]: row["bits_per_byte"] for row in rows if row["variant"] == name}
        if not found:
            continue
        spread = statistics.stdev(found.values()) if len(found) > 1 else math.nan
        shared = sorted(found.keys() & base.keys())
        difference = statistics.fmean(found[seed] - base[seed] for seed in shared) if shared else math.nan
        singles = " ".join(f"{found[seed]:.3f}" for seed in sorted(found))
        lines.append(
            f"| {name} | {len(found)} | {statistics.fmean(found.values()):.3f} | {spread:.3f} | {singles} "
            f"| {difference:+.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, type=Path, help="corpus artefact")
    parser.add_argument("--tokenizer", required=True, type=Path, help="tokenizer artefact")
    parser.add_argument("--work", required=True, type=Path, help="shards, states and one result a run")
    parser.add_argument("--nanogpt", type=Path, help="nanoGPT's model.py")
    parser.add_argument("--steps", type=int, default=load("tiny").checkpoint.max_steps)
    parser.add_argument("--state-steps", type=int, default=50, help="write a state to go on from so often")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0, help="to share the seeds among several processes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--score-bytes", type=int, default=300_000)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="these variants")
    parser.add_argument("--table", action="store_true", help="only print the table of what is finished")
    options = parser.parse_args()
    results = options.work / f"results-{options.steps}"
    results.mkdir(parents=True, exist_ok=True)
    names = [name for name in options.only or VARIANTS if options.nanogpt or not name.startswith("nanoGPT")]
    for seed in range(options.first_seed, options.seeds):  # seed by seed, so that an unfinished table is a fair one
        for name in names:
            path = results / f"{name.replace(' ', '_').replace(',', '')}-{seed}.json"
            if options.table or path.exists():
                continue
            row = run_one(options, name, seed)
            write_file(path, lambda partial, row=row: partial.write_text(json.dumps(row, indent=1) + "\n"))
            print(f"{name}, seed {seed}: {row['bits_per_byte']:.4f} bits per byte in {row['seconds']} s", flush=True)
    print(table([json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]))


if __name__ == "__main__":
    main()
