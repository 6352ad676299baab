"""Meta Kaggle's tables: what a notebook of Kaggle begins with, and tables that are none."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minicode_assets.errors import SourceError
from minicode_assets.sources.meta_kaggle import LINKS, VERSIONS
from minicode_assets.sources.notebooks import fingerprint, local_notebooks, read_notebooks
from tests.sources.test_notebooks import PARAMS, code, notebook, text

VERSION_ROWS = [
    {"Id": "7", "DatasetId": "1", "Title": "Wines", "Subtitle": "s", "Description": 'Of "1,000"\nbottles.\n'},
    {"Id": "5", "DatasetId": "2", "Title": " Grapes ", "Subtitle": "s", "Description": ""},
    {"Id": "6", "DatasetId": "3", "Title": "Unused", "Subtitle": "s", "Description": "no"},
    {"Id": "8", "DatasetId": "4", "Title": "", "Subtitle": "s", "Description": "of nothing"},
]
LINK_ROWS = [
    {"Id": str(row), "KernelVersionId": kernel, "SourceDatasetVersionId": version}
    for row, (kernel, version) in enumerate([("11", "7"), ("11", "5"), ("11", "7"), ("12", "8"), ("12", ""), ("x", "6"),
                                             ("13", "99")])
]  # fmt: skip


def table(rows: list[dict[str, str]]) -> bytes:
    written = io.StringIO()
    writer = csv.DictWriter(written, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue().encode()


def home(folder: Path, **tables: bytes) -> Any:
    files = {LINKS[0]: table(LINK_ROWS), VERSIONS[0]: table(VERSION_ROWS)} | {f"{n}.csv": d for n, d in tables.items()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "code" / "000").mkdir(parents=True)
    for number in (11, 12, 13, 14):
        (folder / "code" / "000" / f"{number}.ipynb").write_bytes(notebook(text("Then"), code("print(1)")))
    return replace(PARAMS, folders=(str(folder / "code"),), meta_kaggle=str(folder))


def texts(params: Any) -> dict[str, str]:
    documents = read_notebooks(local_notebooks(params, licensing=lambda _: None), params)
    return {f"{d.source} {d.path[4:6]}": d.text.replace("\ufdd0", "") for d in documents}


def test_a_notebook_begins_with_its_data_sets(tmp_path: Path) -> None:
    params = home(tmp_path)
    rest = "<jupyter_code>print(1)<jupyter_output><empty_output>"
    found = texts(params)
    assert found["notebooks 11"] == (
        f'<jupyter_start><jupyter_text># Grapes\n\n# Wines\n\nOf "1,000"\nbottles.\n\nThen{rest}'
    )
    assert found["notebook_scripts 11"].startswith('# # Grapes\n#\n# # Wines\n#\n# Of "1,000"\n# bottles.\n\n# Then\n')
    assert {found[f"notebooks {n}"] for n in (12, 13, 14)} == {f"<jupyter_start><jupyter_text>Then{rest}"}
    assert "Of\n\nThen" in texts(replace(params, max_description_characters=2))["notebooks 11"]


def test_other_tables_make_it_stale(tmp_path: Path) -> None:
    params = home(tmp_path)
    before = fingerprint(params)
    (tmp_path / VERSIONS[0]).write_bytes(table(VERSION_ROWS[:1]))
    assert fingerprint(params) != before
    assert fingerprint(replace(params, meta_kaggle="")) != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Id,Name\n7,Wines\n", "no column Title, Description; found Id, Name"),
        (b"", "no readable CSV"),
        (b"Id,Title,Description\n7,a,b,c,d\n", "no readable CSV"),
    ],
)
def test_what_is_no_table_stops_the_run(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        texts(home(tmp_path, DatasetVersions=content))


def test_without_a_table_the_run_says_where_it_was_looked_for(tmp_path: Path) -> None:
    params = home(tmp_path)
    (tmp_path / LINKS[0]).unlink()
    with pytest.raises(SourceError, match=rf"{LINKS[0]}.*\n?.*hint: correct \[notebooks\] meta_kaggle"):
        texts(params)
