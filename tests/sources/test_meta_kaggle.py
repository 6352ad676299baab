"""Meta Kaggle's tables: what a notebook of Kaggle begins with, and tables that are none."""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from minicode_assets.errors import SourceError
from minicode_assets.sources.meta_kaggle import LINKS, OWNERS, USERS, VERSIONS
from minicode_assets.sources.notebooks import fingerprint, local_notebooks, read_notebooks
from tests.sources.test_notebooks import PARAMS, code, notebook, text

VERSION_ROWS = [
    {"Id": "7", "DatasetId": "1", "Title": "Wines", "Slug": "wine-list", "Description": 'Of "1,000"\nbottles.\n'},
    {"Id": "5", "DatasetId": "2", "Title": " Grapes ", "Slug": "grapes", "Description": ""},
    {"Id": "6", "DatasetId": "3", "Title": "Unused", "Slug": "s", "Description": "no"},
    {"Id": "8", "DatasetId": "4", "Title": "", "Slug": "s", "Description": "of nothing"},
]
OWNER_ROWS = [{"Id": "1", "OwnerUserId": "100.0"}, {"Id": "2", "OwnerUserId": ""}, {"Id": "4", "OwnerUserId": "9"}]
USER_ROWS = [{"Id": "100", "UserName": "anna"}, {"Id": "101", "UserName": "other"}]
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
    files = {
        LINKS[0]: table(LINK_ROWS),
        VERSIONS[0]: table(VERSION_ROWS),
        OWNERS[0]: table(OWNER_ROWS),
        USERS[0]: table(USER_ROWS),
    } | {f"{n}.csv": d for n, d in tables.items()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "code" / "000").mkdir(parents=True)
    for number in (11, 12, 13, 14):
        (folder / "code" / "000" / f"{number}.ipynb").write_bytes(notebook(text("Then"), code("print(1)")))
    return replace(PARAMS, folders=(str(folder / "code"),), meta_kaggle=str(folder))


def texts(params: Any) -> dict[str, str]:
    documents = read_notebooks(local_notebooks(params, checkout=Path.cwd(), licensing=lambda _: None), params)
    return {f"{d.source} {d.path[4:6]}": d.text.replace("\ufdd0", "") for d in documents}


def test_a_notebook_begins_with_its_data_sets(tmp_path: Path) -> None:
    params = home(tmp_path)
    (tmp_path / "code" / "000" / "15.ipynb").write_bytes(notebook(text("No"), code("Python: ?")))
    found = texts(params)
    wines = 'Wines\nOf "1,000"\nbottles.\nKaggle dataset identifier: anna/wine-list'
    grapes = "Grapes\nKaggle dataset identifier: grapes"
    assert found["notebook_scripts 11"] == (
        f"<jupyter_start><jupyter_text>{grapes}<jupyter_text>{wines}<jupyter_script># Then\n\nprint(1)\n"
    )
    assert found["notebooks 11"] == (f"<jupyter_start><jupyter_text>{grapes}\n\n{wines}\n\nThen<jupyter_code>print(1)")
    assert {found[f"notebook_scripts {n}"] for n in (12, 13, 14)} == {"# Then\n\nprint(1)\n"}
    assert found["notebook_scripts 15"] == "", "no Python"
    assert "Of\nKaggle" in texts(replace(params, max_description_characters=2))["notebooks 11"]


def test_other_tables_make_it_stale(tmp_path: Path) -> None:
    params = home(tmp_path)
    before = fingerprint(params)
    (tmp_path / VERSIONS[0]).write_bytes(table(VERSION_ROWS[:1]))
    assert fingerprint(params) != before
    assert fingerprint(replace(params, meta_kaggle="")) != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Id,Name\n7,Wines\n", "no column DatasetId, Title, Description, Slug; found Id, Name"),
        (b"", "no readable CSV"),
        (b"Id,DatasetId,Title,Description,Slug\n7,a,b,c,d,e\n", "no readable CSV"),
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
