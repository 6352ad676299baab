"""ruff's findings as a sidecar: the documents' rows, pylint's formula, a program that fails is told."""

import dataclasses

import pytest

from minicode_assets.config import Lint
from minicode_assets.corpus.annotate import lint
from minicode_assets.errors import CorpusError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import DOCUMENTS, LINT
from tests.corpus.worlds import documents_of

PARAMS = Lint(ruff="ruff")
TEXTS = {
    "good.py": "x = 1\n",
    "unused.py": "import os\n\n\ny = 1\n",
    "undefined.py": "y = undefined\n",
    "hidden.py": "# ruff: noqa\ny = undefined\n",
    "broken.py": "def f(:\n",
    "cr.py": "x = 1\ry = 2\r",
    "deep.py": f"x = {'-' * 200_000}1\n",
    "copy.py": "x = 1\n",
    "empty.py": "",
    "none.py": None,
}


def scores(tmp_path, params=PARAMS):
    documents = documents_of(TEXTS, tmp_path / "documents")
    artifact = lint.annotate(documents, tmp_path / "lint", params=params, config_digest="", cache=tmp_path / "cache")
    rows, frame = read_table(documents, DOCUMENTS), read_table(artifact.path, LINT)
    assert frame["document_id"].equals(rows["document_id"])
    return dict(zip(rows["path"], frame["lint_score"], strict=True))


def test_scores(tmp_path):
    expected = {"good.py": 10, "unused.py": 0, "undefined.py": 0, "hidden.py": 0, "broken.py": None, "cr.py": 10,
                "deep.py": None, "copy.py": 10, "empty.py": 10, "none.py": None}  # fmt: skip
    assert scores(tmp_path) == expected
    # The second time nothing is asked: a program that isn't there does no harm.
    assert scores(tmp_path, dataclasses.replace(PARAMS, ruff="/no/such/ruff")) == expected


def test_off_by_default_is_null_and_starts_nothing(tmp_path):
    assert set(scores(tmp_path, Lint()).values()) == {None}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"ruff": "/no/such/ruff"}, "No such file"),
        ({"ruff": "/bin/false"}, "ended with status 1"),
        ({"ruff_version": "0.1"}, "expected ruff 0.1"),
        ({"rules": ("NOSUCH",)}, "ended with status 2"),
    ],
)
def test_failures_are_told(tmp_path, change, expected):
    with pytest.raises(CorpusError, match=expected) as caught:
        scores(tmp_path, dataclasses.replace(PARAMS, **change))
    assert "hint:" in str(caught.value)
