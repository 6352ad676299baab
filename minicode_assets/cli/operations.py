"""The commands of whoever runs this for a month: doctor, prune."""

import argparse
import dataclasses
import json
from typing import Any

from minicode_assets.cli.parser import add_command, natural


def add_doctor(commands: Any) -> None:
    """The parser of `minicode doctor`."""
    parser = add_command(
        commands,
        "doctor",
        "Say whether this machine is fit for the pipeline and what to do, and free what killed runs left behind.",
        "minicode doctor\nminicode doctor --json",
        run_doctor,
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run_doctor(options: argparse.Namespace) -> int:
    """`minicode doctor`: 1 if something blocks."""
    from minicode_assets.defs.doctor import BLOCKS, examine

    findings = list(examine())
    if options.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.verdict:<8} {finding.subject:<14} {finding.found}")
            if finding.hint:
                print(f"{'':<8} {'':<14} hint: {finding.hint}")
    return int(any(finding.verdict == BLOCKS for finding in findings))


def add_prune(commands: Any) -> None:
    """The parser of `minicode prune`."""
    parser = add_command(
        commands,
        "prune",
        "Delete Dagster's records of old runs, and old generations of artefacts in a bucket; what counts now stays.",
        "minicode prune --days 90",
        run_prune,
    )
    parser.add_argument("--days", type=natural, default=90, help="age from which on they are deleted (default 90)")


def run_prune(options: argparse.Namespace) -> int:
    """`minicode prune`."""
    from datetime import timedelta

    from minicode_assets.defs.instance import prune_runs, ready_instance
    from minicode_assets.defs.settings import from_environment

    with ready_instance() as instance:
        deleted, kept = prune_runs(instance, days=options.days)
    print(f"{deleted} runs deleted, {kept} old ones kept: they made what is there now")
    removed = from_environment().storage.prune(min_age=timedelta(days=options.days))
    print(f"{removed} objects of former generations removed from the storage root")
    return 0


COMMANDS = (add_doctor, add_prune)
