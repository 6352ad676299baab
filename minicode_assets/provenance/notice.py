"""What a user of the corpus owes its authors: a NOTICE by licence and origin, and the list of every SWHID.

Software Heritage asks of those who train on the archive to identify the training data; see docs/data.md.
"""

from pathlib import Path

import polars as pl

_PREFACE = """NOTICE

The files of this corpus come from the origins below, under the licences below, as Software Heritage identifies them.
`swhids.txt` lists every file with its qualified SWHID; the column license_evidence of the corpus names the files that
decided its licence. The corpus is not relicensed: each file stays under its own licence.
"""


def write_notice(kept: pl.DataFrame, path: Path) -> None:
    """Write the NOTICE of the kept documents: each licence expression with its origins and their numbers of files.

    Args:
        kept: Columns license_expression and origin_url, one row a document.
        path: The file to write.
    """
    counts = (
        kept.group_by(pl.col("license_expression").fill_null("no licence found"), "origin_url")
        .len()
        .sort("license_expression", "origin_url")
    )
    lines = [_PREFACE]
    for (expression,), origins in counts.group_by("license_expression", maintain_order=True):
        lines.append(f"\n{expression}\n")
        lines += [f"  {origin} ({count} files)\n" for _, origin, count in origins.iter_rows()]
    path.write_text("".join(lines), encoding="utf-8")


def write_swhids(swhids: pl.Series, path: Path) -> None:
    """Write qualified SWHIDs, sorted, one a line."""
    path.write_text("".join(f"{swhid}\n" for swhid in swhids.sort()), encoding="utf-8")
