"""The commands that run the graph: materialize, init, config, report."""

import argparse
import json
import logging
from typing import Any

from minicode_assets.cli.parser import add_command, data_layout
from minicode_assets.config import load, preset_names, to_mapping


def add_materialize(commands: Any) -> None:
    """The parser of `minicode materialize`."""
    parser = add_command(
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


def add_init(commands: Any) -> None:
    """The parser of `minicode init`."""
    add_command(
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


def add_config(commands: Any) -> None:
    """The parser of `minicode config`."""
    parser = add_command(
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


def add_report(commands: Any) -> None:
    """The parser of `minicode report`."""
    add_command(commands, "report", "Print the closing table of the last run.", "minicode report", run_report)


def run_report(options: argparse.Namespace) -> int:
    """`minicode report`."""
    from minicode_assets.report import format_report
    from minicode_model.artifact import open_artifact

    layout = data_layout("report")
    open_artifact(layout.asset("report"))
    print(format_report(json.loads((layout.asset("report") / "report.json").read_text())))
    print(f"{'everything lies in':<22}{layout.root}")
    return 0


COMMANDS = (add_materialize, add_init, add_config, add_report)
