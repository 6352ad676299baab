"""The commands about the archive and the corpus: archive, resolve, funnel, explain, search."""

import argparse
from pathlib import Path
from typing import Any

from minicode_assets.cli.parser import add_command, data_layout, natural, new_folder, print_figures, scalars
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
    artifact = build_archive(new_folder(options.out, "archive"), params=params, config_digest="")
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
    parser = add_command(
        commands,
        "funnel",
        "Show how many documents each curation rule dropped and how many were left, or documents to look at.",
        "minicode funnel\nminicode funnel --samples near_duplicate --count 3 --lines 40",
        run_funnel,
    )
    parser.add_argument("--samples", metavar="STEP", help="show documents that this rule dropped, or `kept` ones")
    parser.add_argument("--count", type=natural, default=10, help="how many samples")
    parser.add_argument("--lines", type=natural, default=12, help="lines of each sample")
    parser.add_argument("--all", action="store_true", help="steps that drop nothing too")


def run_funnel(options: argparse.Namespace) -> int:
    """`minicode funnel`."""
    import polars as pl

    from minicode_assets.schemas import FUNNEL
    from minicode_model.artifact import open_artifact

    if options.samples:
        return _show_samples(options.samples, options.count, options.lines)
    folder = data_layout("corpus").asset("corpus")
    open_artifact(folder)
    frame = pl.read_parquet(folder / "funnel.parquet", schema=FUNNEL.polars, glob=False)
    print(f"{'step':<34}{'documents':>12}{'MB':>9}{'as first':>10}{'left':>12}{'MB':>9}{'M tokens':>10}")
    for step, count, size, first, left, bytes_left, tokens in frame.iter_rows():
        if count or options.all:
            sizes = f"{size / 1e6:>9.1f}{first:>10,}{left:>12,}{bytes_left / 1e6:>9.1f}{tokens / 1e6:>10.2f}"
            print(f"{step:<34}{count:>12,}{sizes}")
    return 0


def _show_samples(step: str, count: int, lines: int) -> int:
    from minicode_assets.corpus.funnel import samples
    from minicode_assets.defs.settings import from_environment
    from minicode_assets.layout import partition_keys

    layout = data_layout("corpus")
    keys = partition_keys(from_environment().config.partitions.num_prefixes)
    found = samples(layout.asset("corpus"), [layout.asset("documents", key) for key in keys], step, count=count)
    for row in found.iter_rows(named=True):
        text = row["text"] or ""
        shown = "\n".join(text.splitlines()[:lines])
        reasons = ", ".join(row["drop_reasons"]) or f"kept, in {row['split']}"
        print(f"════ {row['origin_url']} {row['path']} ({row['length_bytes']:,} bytes; {reasons})")
        print(f"{row['swhid']}\n{shown}\n")
    return 0


def add_explain(commands: Any) -> None:
    """The parser of `minicode explain`."""
    parser = add_command(
        commands,
        "explain",
        "Say what happened to one file and why, from the manifest to its tokens.",
        "minicode explain swh:1:cnt:94a9ed024d3859793618152ea559a168bbcbb5e2",
        run_explain,
    )
    parser.add_argument("swhid", metavar="SWHID", help="core or qualified SWHID, or a document_id")


def run_explain(options: argparse.Namespace) -> int:
    """`minicode explain`."""
    from minicode_assets.defs.settings import from_environment
    from minicode_assets.provenance.explain import explain

    print(explain(data_layout("corpus"), from_environment().config, options.swhid))
    return 0


def add_search(commands: Any) -> None:
    """The parser of `minicode search`."""
    parser = add_command(
        commands,
        "search",
        "Look for a text in the corpus: the documents that equal it, resemble it or hold it, with their SWHIDs.",
        "minicode search my_module.py\nminicode generate 'def add(a, b):' | minicode search -",
        run_search,
    )
    parser.add_argument("file", metavar="FILE", help="a text file; - for standard input")
    parser.add_argument("--count", type=natural, default=10, help="show the best so many")


def run_search(options: argparse.Namespace) -> int:
    """`minicode search`: status 0 with a match, 1 without."""
    import sys

    from minicode_assets.defs.settings import from_environment
    from minicode_assets.errors import CorpusError
    from minicode_assets.provenance.search import search

    try:
        data = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
    except OSError as error:
        raise CorpusError(f"{options.file}: {error.strerror}", hint="minicode search FILE") from error
    config, layout = from_environment().config, data_layout("corpus", "search_index")
    found = search(
        data.decode(errors="replace"), layout.asset("corpus"), layout.asset("search_index"),
        params=config.search_index, near_dup=config.near_dup,
    )  # fmt: skip
    for match in found[: options.count]:
        kind = "identical" if match.identical else f"Jaccard {match.jaccard:.3f}, holds {match.contained:.0%} of it"
        print(f"{kind}; {match.split}; {match.license_expression or 'no licence'}\n  {match.swhid}")
    if not found:
        print("not in the corpus: nothing equals it, resembles it or holds a good part of it", file=sys.stderr)
    return 0 if found else 1


def add_mixture(commands: Any) -> None:
    """The parser of `minicode mixture`."""
    add_command(
        commands,
        "mixture",
        "What each phase of training reads of each source, with the tokens at hand and the paper's beside.",
        "minicode mixture\nMINICODE_PRESET=mini MINICODE_DATA=$PWD/data-mini minicode mixture",
        run_mixture,
    )


def run_mixture(options: argparse.Namespace) -> int:
    """`minicode mixture`."""
    from minicode_assets.defs.settings import from_environment
    from minicode_assets.layout import Layout, partition_keys
    from minicode_assets.tokens.mixture import tokens_at_hand
    from minicode_assets.tokens.mixture_table import as_text, mixture_rows, phase_mixtures

    settings = from_environment()
    layout, keys = Layout(settings.data_folder), partition_keys(settings.config.partitions.num_prefixes)
    encoded = [layout.asset("encoded_documents", key) for key in keys]
    for folder in encoded:
        settings.storage.fetch(folder)
    print(as_text(mixture_rows(tokens_at_hand(encoded), phase_mixtures(settings.config))))
    return 0


COMMANDS = (add_archive, add_resolve, add_funnel, add_explain, add_search, add_mixture)
