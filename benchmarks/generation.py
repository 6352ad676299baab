"""Generation speed: with the cache of keys and values and without, same model, same prompt, same greedy tokens.

    python benchmarks/generation.py
    python benchmarks/generation.py --width 1024 --layers 16 --new-tokens 512 --threads 2

Weights are random: speed doesn't depend on them. That both ways give the same tokens is checked.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine

from minicode_model.config import Model
from minicode_model.generate import sample
from minicode_model.model import Starcoder2, initialise


def with_cache(model: Starcoder2, prompts: list[np.ndarray], count: int) -> list[list[int]]:
    steps = list(sample(model, prompts, max_new_tokens=count, temperature=0.0, top_p=1.0, seed=0))
    return [list(row) for row in zip(*steps, strict=True)]


@torch.inference_mode()
def without_cache(model: Starcoder2, prompts: list[np.ndarray], count: int) -> list[list[int]]:
    tokens = torch.from_numpy(np.stack(prompts).astype(np.int64))
    for _ in range(count):
        following = model(tokens)[:, -1].argmax(dim=-1)
        tokens = torch.cat((tokens, following[:, None]), dim=1)
    return tokens[:, -count:].tolist()


def run(options: argparse.Namespace) -> dict[str, Any]:
    clock = time.process_time if options.processor_time else time.perf_counter
    if options.threads:
        torch.set_num_threads(options.threads)
    config = Model(
        hidden_size=options.width,
        intermediate_size=4 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.width // 64,
        num_key_value_heads=1,
        max_position_embeddings=options.prompt_tokens + options.new_tokens,
    )
    model = initialise(config, 0).eval()
    random = np.random.default_rng(0)
    rows: dict[str, Any] = {}
    for batch in options.batches:
        prompts = [random.integers(0, config.vocab_size, options.prompt_tokens) for _ in range(batch)]
        seconds, outcome = {}, {}
        for name, way in (("cache", with_cache), ("no cache", without_cache)):
            way(model, prompts, 4)
            start = clock()
            outcome[name] = way(model, prompts, options.new_tokens)
            seconds[name] = clock() - start
        agreeing = np.mean(np.array(outcome["cache"]) == np.array(outcome["no cache"]))
        rows[f"batch {batch}"] = {
            **{f"{name}, tokens/s": round(batch * options.new_tokens / value, 1) for name, value in seconds.items()},
            "times faster": round(seconds["no cache"] / seconds["cache"], 1),
            "equal tokens": round(float(agreeing), 4),
        }
    return {
        "machine": machine(),
        "threads": torch.get_num_threads(),
        "clock": "seconds of processor time" if options.processor_time else "seconds",
        "torch": torch.__version__,
        "shape": f"{options.layers} x {options.width}, {model.num_parameters:,} parameters",
        "tokens": f"{options.prompt_tokens} + {options.new_tokens}",
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=320, help="a multiple of 64")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=512)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=0, help="0: torch's choice")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="measure by the process's own processor time (one thread): for a machine that others use, too",
    )
    parser.add_argument("--out", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    result = run(options)
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
