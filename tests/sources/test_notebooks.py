"""Notebooks: hand-checked renderings, the rules that drop one, and every version of the format."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minicode_assets.config.sources import Notebooks
from minicode_assets.sources.cells import parse_notebook
from minicode_assets.sources.notebooks import (
    NotebookFile,
    fingerprint,
    local_notebooks,
    python_script,
    read_notebooks,
    triplets,
)

PARAMS = Notebooks(distributions=(), min_code_characters=5)
PYTHON = {"language_info": {"name": "python"}}


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {}, "execution_count": None}


def text(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "source": source.splitlines(keepends=True), "metadata": {}}


def stream(printed: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": printed.splitlines(keepends=True)}


def notebook(*cells: dict[str, Any], metadata: dict[str, Any] = PYTHON) -> bytes:
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}).encode()


RESULT = {"output_type": "execute_result", "data": {"text/plain": ["[1, 2]"]}, "metadata": {}, "execution_count": 1}
PICTURE = {"output_type": "display_data", "data": {"image/png": "iVBOR", "text/plain": "<Figure>"}, "metadata": {}}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": ["\x1b[31mlong\x1b[0m"]}

GOLDEN = {
    "text, code and output": (
        [text("# Sums\nWe add."), code("print(1 + 1)", stream("2\n"))],
        "<jupyter_start><jupyter_text># Sums\nWe add.<jupyter_code>print(1 + 1)<jupyter_output>2",
    ),
    "a raw cell that is text": (
        [
            {**text("We :ref:`add`."), "cell_type": "raw", "metadata": {"raw_mimetype": "text/restructuredtext"}},
            {**text("\\newpage"), "cell_type": "raw", "metadata": {"raw_mimetype": "text/latex"}},
            code("x"),
        ],
        "<jupyter_start><jupyter_text>We :ref:`add`.<jupyter_code>x<jupyter_output><empty_output>",
    ),
    "no output": (
        [code("x = 1"), text("Then"), code("x")],
        "<jupyter_start><jupyter_code>x = 1<jupyter_output><empty_output><jupyter_text>Then<jupyter_code>x"
        "<jupyter_output><empty_output>",
    ),
    "neighbours merged, the last output stays": (
        [code("a = 1", stream("first\n")), code("print(a)", stream("1\n")), text("One"), text("Two")],
        "<jupyter_start><jupyter_code>a = 1\n\nprint(a)<jupyter_output>1<jupyter_text>One\n\nTwo",
    ),
    "a picture has no text, an error its last line": (
        [code("plot()", PICTURE), text("-"), code("fail()", ERROR)],
        "<jupyter_start><jupyter_code>plot()<jupyter_output><empty_output><jupyter_text>-<jupyter_code>fail()"
        "<jupyter_output>ValueError: bad",
    ),
    "results follow what was printed, colours go": (
        [text("-"), code("f()", stream("\x1b[1mbold\x1b[0m\n"), RESULT)],
        "<jupyter_start><jupyter_text>-<jupyter_code>f()<jupyter_output>bold\n[1, 2]",
    ),
    "what somebody wrote is never a mark": (
        [text("-"), code("s = '<jupyter_output>\ufdd0<jupyter_code>'")],
        "<jupyter_start><jupyter_text>-<jupyter_code>s = '<jupyter_output>\ufdd0\ufdd1<jupyter_code>'<jupyter_output>"
        "<empty_output>",
    ),
}


@pytest.mark.parametrize(("cells", "expected"), GOLDEN.values(), ids=list(GOLDEN))
def test_triplets(cells: list[dict[str, Any]], expected: str) -> None:
    parsed = parse_notebook(notebook(*cells))
    assert parsed
    status, rendered = triplets(parsed, (), PARAMS)
    assert status == "ok"
    shown = rendered.replace("\ufdd0\ufdd1", "\0").replace("\ufdd0", "").replace("\0", "\ufdd0\ufdd1")
    assert shown == expected
    inner = rendered.replace("\ufdd0\ufdd1", "")
    assert inner.count("\ufdd0") == sum(inner.count(f"\ufdd0<{name}>") for name in
        ("jupyter_start", "jupyter_text", "jupyter_code", "jupyter_output", "empty_output"))  # fmt: skip


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([code("x = 1")], "x = 1\n"),
        ([text("# Title\nwords"), code("x = 1")], "# # Title\n# words\n\nx = 1\n"),
        ([code("import os"), code("os.getcwd()")], "import os\n\nos.getcwd()\n"),
        ([code("%matplotlib inline\nx = 1")], "# %matplotlib inline\nx = 1\n"),
        ([code("!pip install a"), text("Then"), code("y")], "# !pip install a\n\n# Then\n\ny\n"),
        ([code("def f():\n    return 1"), code("f()")], "def f():\n    return 1\n\n\nf()\n"),
    ],
)
def test_scripts(cells: list[dict[str, Any]], expected: str) -> None:
    parsed = parse_notebook(notebook(*cells))
    assert parsed
    assert python_script(parsed) == expected


KAGGLE = (
    "# This Python 3 environment comes with many helpful analytics libraries installed\n# It is defined by ...\n\n"
    "import numpy as np\n# You can also write temporary files to /kaggle/temp/, but they won't be saved outside of the "
    "current session\n"
)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (notebook(text("Words"), code("print('enough code')")), "ok"),
        (b"{not json", "malformed"),
        (b'{"cells": 3}', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"cells": ' + b'[{"cells": ' * 10_000, "malformed"),
        (notebook({**text("a"), "level": float("inf")}), "malformed"),
        (notebook({**text("a"), "source": {"a": 1}}), "malformed"),
        (notebook({**text("a"), "source": [["a"]]}), "malformed"),
        (b"\xff\xfe\x00", "malformed"),
        (notebook(code("library(dplyr)"), metadata={"kernelspec": {"language": "R"}}), "language"),
        (notebook(code("x")), "short"),
        (notebook(code(KAGGLE)), "template"),
        (notebook(text("Words"), code(KAGGLE), code("print('my own')")), "ok"),
        (notebook(code("x" * 200_000)), "too_long"),
    ],
)
def test_what_is_dropped_says_why(content: bytes, status: str) -> None:
    params = replace(PARAMS, max_notebook_bytes=150_000)
    found = list(read_notebooks([NotebookFile("https://e.org/r", "a.ipynb", content)], params))
    assert [document.status for document in found] == [status, status]
    assert [document.source for document in found] == ["notebook_scripts", "notebooks"]
    assert len({document.row()["document_id"] for document in found}) == 2
    assert "analytics libraries" not in found[1].text


def test_triplets_want_text_and_a_language() -> None:
    contents = [notebook(code("print(1)")), notebook(text("Words"), code("print(1)"), metadata={})]
    files = [NotebookFile("https://e.org/r", "a.ipynb", content) for content in contents]
    found = [(document.source, document.status) for document in read_notebooks(files, PARAMS)]
    assert found == [("notebook_scripts", "ok"), ("notebooks", "no_prose"), ("notebook_scripts", "ok"),
                     ("notebooks", "language")]  # fmt: skip


def test_version_3_and_long_outputs() -> None:
    old = {
        "nbformat": 3,
        "metadata": {},
        "worksheets": [{"cells": [
            {"cell_type": "heading", "level": 2, "source": ["Old"]},
            {"cell_type": "code", "language": "python", "input": ["print('hello')"],
             "outputs": [{"output_type": "stream", "text": ["y" * 5000]}]},
        ]}],
    }  # fmt: skip
    parsed = parse_notebook(json.dumps(old).encode())
    assert parsed
    assert parsed.language == "python"
    shown = triplets(parsed, (), PARAMS)[1].replace("\ufdd0", "")
    assert shown == f"<jupyter_start><jupyter_text>## Old<jupyter_code>print('hello')<jupyter_output>{'y' * 2000}"


def test_a_heading_of_a_million_levels() -> None:
    heading = {"cell_type": "heading", "level": 10**9, "source": "Deep"}
    parsed = parse_notebook(notebook(heading))
    assert parsed
    assert parsed.cells[0].text == "###### Deep"


def test_folders_are_searched(tmp_path: Any) -> None:
    (tmp_path / "repo" / "deep" / ".ipynb_checkpoints").mkdir(parents=True)
    (tmp_path / "repo" / "LICENSE").write_text("stands for a licence")
    for name in ("a.ipynb", "deep/b.IPYNB", "deep/.ipynb_checkpoints/b.ipynb", "c.py"):
        (tmp_path / "repo" / name).write_bytes(notebook(code("x = 1")))
    params = replace(PARAMS, folders=(str(tmp_path / "repo"),))
    found = list(
        local_notebooks(params, checkout=tmp_path, licensing=lambda content: "MIT" if b"licence" in content else None)
    )
    assert [(file.origin_url, file.path, file.license) for file in found] == [
        ("file:///repo", "a.ipynb", "MIT"),
        ("file:///repo", "deep/b.IPYNB", "MIT"),
    ]


def test_a_folder_inside_a_work_tree_has_its_url_and_licence(tmp_path: Path) -> None:
    tree = tmp_path / "project"
    (tree / "docs" / "deep").mkdir(parents=True)
    (tree / ".git").mkdir()
    (tree / ".git" / "config").write_text('[remote "origin"]\n\turl = https://example.org/o/project.git\n')
    (tree / "LICENSE").write_text("stands for a licence")
    for name in ("docs/deep/a.ipynb", "other.ipynb"):
        (tree / name).write_bytes(notebook(code("x = 1")))
    params = replace(PARAMS, folders=(str(tree / "docs"), str(tree / "docs" / "deep")))
    found = list(local_notebooks(params, checkout=tmp_path, licensing=lambda content: content.decode()[-7:]))
    assert {(file.origin_url, file.path, file.license) for file in found} == {
        ("https://example.org/o/project.git", "docs/deep/a.ipynb", "licence"),
    }


def test_the_checkout_makes_nothing_stale(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "docs").mkdir()
    params = replace(PARAMS, folders=("checkout/docs", "checkout/absent"))
    before = fingerprint(params)
    (tmp_path / "docs" / "a.ipynb").write_bytes(notebook(code("x = 1")))
    (file,) = local_notebooks(params, checkout=tmp_path, licensing=lambda _: None)
    assert (file.origin_url, file.path) == ("file:///minicode", "docs/a.ipynb")
    assert fingerprint(params) == before
    assert list(local_notebooks(params, checkout=tmp_path / "elsewhere", licensing=lambda _: None)) == []
