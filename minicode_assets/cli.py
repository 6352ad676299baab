"""The `minicode` command. Options choose what to run, never thresholds; data goes to stdout, progress to stderr."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minicode_assets.config import load, preset_names, to_mapping
from minicode_assets.errors import MinicodeError

Parser = argparse.ArgumentParser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 a problem that the message explains, 2 wrong usage."""
    options = build_parser().parse_args(arguments)
    _log_progress(options.quiet)
    try:
        status = options.run(options)
    except MinicodeError as error:
        print(f"minicode: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("minicode: interrupted; the same command again resumes", file=sys.stderr)
        return 130
    return int(status or 0)


def build_parser() -> Parser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="minicode",
        description="A mini StarCoder2 from the Software Heritage archive, step by step.",
        epilog="example:\n  minicode materialize --select tokenizer+",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quiet", action="store_true", help="no progress lines")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _materialize, _init, _config, _archive, _resolve, _funnel, _explain, _report, _evaluate, _generate,
    ):  # fmt: skip
        add(commands)
    return parser


def _command(commands: Any, name: str, summary: str, example: str, run: Any) -> Parser:
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog="example:\n  " + example.replace("\n", "\n  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


class _Indented(logging.Formatter):
    """What a library says stands below the stage that called it."""

    def format(self, record: logging.LogRecord) -> str:
        edge = record.name in ("minicode", "minicode.driver", "minicode.stage")
        return record.getMessage() if edge else f"      {record.getMessage()}"


def _log_progress(quiet: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Indented())
    logger = logging.getLogger("minicode")
    logger.handlers = [handler]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


def _materialize(commands: Any) -> None:
    parser = _command(
        commands,
        "materialize",
        "Make every asset that is missing or stale, whole graph or a selection, in this process.",
        "minicode materialize\nminicode materialize --select 'tokenizer+' --force\nminicode materialize --list",
        run_materialize,
    )
    parser.add_argument("--select", default="", metavar="SELECTION", help="Dagster's selection syntax (default: all)")
    parser.add_argument("--force", action="store_true", help="make the selected assets even if they are fresh")
    parser.add_argument("--list", action="store_true", help="print the assets in flow order, and stop")


def run_materialize(options: argparse.Namespace) -> int:
    """`minicode materialize`."""
    from minicode_assets.defs.driver import Driver
    from minicode_assets.defs.instance import ready_instance
    from minicode_assets.defs.settings import from_environment

    settings = from_environment()
    config = settings.config
    from minicode_assets.definitions import build_definitions

    with ready_instance() as instance:
        driver = Driver(build_definitions(settings), settings, instance)
        if options.list:
            print("\n".join(driver.order))
            return 0
        summary = driver.materialize(options.select, force=options.force)
    logging.getLogger("minicode").info(
        "preset %s: %d asset partition(s) made in %.1f s, the rest was up to date",
        config.preset,
        summary.num_materialized,
        summary.seconds,
    )
    return 0


def _init(commands: Any) -> None:
    _command(
        commands,
        "init",
        "Create Dagster's storage in DAGSTER_HOME, one process at a time (before any parallel first use).",
        "DAGSTER_HOME=$PWD/dagster_home minicode init",
        run_init,
    )


def run_init(options: argparse.Namespace) -> int:
    """`minicode init`."""
    from minicode_assets.defs.instance import dagster_home, fail_killed_runs, ready_instance

    with ready_instance() as instance:
        fail_killed_runs(instance)
    print(dagster_home())
    return 0


def _config(commands: Any) -> None:
    parser = _command(
        commands,
        "config",
        "Print the resolved configuration as JSON.",
        "minicode config --preset mini",
        run_config,
    )
    parser.add_argument("--preset", choices=preset_names(), help="default: what the environment says")


def run_config(options: argparse.Namespace) -> int:
    """`minicode config`."""
    from minicode_assets.defs.settings import from_environment

    config = load(options.preset) if options.preset else from_environment().config
    print(json.dumps(to_mapping(config), indent=2))
    return 0


def _archive(commands: Any) -> None:
    parser = _command(
        commands,
        "archive",
        "Build Software Heritage tables and a content bucket from local git repositories and installed packages.",
        "minicode archive --git ~/src/requests --git ~/src/flask.git --out /tmp/archive\n"
        "minicode archive --installed --out /tmp/archive --layout 2021-03-23",
        run_archive,
    )
    parser.add_argument(
        "--git", action="append", default=[], metavar="REPOSITORY", help="work tree or bare; repeatable"
    )
    parser.add_argument("--installed", action="store_true", help="standard library and installed distributions too")
    parser.add_argument("--layout", choices=["2019-01-28", "2021-03-23"], default="2019-01-28", help="table layout")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder to create")


def run_archive(options: argparse.Namespace) -> int:
    """`minicode archive`."""
    import dataclasses

    from minicode_assets.archive.build import build_archive

    base = load().archive
    params = dataclasses.replace(
        base,
        git_repositories=tuple(options.git),
        standard_library=options.installed and base.standard_library,
        distributions=base.distributions if options.installed else (),
        layout=options.layout,
    )
    artifact = build_archive(options.out.absolute(), params=params, config_digest="")
    _print_figures({"folder": str(artifact.path), "bytes": artifact.total_bytes, **_scalars(artifact.metadata)})
    return 0


def _resolve(commands: Any) -> None:
    parser = _command(
        commands,
        "resolve",
        "Resolve a Software Heritage export of any generation to one row a file of each origin's head.",
        "minicode resolve /data/2019-01-28-popular-3k-python/parquet --out /data/manifest",
        run_resolve,
    )
    parser.add_argument("tables", type=Path, metavar="TABLES", help="folder with one folder a table inside")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="gets file_manifest/*.parquet")


def run_resolve(options: argparse.Namespace) -> int:
    """`minicode resolve`."""
    import dataclasses

    from minicode_assets.manifest.resolve import resolve_export

    config = load()
    resolution = resolve_export(
        options.tables, options.out.absolute(), heads=config.branch_heads, manifest=config.file_manifest
    )
    _print_figures(dataclasses.asdict(resolution))
    return 0


def _funnel(commands: Any) -> None:
    _command(
        commands,
        "funnel",
        "Show how many documents each curation rule dropped.",
        "minicode funnel",
        run_funnel,
    )


def run_funnel(options: argparse.Namespace) -> int:
    """`minicode funnel`."""
    import polars as pl

    from minicode_assets.schemas import FUNNEL
    from minicode_model.artifact import open_artifact

    folder = _layout().asset("corpus")
    open_artifact(folder)
    frame = pl.read_parquet(folder / "funnel.parquet", schema=FUNNEL.polars)
    print(f"{'step':<34}{'documents':>12}{'MB':>10}{'as first':>12}")
    for step, num_documents, length_bytes, num_first in frame.iter_rows():
        print(f"{step:<34}{num_documents:>12,}{length_bytes / 1e6:>10.1f}{num_first:>12,}")
    return 0


def _explain(commands: Any) -> None:
    parser = _command(
        commands,
        "explain",
        "Say what happened to one file and why.",
        "minicode explain swh:1:cnt:94a9ed024d3859793618152ea559a168bbcbb5e2",
        run_explain,
    )
    parser.add_argument("swhid", metavar="SWHID", help="core or qualified SWHID, or a document_id")


def run_explain(options: argparse.Namespace) -> int:
    """`minicode explain`."""
    from minicode_assets.corpus.funnel import explain

    print(explain(_layout().asset("corpus"), options.swhid))
    return 0


def _report(commands: Any) -> None:
    _command(commands, "report", "Print the closing table of the last run.", "minicode report", run_report)


def run_report(options: argparse.Namespace) -> int:
    """`minicode report`."""
    from minicode_assets.report import format_report
    from minicode_model.artifact import open_artifact

    layout = _layout()
    open_artifact(layout.asset("report"))
    print(format_report(json.loads((layout.asset("report") / "report.json").read_text())))
    print(f"{'everything lies in':<22}{layout.root}")
    return 0


def _evaluate(commands: Any) -> None:
    parser = _command(
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
    from minicode_assets.defs.settings import from_environment
    from minicode_model.evaluation.run import evaluate

    layout = _layout()
    evaluate(
        options.checkpoint or layout.asset("checkpoint"),
        layout.asset("token_shards"),
        layout.asset("tokenizer"),
        options.out.absolute(),
        params=from_environment().config.evaluation,
        config_digest="",
    )
    print((options.out / "results.json").read_text())
    return 0


def _generate(commands: Any) -> None:
    parser = _command(
        commands,
        "generate",
        "Complete a prompt, or fill in between a prefix and a suffix.",
        "minicode generate 'def fib(n):'\nminicode generate --prefix 'def add(a, b):\\n    return ' --suffix '\\n'",
        run_generate,
    )
    parser.add_argument("prompt", nargs="?", help="text to complete; - reads it from stdin")
    parser.add_argument("--prefix", help="text before the gap")
    parser.add_argument("--suffix", help="text after the gap")
    parser.add_argument("--seed", type=int, default=None, help="default: the configuration's")


def run_generate(options: argparse.Namespace) -> int:
    """`minicode generate`."""
    from minicode_assets.defs.settings import from_environment
    from minicode_model.checkpoint import load_model
    from minicode_model.generate import complete, fill_in_the_middle
    from minicode_model.tokenizer import Tokenizer

    filling = options.prefix is not None or options.suffix is not None
    if filling == (options.prompt is not None):
        build_parser().error("generate: give either PROMPT, or --prefix and --suffix")
    layout, params = _layout(), from_environment().config.evaluation
    model, _ = load_model(layout.asset("checkpoint"))
    tokenizer = Tokenizer.load(layout.asset("tokenizer"))
    seed = params.seed if options.seed is None else options.seed
    sampling: Any = {
        "max_new_tokens": params.max_new_tokens,
        "temperature": params.temperature,
        "top_p": params.top_p,
        "seed": seed,
    }
    if filling:
        print(fill_in_the_middle(model, tokenizer, options.prefix or "", options.suffix or "", **sampling))
        return 0
    prompt: str = sys.stdin.read() if options.prompt == "-" else options.prompt
    print(prompt + complete(model, tokenizer, prompt, **sampling))
    return 0


def _layout() -> Any:
    from minicode_assets.defs.settings import from_environment
    from minicode_assets.layout import Layout

    return Layout(from_environment().data_folder)


def _scalars(metadata: Any) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if isinstance(value, (int, float, str))}


def _print_figures(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count:,}" for key, count in value.items())
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}" if isinstance(value, float) else value
        print(f"{name:<22}{text}")


if __name__ == "__main__":
    sys.exit(main())
