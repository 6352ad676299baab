"""The `minicode` command. Options choose what to run, never thresholds; data goes to stdout, progress to stderr."""

import argparse
import io
import logging
import sys
from collections.abc import Sequence

from minicode_assets.cli import curation, model, operations, run
from minicode_assets.cli.parser import Parser
from minicode_assets.errors import MinicodeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 a problem that the message explains, 2 wrong usage."""
    options = build_parser().parse_args(arguments)
    _log_progress(options.quiet)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal's encoding may lack a character, a path may be no text
        sys.stdout.reconfigure(errors="backslashreplace")
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
    for add in (*run.COMMANDS, *curation.COMMANDS, *model.COMMANDS, *operations.COMMANDS):
        add(commands)
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
