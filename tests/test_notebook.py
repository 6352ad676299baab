"""The guide that is a notebook: its cells run on a finished chain, and print what is shown."""

import ast
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Home

LOOK = ROOT / "docs" / "guides" / "look.ipynb"


def run_cell(source: str, names: dict[str, Any]) -> str:
    """What a cell prints; its last expression is evaluated, as Jupyter does."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(ast.parse(source), str(LOOK), "exec"), names)
    return printed.getvalue()


def test_the_notebook_prints_what_it_shows(finished: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in finished.environment.items():
        monkeypatch.setenv(name, value)
    cells = [cell for cell in json.loads(LOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = 0
    for cell in cells:
        printed = run_cell("".join(cell["source"]), names)
        if cell["outputs"]:
            assert printed == "".join(cell["outputs"][0]["text"])
            shown += 1
    assert (shown, len(cells)) == (5, 8)
    assert len(names["newly"]) > 0
    assert Path(names["layout"].root) == finished.data
