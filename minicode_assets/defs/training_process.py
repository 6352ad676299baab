"""The process that trains: `python -m minicode_assets.defs.training_process request.json`, alone or under torchrun."""

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes

from minicode_assets.defs.external_training import Places, from_json
from minicode_model.artifact import write_file
from minicode_model.errors import MinicodeError


def main(request: Path) -> int:
    """Train as the request says; 0 with a checkpoint, 1 with a problem, which `outcome.json` tells."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    training = from_json(request.read_text())
    outcome = {"what": "", "hint": "", "may_pass": False}
    if os.environ.get("RANK", "0") != "0":
        training.run(lambda _: None)
        return 0
    with open_dagster_pipes() as pipes:
        try:
            training.run(lambda progress: _report(pipes, progress))
        except MinicodeError as error:
            outcome = {"what": error.what, "hint": error.hint, "may_pass": error.may_pass}
            logging.getLogger("minicode").error("%s", error)
    write_file(Places(training.work).outcome, lambda path: path.write_text(json.dumps(outcome)))
    return 1 if outcome["what"] else 0


def _report(pipes: PipesContext, progress: Mapping[str, Any]) -> None:
    pipes.report_custom_message(dict(progress))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
