"""The commands about the archive and the corpus: archive, resolve, funnel, explain."""

import argparse
from pathlib import Path
from typing import Any

from minicode_assets.cli.parser import add_command, data_layout, print_figures, scalars
from minicode_assets.config import load


def add_archive(commands: Any) -> None:
    """The parser of `minicode archive`."""
    parser = add_command(
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
    print_figures({"folder": str(artifact.path), "bytes": artifact.total_bytes, **scalars(artifact.metadata)})
    return 0


def add_resolve(commands: Any) -> None:
    """The parser of `minicode resolve`."""
    parser = add_command(
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
    print_figures(dataclasses.asdict(resolution))
    return 0


def add_funnel(commands: Any) -> None:
    """The parser of `minicode funnel`."""
    add_command(
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

    folder = data_layout("corpus").asset("corpus")
    open_artifact(folder)
    frame = pl.read_parquet(folder / "funnel.parquet", schema=FUNNEL.polars)
    print(f"{'step':<34}{'documents':>12}{'MB':>10}{'as first':>12}")
    for step, num_documents, length_bytes, num_first in frame.iter_rows():
        print(f"{step:<34}{num_documents:>12,}{length_bytes / 1e6:>10.1f}{num_first:>12,}")
    return 0


def add_explain(commands: Any) -> None:
    """The parser of `minicode explain`."""
    parser = add_command(
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

    print(explain(data_layout("corpus").asset("corpus"), options.swhid))
    return 0


COMMANDS = (add_archive, add_resolve, add_funnel, add_explain)
