"""What a language model wrote goes through the rules for archived texts too: it may recite, or invent an address."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from minicode_assets.config import Contamination, Malware, Pii
from minicode_assets.corpus.annotate.contamination import contaminated_tasks
from minicode_assets.corpus.annotate.malware import scan_rows
from minicode_assets.corpus.annotate.pii import examine_all
from minicode_assets.corpus.rewrite.redact import apply_changes
from minicode_assets.parquet import read_table
from minicode_assets.schemas import BENCHMARKS


@dataclass(frozen=True)
class Recheck:
    """The rules that a new text has to pass.

    Attributes:
        benchmarks: The benchmarks artefact; empty looks for nothing, as for archived texts.
        pii: The `pii` section.
        contamination: The `contamination` section.
        malware: The `malware` section; without scanners nothing is looked for, as for archived texts.
    """

    benchmarks: Path
    pii: Pii
    contamination: Contamination
    malware: Malware


class Verdict(NamedTuple):
    """What becomes of a new text.

    Attributes:
        text: The text, redacted where it has to be; None where it can't be kept.
        redacted: Whether something in it was replaced.
        problem: Why it can't be kept; None where it can.
    """

    text: str | None
    redacted: bool
    problem: str | None


def recheck(texts: Sequence[str], rules: Recheck) -> list[Verdict]:
    """Redact, decontaminate and scan new texts by the rules that the archived ones went through.

    Args:
        texts: New texts that parse.
        rules: See `Recheck`.

    Returns:
        One verdict a text, in order: a benchmark's task in it, a scanner's find or failure, or a redaction after which
        it would not parse, is a problem.

    Raises:
        CorpusError: The section `pii` names a model that can't be loaded.
        MalwareError: A scanner that is on is absent, or its rules are wrong.
        MissingArtifactError, CorruptArtifactError: The benchmarks are absent or differ from their manifest.
    """
    series = pl.Series("text", texts, dtype=pl.String)
    tasks = contaminated_tasks(series, read_table(rules.benchmarks, BENCHMARKS), params=rules.contamination)
    dangers = _dangers(texts, rules.malware)
    verdicts = []
    for row, (text, found) in enumerate(zip(texts, examine_all(series, rules.pii, None), strict=True)):
        if row in tasks:
            verdicts.append(Verdict(None, False, f"the new text contains {', '.join(tasks[row])}"))
        elif dangers[row]:
            verdicts.append(Verdict(None, False, f"malware: {dangers[row]}"))
        elif found.status == "unsafe":
            verdicts.append(Verdict(None, False, "the new text would not parse without its personal data"))
        else:
            verdicts.append(Verdict(apply_changes(text, found.changes), found.status == "redacted", None))
    return verdicts


def _dangers(texts: Sequence[str], params: Malware) -> list[str]:
    """What scanners find in each text, or why they could not scan it; empty for a clean one."""
    if not params.scanners:
        return [""] * len(texts)
    return [found.problem if found.matches is None else ", ".join(found.matches)
            for found in scan_rows([(text,) for text in texts], params)]  # fmt: skip
