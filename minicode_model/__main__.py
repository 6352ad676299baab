"""`python -m minicode_model`: train, evaluate, generate, serve and export, for someone who has token shards only."""

import argparse
import logging
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from minicode_model.artifact import check_replaceable, digest_of
from minicode_model.config import Checkpoint, Evaluation, Model, Server, build_section, shaping_values
from minicode_model.errors import ConfigError, MinicodeError
from minicode_model.ranges import range_problems

Section = TypeVar("Section", Model, Checkpoint, Evaluation, Server)

_EXAMPLES = {
    "train": "python -m minicode_model train --shards data/token_shards --out my_checkpoint --work my_work \\\n"
    "      --config my.toml        # sections [model] and [checkpoint], keys as in minicode_model/config.py",
    "evaluate": "python -m minicode_model evaluate --checkpoint data/checkpoint --shards data/token_shards \\\n"
    "      --tokenizer data/tokenizer --out my_evaluation",
    "generate": "python -m minicode_model generate --checkpoint data/checkpoint --tokenizer data/tokenizer \\\n"
    "      'def fibonacci(n):'\n"
    "  python -m minicode_model generate --checkpoint data/checkpoint --tokenizer data/tokenizer \\\n"
    "      --prefix 'def add(a, b):\\n    return ' --suffix '\\n'",
    "serve": "python -m minicode_model serve --checkpoint data/checkpoint --tokenizer data/tokenizer\n"
    "  curl http://127.0.0.1:8971/v1/completions -H 'content-type: application/json' \\\n"
    '      -d \'{"prompt": "def add(a, b):", "suffix": "\\\\n", "max_tokens": 32}\'',
    "export": "python -m minicode_model export --checkpoint data/checkpoint --tokenizer data/tokenizer \\\n"
    "      --shards data/token_shards --evaluation data/evaluation --out my_model",
}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m minicode_model", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    folders = {
        "train": ("shards", "out", "work"),
        "evaluate": ("checkpoint", "shards", "tokenizer", "out"),
        "generate": ("checkpoint", "tokenizer"),
        "serve": ("checkpoint", "tokenizer"),
        "export": ("checkpoint", "tokenizer", "shards", "evaluation", "out"),
    }
    runs = {"train": _train, "evaluate": _evaluate, "generate": _generate, "serve": _serve, "export": _export}
    for name, run in runs.items():
        command = commands.add_parser(
            name,
            help=(run.__doc__ or "").splitlines()[0],
            description=run.__doc__,
            epilog=f"example:\n  {_EXAMPLES[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        for folder in folders[name]:
            command.add_argument(f"--{folder}", required=True, type=Path, metavar="FOLDER")
        if name != "export":
            command.add_argument("--config", type=Path, metavar="TOML", help="sections that differ from the defaults")
        if name == "train":
            command.add_argument("--start", type=Path, metavar="FOLDER", help="a checkpoint, or a Hugging Face folder")
            command.add_argument(
                "--logs", type=Path, metavar="FOLDER", help="metrics.csv with speeds, TensorBoard files"
            )
        if name == "export":
            command.add_argument("--scores", type=Path, metavar="FOLDER", help="benchmark_scores, for the card")
            command.add_argument(
                "--earlier", type=Path, nargs=2, action="append", default=[], metavar=("CHECKPOINT", "SHARDS"),
                help="what training went on from, for the card; repeated, latest first",
            )  # fmt: skip
            command.add_argument("--gguf", type=Path, metavar="FILE", help="also write a GGUF file for llama.cpp")
        if name == "generate":
            command.add_argument("prompt", nargs="?", help="text to complete; - reads it from stdin")
            command.add_argument("--prefix", help="text before a gap")
            command.add_argument("--suffix", help="text after a gap")
            command.add_argument("--stop", action="append", default=[], help="end before this text; may be repeated")
            command.add_argument("--seed", type=int, help="default: the configuration's")
    return parser


def read_section(path: Path | None, section: type[Section]) -> Section:
    """A section of a TOML file; what it doesn't say keeps its default.

    Raises:
        ConfigError: The file is no TOML, or has unknown sections or keys, or wrong types.
    """
    name = section.__name__.lower()
    if path is None:
        return section()
    try:
        content = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: {error}", hint="give a TOML file with [model], [checkpoint], [evaluation]"
        ) from error
    problems = [f"{path}: [{key}]: unknown section" for key in content if key not in _SECTIONS]
    built, found = build_section(section, content.get(name, {}), f"{path}: [{name}]")
    problems += found or range_problems(built, f"[{name}]")
    if problems:
        raise ConfigError("\n".join(problems), hint="see minicode_model/config.py for the keys")
    return built


_SECTIONS = ("model", "checkpoint", "evaluation", "server")


def _digest(*sections: Any) -> str:
    return digest_of([shaping_values(section) for section in sections])


def _train(options: argparse.Namespace) -> None:
    """Train a checkpoint from token shards; the same command goes on where a killed one stopped."""
    check_replaceable(options.out, "model.safetensors")
    from minicode_model.training.run import train

    model, params = read_section(options.config, Model), read_section(options.config, Checkpoint)
    train(
        options.shards,
        options.out,
        options.work / "states",  # which is removed at the end, and nothing beside it
        model=model,
        params=params,
        config_digest=_digest(model, params),
        start=options.start,
        logs=options.logs,
    )


def _evaluate(options: argparse.Namespace) -> None:
    """Measure a checkpoint on the validation split; prints results.json."""
    check_replaceable(options.out, "results.json")
    from minicode_model.evaluation.run import evaluate

    params = read_section(options.config, Evaluation)
    artifact = evaluate(
        options.checkpoint, options.shards, options.tokenizer, options.out, params=params, config_digest=_digest(params)
    )
    print(artifact.file("results.json").read_text(), end="")


def _generate(options: argparse.Namespace) -> None:
    """Complete a prompt, or fill in between a prefix and a suffix; prints the text as it is written."""
    from minicode_model.checkpoint import load_model
    from minicode_model.generate import read_prompt, write
    from minicode_model.tokenizer import Tokenizer

    params = read_section(options.config, Evaluation)
    model, _ = load_model(options.checkpoint)
    tokenizer = Tokenizer.load(options.tokenizer)
    prompt: str | None = read_prompt() if options.prompt == "-" else options.prompt
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


def _serve(options: argparse.Namespace) -> None:
    """Serve /v1/completions on the loopback address, for editor plugins; Ctrl-C ends it."""
    from minicode_model.checkpoint import load_model
    from minicode_model.server import serve
    from minicode_model.tokenizer import Tokenizer

    params, sampling = read_section(options.config, Server), read_section(options.config, Evaluation)
    model, _ = load_model(options.checkpoint)
    serve(model, Tokenizer.load(options.tokenizer), params=params, sampling=sampling)


def _export(options: argparse.Namespace) -> None:
    """Write a folder that Hugging Face's transformers loads: weights, tokenizer, model card."""
    check_replaceable(options.out, "export")
    from minicode_model.export.gguf import export_gguf
    from minicode_model.export.hf import export

    if options.gguf:
        export_gguf(options.checkpoint, options.tokenizer, options.gguf)
    folders = options.checkpoint, options.tokenizer, options.shards, options.evaluation, options.out
    print(export(*folders, scores=options.scores, earlier=[(one, two) for one, two in options.earlier]).path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 1 on a problem, which goes to stderr."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.run is _generate and (options.prompt is None) == (options.prefix is None and options.suffix is None):
        parser.error("generate: give either PROMPT, or --prefix and --suffix")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        options.run(options)
    except MinicodeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who read has read enough
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
