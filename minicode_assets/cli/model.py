"""The commands about the model and what it reads: evaluate, leaderboard, generate, parquet."""

import argparse
from pathlib import Path
from typing import Any

from minicode_assets.cli.parser import add_command, data_layout, new_folder, print_figures


def add_evaluate(commands: Any) -> None:
    """The parser of `minicode evaluate`."""
    parser = add_command(
        commands,
        "evaluate",
        "Measure the checkpoint's bits per byte on held-out origins; prints JSON.",
        "minicode evaluate --checkpoint data/checkpoint --out /tmp/evaluation",
        run_evaluate,
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FOLDER", help="default: the data folder's")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder to create")


def run_evaluate(options: argparse.Namespace) -> int:
    """`minicode evaluate`."""
    out = new_folder(options.out, "results.json")
    from minicode_assets.defs.settings import from_environment
    from minicode_model.evaluation.run import evaluate

    layout = data_layout("checkpoint", "token_shards", "tokenizer")
    evaluate(
        options.checkpoint or layout.asset("checkpoint"),
        layout.asset("token_shards"),
        layout.asset("tokenizer"),
        out,
        params=from_environment().config.evaluation,
        config_digest="",
    )
    print((out / "results.json").read_text())
    return 0


def add_leaderboard(commands: Any) -> None:
    """The parser of `minicode leaderboard`."""
    add_command(
        commands,
        "leaderboard",
        "Print all evaluated checkpoints of the data folder as a Markdown table, the fewest bits per byte first.",
        "minicode leaderboard",
        run_leaderboard,
    )


def run_leaderboard(options: argparse.Namespace) -> int:
    """`minicode leaderboard`."""
    from minicode_assets.defs.settings import from_environment
    from minicode_model.evaluation.leaderboard import leaderboard_table, read_history

    history = data_layout().history
    from_environment().storage.unite(history)
    print(leaderboard_table(read_history(history)))
    return 0


def add_generate(commands: Any) -> None:
    """The parser of `minicode generate`."""
    parser = add_command(
        commands,
        "generate",
        "Complete a prompt, or fill in between a prefix and a suffix.",
        "minicode generate 'def fib(n):'\nminicode generate --prefix 'def add(a, b):\\n    return ' --suffix '\\n'",
        run_generate,
    )
    parser.add_argument("prompt", nargs="?", help="text to complete; - reads it from stdin")
    parser.add_argument("--prefix", help="text before the gap")
    parser.add_argument("--suffix", help="text after the gap")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text; repeatable")
    parser.add_argument("--seed", type=int, default=None, help="default: the configuration's")


def run_generate(options: argparse.Namespace) -> int:
    """`minicode generate`: the text appears as it is written."""
    from minicode_assets.defs.settings import from_environment
    from minicode_model.checkpoint import load_model
    from minicode_model.generate import read_prompt, write
    from minicode_model.tokenizer import Tokenizer, text_bytes

    if (options.prefix is not None or options.suffix is not None) == (options.prompt is not None):
        options.parser.error("give either PROMPT, or --prefix and --suffix")
    layout, params = data_layout("checkpoint", "tokenizer"), from_environment().config.evaluation
    model, _ = load_model(layout.asset("checkpoint"))
    tokenizer = Tokenizer.load(layout.asset("tokenizer"))
    prompt: str | None = read_prompt() if options.prompt == "-" else options.prompt
    print(text_bytes(prompt or "").decode("utf-8", "replace"), end="", flush=True)
    parts = write(
        model,
        tokenizer,
        prompt,
        prefix=options.prefix or "",
        suffix=options.suffix or "",
        params=params,
        seed=options.seed,
        stop=options.stop,
    )
    for part in parts:
        print(part, end="", flush=True)
    print()
    return 0


def add_parquet(commands: Any) -> None:
    """The parser of `minicode parquet`."""
    parser = add_command(
        commands,
        "parquet",
        "Write the packed sequences as Parquet, which Hugging Face's datasets.load_dataset(FOLDER) reads.",
        "minicode parquet --out /tmp/sequences",
        run_parquet,
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder to create")


def run_parquet(options: argparse.Namespace) -> int:
    """`minicode parquet`."""
    from minicode_assets.tokens.export import ROWS_PER_FILE, export_parquet

    out = new_folder(options.out, "token_parquet")
    shards = data_layout("token_shards").asset("token_shards")
    artifact = export_parquet(shards, out, rows_per_file=ROWS_PER_FILE, config_digest="")
    sequences = {split: figures["num_sequences"] for split, figures in artifact.metadata.items()}
    print_figures({"folder": str(artifact.path), "bytes": artifact.total_bytes, "sequences": sequences})
    return 0


COMMANDS = (add_evaluate, add_leaderboard, add_generate, add_parquet)
