"""What every command of `minicode` needs: its parser, the data folder, figures on stdout."""

import argparse
from pathlib import Path
from typing import Any

Parser = argparse.ArgumentParser


def add_command(commands: Any, name: str, summary: str, example: str, run: Any) -> Parser:
    """A command with its help, an example, and the function that runs it."""
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=summary,
        epilog="example:\n  " + example.replace("\n", "\n  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def data_layout(*assets: str) -> Any:
    """The layout of the data folder that the environment names, with these unpartitioned assets fetched into it."""
    from minicode_assets.defs.settings import from_environment
    from minicode_assets.layout import Layout

    settings = from_environment()
    layout = Layout(settings.data_folder)
    for name in assets:
        settings.storage.fetch(layout.asset(name))
    return layout


def new_folder(folder: Path, kind: str) -> Path:
    """The absolute path of --out, after `check_replaceable`."""
    from minicode_model.artifact import check_replaceable

    check_replaceable(folder, kind)
    return folder.absolute()


def natural(text: str) -> int:
    """An option's number of things, 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number, 0 or more")
    return int(text)


def scalars(metadata: Any) -> dict[str, Any]:
    """The plain figures of an artefact's metadata."""
    return {name: value for name, value in metadata.items() if isinstance(value, (int, float, str))}


def print_figures(figures: dict[str, Any]) -> None:
    """One line a figure on stdout."""
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count:,}" for key, count in value.items())
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}" if isinstance(value, float) else value
        print(f"{name:<22}{text}")
