"""What became of a document's text on its way to the corpus, for a person to read."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minicode_assets.corpus.rewrite.answers import AXES

Row = Mapping[str, Any]
_MAX_FINDS = 20


def tell_changes(steps: Sequence[str], spans: Sequence[Row], scores: Sequence[Row]) -> Iterator[str]:
    """Each step that changed the text, each find with what took its place, and what the language model said.

    Args:
        steps: Names of the steps that changed the text, in order.
        spans: The document's rows of PII_SPANS, in text order.
        scores: Its row of LLM_SCORES, if there is one.
    """
    if "redact" in steps:
        yield from _redaction(spans)
    left = Counter(span["kind"] for span in spans if span["replacement"] is None)
    if left:
        yield "found and left: " + ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
    if "reformat" in steps:
        yield "reformat: as ruff formats it"
    if "redact_rewrite" in steps:
        yield "redact_rewrite: personal data in the new text replaced"
    yield from (_rewriting(row) for row in scores if row["llm_status"] not in (None, "off"))


def _redaction(spans: Sequence[Row]) -> Iterator[str]:
    replaced = [span for span in spans if span["replacement"] is not None]
    yield f"redact: {len(replaced)} find{'s' if len(replaced) != 1 else ''} replaced"
    for span in replaced[:_MAX_FINDS]:
        place = f"bytes {span['start']} to {span['end']}"
        yield f"  {span['kind']}, rule {span['rule']}, {place}: {span['replacement'] or 'removed'}"
    if len(replaced) > _MAX_FINDS:
        yield f"  and {len(replaced) - _MAX_FINDS} more"


def _rewriting(row: Row) -> str:
    told = f"llm_rewrite: {row['llm_status']}"
    if row["score_fraction"] is not None:
        told += f", score {row['score_fraction']:.2f} ({', '.join(f'{axis} {row[axis]}' for axis in AXES)})"
    return told + (f": {row['problem']}" if row["problem"] else "")
