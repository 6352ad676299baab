"""Training speed in tokens a second, beside nanoGPT's published model code at equal shape, data and precision.

Each round runs every variant once, in turn, so that whatever else the machine does hits all alike; the figure of a
variant is its best round, and its spread is shown. The peak is that of a large matrix product in the same run and
precision. A step is forward, backward, clipping and fused AdamW.

    python benchmarks/training.py --shards data/token_shards --nanogpt nanoGPT/model.py
    python benchmarks/training.py --shards data/token_shards --nanogpt model.py --threads 1 2 --compile --masters
    python benchmarks/training.py --shards data/token_shards --width 128 --layers 4 --threads 1 --processor-time

nanoGPT's model.py is that of https://github.com/karpathy/nanoGPT and no part of this project; results name its SHA-256.
What may be compared with what: see `against_nanogpt` of the result (equal precision and means; the best of each).

Floating-point operations of a token: 6 x parameters of the matrices, output matrix included, and for attention
12 x layers x width x T (no discount for the causal half). Source: model.md 2.1.
"""

import argparse
import dataclasses
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from machine import machine
from torch import Tensor, nn
from torch.nn import functional

from minicode_model import attention
from minicode_model.artifact import sha256_of
from minicode_model.config import Checkpoint, Model
from minicode_model.model import Starcoder2, initialise, target_mask
from minicode_model.shards import open_split
from minicode_model.training.batches import Batch, StepLoader
from minicode_model.training.optim import make_optimizer
from minicode_model.training.throughput import measure_peak

Step = Callable[[Batch], None]


def build_step(network: nn.Module, loss_of: Callable[[Batch], Tensor], params: Checkpoint, dtype: str) -> Step:
    """One optimizer step of a network, whatever its architecture."""
    optimizer = make_optimizer(network, params)

    def step(batch: Batch) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"):
            loss = loss_of(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), params.gradient_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def ours(config: Model, params: Checkpoint, dtype: str, *, compiled: bool = False) -> tuple[nn.Module, Step]:
    network = initialise(config, params.seed)
    loss = torch.compile(network.loss) if compiled else network.loss
    return network, build_step(
        network,
        lambda batch: loss(batch.tokens_BT, batch.segments_BT, batch.targets_BT)[0] / batch.step_targets,
        params,
        dtype,
    )


def with_masters(config: Model, params: Checkpoint, dtype: str, *, compiled: bool = False) -> tuple[nn.Module, Step]:
    """Our architecture with bfloat16 parameters and gradients; AdamW works on float32 copies of them."""
    masters, network = initialise(config, params.seed), initialise(config, params.seed).bfloat16()
    optimizer = make_optimizer(masters, params)
    of_loss = torch.compile(network.loss) if compiled else network.loss
    pairs = list(zip(network.parameters(), masters.parameters(), strict=True))

    def step(batch: Batch) -> None:
        (of_loss(batch.tokens_BT, batch.segments_BT, batch.targets_BT)[0] / batch.step_targets).backward()
        for parameter, master in pairs:
            assert parameter.grad is not None
            master.grad = parameter.grad.float()
        nn.utils.clip_grad_norm_(masters.parameters(), params.gradient_clip)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_([parameter for parameter, _ in pairs], [master for _, master in pairs])
        network.zero_grad(set_to_none=True)

    return network, step


def plain(config: Model, params: Checkpoint, dtype: str) -> tuple[nn.Module, Step]:
    """Our architecture by plain means: torch's fused attention, whole logits, torch's cross-entropy."""
    network = initialise(config, params.seed)

    def loss(batch: Batch) -> Tensor:
        blocked, attention.MAX_BLOCKED_TOKENS = attention.MAX_BLOCKED_TOKENS, 0
        logits = network(batch.tokens_BT, batch.segments_BT)[:, :-1]
        attention.MAX_BLOCKED_TOKENS = blocked
        targets = batch.tokens_BT[:, 1:].masked_fill(~target_mask(batch.segments_BT), -1)
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)

    return network, build_step(network, loss, params, dtype)


def nanogpt_network(path: Path, config: Model, seed: int) -> nn.Module:
    """NanoGPT's GPT from its published model.py at our width, depth, heads, context and vocabulary."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    shape = module.GPTConfig(
        block_size=config.max_position_embeddings,
        vocab_size=config.vocab_size,
        n_layer=config.num_hidden_layers,
        n_head=config.num_attention_heads,
        n_embd=config.hidden_size,
        dropout=0.0,
        bias=True,
    )
    torch.manual_seed(seed)
    network: nn.Module = module.GPT(shape)
    return network


def nanogpt(path: Path, config: Model, params: Checkpoint, dtype: str, *, compiled: bool) -> tuple[nn.Module, Step]:
    """NanoGPT's network in the same step."""
    network = nanogpt_network(path, config, params.seed)
    forward = torch.compile(network) if compiled else network

    def loss(batch: Batch) -> Tensor:
        return forward(batch.tokens_BT[:, :-1].contiguous(), batch.tokens_BT[:, 1:].contiguous())[1]

    return network, build_step(network, loss, params, dtype)


def operations_per_token(network: nn.Module, config: Model, length: int) -> float:
    """Formula in the module's docstring. Position embeddings are looked up, not multiplied."""
    matrices = sum(
        parameter.numel() for name, parameter in network.named_parameters() if parameter.ndim == 2 and "wpe" not in name
    )
    untied = not getattr(config, "tie_word_embeddings", True)
    if isinstance(network, Starcoder2) and untied:
        matrices -= config.vocab_size * config.hidden_size
    return 6 * matrices + 12 * config.num_hidden_layers * config.hidden_size * length


def timed(step: Step, batches: Iterator[Batch], count: int, clock: Callable[[], float]) -> float:
    """Tokens a second of the clock over `count` steps."""
    tokens, start = 0, clock()
    for _ in range(count):
        batch = next(batches)
        tokens += batch.tokens_BT.numel()
        step(batch)
    return tokens / (clock() - start)


def loader_wait(loader: StepLoader, count: int) -> float:
    """Seconds that a batch takes to come."""
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    for _ in range(count):
        next(batches)
    return (time.perf_counter() - start) / count


def ratios(rows: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Our tokens a second over nanoGPT's: at equal precision and means, and the best of each."""
    speeds = {name: row["tokens_per_second"] for name, row in rows.items()}
    found = {
        name.removeprefix("minicode "): speed / speeds[f"nanoGPT {name.removeprefix('minicode ')}"]
        for name, speed in speeds.items()
        if f"nanoGPT {name.removeprefix('minicode ')}" in speeds
    }
    best = {who: [speed for name, speed in speeds.items() if name.startswith(who)] for who in ("minicode", "nanoGPT")}
    if best["nanoGPT"]:
        found["best means of each"] = max(best["minicode"]) / max(best["nanoGPT"])
    return {name: round(ratio, 3) for name, ratio in found.items()}


def build_variants(options: argparse.Namespace, config: Model, params: Checkpoint) -> dict[str, tuple[nn.Module, Step]]:
    variants = {f"minicode {dtype}": ours(config, params, dtype) for dtype in ("bf16", "fp32")}
    if options.kv_heads != options.width // 64:
        many = dataclasses.replace(config, num_key_value_heads=config.num_attention_heads)
        variants["minicode bf16, no shared keys"] = ours(many, params, "bf16")
    if options.plain:
        variants |= {f"minicode {dtype}, plain means": plain(config, params, dtype) for dtype in ("bf16", "fp32")}
    if options.masters:
        variants["minicode bf16, masters"] = with_masters(config, params, "bf16")
    if options.compile:
        for dtype in ("bf16", "fp32"):
            variants[f"minicode {dtype}, compiled"] = ours(config, params, dtype, compiled=True)
        if options.masters:
            variants["minicode bf16, masters, compiled"] = with_masters(config, params, "bf16", compiled=True)
    if options.nanogpt:
        for dtype in ("bf16", "fp32"):
            variants[f"nanoGPT {dtype}"] = nanogpt(options.nanogpt, config, params, dtype, compiled=False)
            if options.compile:
                variants[f"nanoGPT {dtype}, compiled"] = nanogpt(options.nanogpt, config, params, dtype, compiled=True)
    return variants


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The figures, by number of threads."""
    return {
        "machine": machine(),
        "clock": "seconds of processor time" if options.processor_time else "seconds",
        "torch": torch.__version__,
        "nanogpt_sha256": sha256_of(options.nanogpt) if options.nanogpt else "",
        "threads": {str(count): measure(options, count) for count in options.threads},
    }


def measure(options: argparse.Namespace, threads: int) -> dict[str, Any]:
    """All variants with so many threads, built anew: a compiled one is compiled for its number of threads."""
    clock = time.process_time if options.processor_time else time.perf_counter
    torch._dynamo.reset()
    torch.set_num_threads(threads)
    split = open_split(options.shards, "train")
    config = Model(
        vocab_size=split.vocab_size,
        hidden_size=options.width,
        intermediate_size=4 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.width // 64,
        num_key_value_heads=options.kv_heads,
        max_position_embeddings=split.seq_len,
    )
    params = Checkpoint(batch_size=options.batch, max_steps=10**6, optimizer="adamw")
    variants = build_variants(options, config, params)
    peaks = {"bf16": 0.0, "fp32": 0.0}
    speeds: dict[str, list[float]] = {name: [] for name in variants}
    for round_number in range(options.rounds + 1):
        for name, (_, step) in variants.items():
            speed = timed(step, iter(StepLoader(split, params)), options.steps, clock)
            if round_number:  # the first round warms up, and compiles
                speeds[name].append(speed)
        peaks = {
            name: max(
                peak, measure_peak(torch.device("cpu"), torch.bfloat16 if name == "bf16" else torch.float32, clock)
            )
            for name, peak in peaks.items()
        }
    rows = {}
    for name, (network, _) in variants.items():
        best, peak = max(speeds[name]), peaks["bf16" if "bf16" in name else "fp32"]
        rows[name] = {
            "tokens_per_second": round(best),
            "median": round(statistics.median(speeds[name])),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "peak_fraction": round(best * operations_per_token(network, config, split.seq_len) / peak, 3),
        }
    step_seconds = params.batch_size * split.seq_len / rows["minicode bf16"]["tokens_per_second"]
    return {
        "against_nanogpt": ratios(rows),
        "shape": dataclasses.asdict(config),
        "batch": f"{params.batch_size} x {split.seq_len}",
        "peak_gflops": {name: round(peak / 1e9) for name, peak in peaks.items()},
        "data_wait_fraction": round(loader_wait(StepLoader(split, params), 50) / step_seconds, 5),
        "variants": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", required=True, type=Path, help="token_shards artefact")
    parser.add_argument("--nanogpt", type=Path, help="nanoGPT's model.py")
    parser.add_argument("--width", type=int, default=320, help="a multiple of 64")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--kv-heads", type=int, default=1, help="ours share keys; nanoGPT has as many as queries")
    parser.add_argument("--batch", type=int, default=8, help="sequences a step")
    parser.add_argument("--steps", type=int, default=3, help="a round and variant")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[torch.get_num_threads()], help="one after the other")
    parser.add_argument("--masters", action="store_true", help="also bfloat16 parameters with float32 masters")
    parser.add_argument("--plain", action="store_true", help="also our architecture by plain means")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="measure by the process's own processor time (one thread): for a machine that others use, too",
    )
    parser.add_argument(
        "--compile", action="store_true", help="also the compiled variants (a minute more a number of threads)"
    )
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    result = run(options)
    for threads, figures in result["threads"].items():
        print(f"{threads} thread(s): times nanoGPT {figures['against_nanogpt']}")
        for name, row in sorted(figures["variants"].items(), key=lambda item: -item[1]["tokens_per_second"]):
            print(
                f"{name:<34}{row['tokens_per_second']:>9,} tokens/s best {row['median']:>9,} median"
                f"{row['peak_fraction']:>7.0%} of peak  {row['parameters']:,} parameters"
            )
    print(json.dumps({key: value for key, value in result.items() if key != "threads"}))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
