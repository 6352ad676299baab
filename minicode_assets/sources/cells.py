"""Notebook files as cells: code, text and the last outputs, whatever version of the format."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_CODE, _TEXT = "code", "markdown"
_PROSE_TYPES = ("text/restructuredtext", "text/x-rst", "text/markdown")
"""What `raw_mimetype` of a raw cell calls text. Source: nbformat, raw NBConvert cells."""


@dataclass(frozen=True)
class Cell:
    """One cell, or several of one kind that stood together.

    Attributes:
        kind: code or markdown.
        text: Its source.
        output: What its last run printed or returned as plain text; empty without.
    """

    kind: str
    text: str
    output: str = ""


@dataclass(frozen=True)
class Notebook:
    """A parsed notebook: its language (empty where it doesn't say) and its cells in order."""

    language: str
    cells: tuple[Cell, ...]


def parse_notebook(content: bytes) -> Notebook | None:
    """The notebook in a file; None where it is none: no JSON, no cells, cells of another shape."""
    try:
        raw = json.loads(content.decode("utf-8-sig"))
        return Notebook(_language(raw), tuple(_cells(raw)))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError):
        return None


def merged(cells: tuple[Cell, ...]) -> Iterator[Cell]:
    """Neighbours of one kind as one cell, with the last output. Source: StarCoder, structured notebooks."""
    for kind, run in groupby((cell for cell in cells if cell.text.strip()), key=attrgetter("kind")):
        alike = list(run)
        yield Cell(kind, "\n\n".join(cell.text for cell in alike), alike[-1].output)


def _cells(raw: Mapping[str, Any]) -> Iterator[Cell]:
    """Format 4 has `cells`; format 3 `worksheets` with `input` in the place of `source`."""
    sheets = [raw] if "cells" in raw else raw["worksheets"]
    for sheet in sheets:
        for cell in sheet["cells"]:
            text = _joined(cell.get("source", cell.get("input", "")))
            if cell["cell_type"] == "code":
                yield Cell(_CODE, text, _output(cell.get("outputs") or []))
            elif cell["cell_type"] in ("markdown", "heading") or _is_prose(cell):
                yield Cell(_TEXT, "#" * min(max(int(cell.get("level", 0)), 0), 6) + " " * ("level" in cell) + text)


def _is_prose(cell: Mapping[str, Any]) -> bool:
    """Whether a raw cell says that it is text: seaborn's documentation has its words in such."""
    return cell["cell_type"] == "raw" and (cell.get("metadata") or {}).get("raw_mimetype") in _PROSE_TYPES


def _output(outputs: list[Mapping[str, Any]]) -> str:
    found = [_plain(output) for output in outputs]
    return _ANSI.sub("", "\n".join(text.rstrip("\n") for text in found if text))


def _plain(output: Mapping[str, Any]) -> str:
    """Streams as they are, results in their plain form, of an error its last line. Pictures have none."""
    kind = output["output_type"]
    if kind == "stream":
        return _joined(output.get("text", ""))
    if kind in ("error", "pyerr"):
        return f"{output.get('ename', '')}: {output.get('evalue', '')}"
    data = output.get("data", output)
    if any(name.startswith("image/") or name in ("png", "jpeg") for name in data):
        return ""
    return _joined(data.get("text/plain", data.get("text", "")))


def _joined(text: Any) -> str:
    if isinstance(text, Mapping):
        raise TypeError("found an object, expected text or lines")
    return text if isinstance(text, str) else "".join(text)


def _language(raw: Mapping[str, Any]) -> str:
    metadata = raw.get("metadata") or {}
    named = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
    if not named and "worksheets" in raw:
        named = next((cell["language"] for cell in raw["worksheets"][0]["cells"] if "language" in cell), None)
    return str(named or "").lower()
