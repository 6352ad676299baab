"""Jupyter notebooks as training text: scripts, and triplets of text, code and output.

`<jupyter_script>code` has the text as comments (jupytext's light format). `<jupyter_start>` begins the other form, in
which each stretch of `<jupyter_text>` is followed by `<jupyter_code>` and `<jupyter_output>`, with `<empty_output>`
where a run printed nothing. Kaggle's have no outputs, and begin with their data sets. Source: StarCoder2, 2.4 and 5.4.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minicode_assets.config.sources import NOTEBOOK_SUFFIXES, Notebooks
from minicode_assets.sources.cells import Cell, Notebook, merged, parse_notebook
from minicode_assets.sources.document import Document
from minicode_assets.sources.files import Licensing, has_suffix, in_checkout, listing, origins, outside_checkout
from minicode_assets.sources.manifest_files import Manifest, ManifestFile, manifest_files
from minicode_assets.sources.marks import escaped, mark
from minicode_assets.sources.meta_kaggle import DataSets, load_data_sets, table_sizes
from minicode_model.artifact import digest_of

FORMAT = 2
"""Raise when the same files give other texts."""
TEMPLATE = re.compile(
    r"(?is)^\s*# This Python 3 environment comes with many helpful analytics libraries installed.{0,2000}?"
    r"(?:outside of the current session|you write to the current directory[^\n]*|any results you write[^\n]*)\s*"
)
"""The cell that Kaggle puts into every new notebook, by its first and last sentences."""
PYTHON = ("python", "python3", "python2", "ipython", "")
"""Languages that are taken; a notebook that says nothing is of the time when there was nothing else."""
Form = Callable[[Notebook, Sequence[str], Notebooks], tuple[str, str]]
"""From a notebook and what is put before it to a status and the text."""
is_notebook = has_suffix(*NOTEBOOK_SUFFIXES)


@dataclass(frozen=True)
class NotebookFile:
    """A notebook's bytes and where they come from.

    Attributes:
        origin_url, path, content, license: As in `Document`.
        file: Of a file of the manifest, what it is; its status may say that there are no bytes.
        about: Texts that are put before it: of Kaggle's, its data sets.
    """

    origin_url: str
    path: str
    content: bytes
    license: str | None = None
    file: ManifestFile | None = None
    about: tuple[str, ...] = ()

    @property
    def document(self) -> Document:
        """The document without form and text."""
        if self.file:
            return self.file.document("notebooks")
        return Document(
            source="notebooks", record_id=f"{self.origin_url}/{self.path}", origin_url=self.origin_url, path=self.path,
            text="", license=self.license, content=self.content,
        )  # fmt: skip


def read_notebooks(files: Iterable[NotebookFile], params: Notebooks) -> Iterator[Document]:
    """Each notebook in the forms that are asked for.

    Statuses: too_long, malformed (no notebook), language (not Python, or, of triplets, nothing that says so), template
    (Kaggle's own cell and little else), short, syntax (of Kaggle's, what is no Python), no_prose (triplets without
    text).
    """
    forms: list[tuple[str, Form]] = []
    forms += [("notebook_scripts", script)] if params.scripts else []
    forms += [("notebooks", triplets)] if params.cells else []
    for file in files:
        status, notebook = _judged(file, params)
        for source, form in forms:
            found, text = form(notebook, file.about, params) if notebook and status == "ok" else (status, "")
            yield replace(file.document, source=source, text=text, status=found)


def _judged(file: NotebookFile, params: Notebooks) -> tuple[str, Notebook | None]:
    if file.document.status != "ok":
        return file.document.status, None
    if len(file.content) > params.max_notebook_bytes:
        return "too_long", None
    notebook = parse_notebook(file.content)
    return judge(notebook, params) if notebook else ("malformed", None)


def local_notebooks(params: Notebooks, *, checkout: Path, licensing: Licensing) -> Iterator[NotebookFile]:
    """The notebooks of distributions and folders, by name and path.

    Raises:
        ArchiveError, SourceError: As `files.origins`, `load_data_sets`.
    """
    tables, characters = params.meta_kaggle, params.max_description_characters
    for origin in origins(params.distributions, in_checkout(params.folders, checkout), checkout):
        chosen = origin.chosen(is_notebook)
        license_expression = origin.license(licensing) if chosen else None
        data_sets = load_data_sets(Path(tables), chosen, max_characters=characters) if tables else DataSets()
        for path, place in chosen.items():
            with place.open("rb") as stream:
                content = stream.read(params.max_notebook_bytes + 1)
            yield NotebookFile(origin.url, path, content, license_expression, about=data_sets.about(path))


def manifest_notebooks(manifest: Manifest) -> Iterator[NotebookFile]:
    """The notebooks of the manifest, by content."""
    for file in manifest_files(manifest, NOTEBOOK_SUFFIXES, is_notebook):
        yield NotebookFile(file.origin_url, file.path, file.content, file=file)


def fingerprint(params: Notebooks) -> str:
    """Digest (hex) of the files that would be read: names and sizes, those of the checkout left out."""
    files = listing(origins(params.distributions, outside_checkout(params.folders)), is_notebook)
    return digest_of([FORMAT, files, table_sizes(params.meta_kaggle)])


def judge(notebook: Notebook, params: Notebooks) -> tuple[str, Notebook]:
    """Ok or the rule that drops it, and the notebook without Kaggle's template."""
    cells = tuple(Cell(c.kind, TEMPLATE.sub("", c.text), c.output) for c in notebook.cells)
    had_template = cells != notebook.cells
    cleaned = Notebook(notebook.language, cells)
    if notebook.language not in PYTHON:
        return "language", cleaned
    if sum(len(cell.text.strip()) for cell in cells if cell.kind == "code") < params.min_code_characters:
        return "template" if had_template else "short", cleaned
    return "ok", cleaned


def script(notebook: Notebook, about: Sequence[str], params: Notebooks) -> tuple[str, str]:
    """Status, and code with the text as comments, behind the data sets that it is about. Source: StarCoder2."""
    code = python_script(notebook)
    if params.meta_kaggle and not _is_python(code):
        return "syntax", ""
    if not about:
        return "ok", escaped(code)
    told = "".join(mark("<jupyter_text>") + escaped(text) for text in about)
    return "ok", f"{mark('<jupyter_start>')}{told}{mark('<jupyter_script>')}{escaped(code)}"


def python_script(notebook: Notebook) -> str:
    """Code with the text as comments, magic commands commented out. Source: jupytext, as StarCoder2."""
    import jupytext
    from nbformat import v4

    new_cell: dict[str, Callable[[str], Any]] = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell}
    new_notebook: Callable[..., Any] = v4.new_notebook
    book = new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
            "jupytext": {"notebook_metadata_filter": "-all", "cell_metadata_filter": "-all"},
        },
        cells=[new_cell[cell.kind](cell.text) for cell in notebook.cells if cell.text.strip()],
    )
    return str(jupytext.writes(book, fmt="py:light"))


def _is_python(code: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def triplets(notebook: Notebook, about: Sequence[str], params: Notebooks) -> tuple[str, str]:
    """Status, and text, code and output in turn, with marks; of Kaggle's notebooks no outputs."""
    cells = (*(Cell("markdown", text) for text in about), *notebook.cells)
    if not notebook.language:
        return "language", ""
    if not any(cell.kind == "markdown" and cell.text.strip() for cell in cells):
        return "no_prose", ""
    parts = [mark("<jupyter_start>")]
    for cell in merged(cells):
        parts += [mark("<jupyter_text>" if cell.kind == "markdown" else "<jupyter_code>"), escaped(cell.text)]
        if cell.kind == "code" and not params.meta_kaggle:
            output = cell.output[: params.max_output_characters].strip("\n")
            parts += [mark("<jupyter_output>"), escaped(output) if output else mark("<empty_output>")]
    return "ok", "".join(parts)
