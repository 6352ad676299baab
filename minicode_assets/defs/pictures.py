"""Pictures and previews for the web UI: Markdown tables and plots as inline PNG."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg
import polars as pl

from minicode_assets.schemas import Table

PREVIEW_ROWS = 8
PREVIEW_CHARACTERS = 60


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(column.name, type=str(column.dtype), description=column.meaning) for column in table.columns
        ]
    )


def preview(folder: Path, table: Table) -> dg.MarkdownMetadataValue:
    """The first rows of a table artefact, ids in hex, long values cut; of contents their size.

    Dagster keeps what it shows for ever, so contents would outlive their authors' wish to have them removed.
    """
    paths = sorted(folder.glob("*.parquet"))
    frame = pl.scan_parquet(paths, glob=False).head(PREVIEW_ROWS).collect() if paths else pl.DataFrame()
    sizes = {"text": pl.col("text").cast(pl.Binary), "data": pl.col("data")}
    contents = [name for name in sizes if name in frame.columns]
    return frame_table(frame.with_columns(sizes[name].bin.size().alias(name) for name in contents).rename(
        {name: f"{name} (bytes)" for name in contents}
    ))  # fmt: skip


def frame_table(frame: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A small frame as a Markdown table."""
    return rows_table(frame.columns, frame.rows())


def rows_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: object) -> str:
    if isinstance(value, bytes):
        text = value.hex() if len(value) in (20, 32) else value.decode("utf-8", "backslashreplace")
    else:
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    text = text.replace("|", "\\|").replace("\n", " ⏎ ").replace("`", "'").replace("<", "&lt;")
    return text if len(text) <= PREVIEW_CHARACTERS else text[: PREVIEW_CHARACTERS - 1] + "…"


def fenced(text: str) -> str:
    """A text as a Markdown code block, whatever backticks it holds."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def line_plot(
    title: str, x_label: str, y_label: str, series: Mapping[str, tuple[Sequence[float], Sequence[float]]]
) -> dg.MarkdownMetadataValue:
    """Curves, one a name, as a picture."""
    figure, axes = _figure(title, x_label, y_label)
    for name, (x, y) in series.items():
        axes.plot(x, y, label=name, linewidth=1.4, marker="o" if len(x) < 15 else None, markersize=3)
    axes.legend(frameon=False)
    return _picture(figure, title)


def bar_plot(title: str, x_label: str, bars: Mapping[str, float]) -> dg.MarkdownMetadataValue:
    """Horizontal bars, first on top, each with its figure, as a picture."""
    figure, axes = _figure(title, x_label, "", height=1.2 + 0.32 * len(bars))
    names = list(bars)[::-1]
    drawn = axes.barh(names, [bars[name] for name in names], color="#4f6bed")
    axes.bar_label(drawn, fmt="{:,.0f}", padding=3, fontsize=8)
    axes.margins(x=0.15)
    return _picture(figure, title)


def histogram(title: str, x_label: str, values: Sequence[float]) -> dg.MarkdownMetadataValue:
    """How many values fall where, on a logarithmic axis, as a picture."""
    figure, axes = _figure(title, x_label, "count")
    positive = [value for value in values if value > 0]
    if positive:
        low, high = min(positive), max(positive)
        ratio = max(high / low, 1.01)
        axes.hist(positive, bins=[low * ratio ** (step / 40) for step in range(41)], color="#4f6bed")
        axes.set_xscale("log")
    return _picture(figure, title)


def _figure(title: str, x_label: str, y_label: str, height: float = 3.2):  # type: ignore[no-untyped-def]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _picture(figure, title: str) -> dg.MarkdownMetadataValue:  # type: ignore[no-untyped-def]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")
