"""The contamination sidecar: where documents contain problems or solutions of benchmarks, and every hit as a row.

Five rules: a whole prompt, docstring or solution, white space and case aside (`exact`); a short n-gram of words
(`ngram`); a long one (`long_ngram`); several still shorter ones of a prompt or docstring close together (`statement`,
see statements.py); a run of a solution's tokens, names aside (`shape`, see shapes.py). All documents
are looked at through the hashes of their n-grams; only those with a hit are read a second time, for the proof and its
place.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from minicode_assets.config import Contamination
from minicode_assets.corpus import native
from minicode_assets.corpus.annotate.sidecar import check_rows, read_documents
from minicode_assets.corpus.needles import ANCHOR_WORDS, Needles, build_needles, squeeze
from minicode_assets.corpus.postings import Postings
from minicode_assets.corpus.shapes import find_shapes, runs_of
from minicode_assets.corpus.shingles import Words, hash_long_word, hash_ngrams, hash_words
from minicode_assets.corpus.statements import find_statements
from minicode_assets.parquet import read_table, write_parquet
from minicode_assets.schemas import BENCHMARKS, CONTAMINATION, CONTAMINATION_HITS
from minicode_model.artifact import Artifact, open_artifact, write_artifact

HITS = "hits/part-00000.parquet"
"""The table of hits inside the artefact, schema CONTAMINATION_HITS."""
_BATCH_ROWS = 4096
_PROGRESS_S = 5.0
_ANCHORS, _STATEMENTS = 1, 6
"""The screen's bits of what is no hit by itself: an anchor of a whole text; n-grams of statements close together."""
_IS_SPACE = np.isin(np.arange(256), list(b" \t\n\r\x0b\f"))
_FOUND = {
    "row": pl.Int64,
    "text": pl.Int64,
    "rule": pl.String,
    "num_matches": pl.Int64,
    "start": pl.Int64,
    "end": pl.Int64,
    "num_ngrams": pl.Int64,
    "num_long_ngrams": pl.Int64,
    "num_shapes": pl.Int64,
}
logger = logging.getLogger("minicode.contamination")


Row = tuple[int, int, str, int, int, int]
"""A hit: row of the document, number of the benchmark text, rule, matches, first byte and byte after the last."""


def annotate(documents: Path, folder: Path, *, benchmarks: Path, params: Contamination, config_digest: str) -> Artifact:
    """After this, `folder` tells for each document which benchmark problems it contains.

    Args:
        documents: One partition of the documents.
        folder: The artefact folder of this partition.
        benchmarks: The benchmarks artefact. When it is empty every signal is null: nothing was looked for, which is
            not the same as nothing found.
        params: The `contamination` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact: part-00000.parquet with schema CONTAMINATION, the documents' rows in order; and HITS. Metadata:
        num_rows, num_benchmark_texts, num_contaminated, num_hits by rule.

    Raises:
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    problems = read_table(benchmarks, BENCHMARKS)
    frame = read_documents(documents, ["document_id", "text"])
    found = _find_all(frame["text"], needles_of(problems, params=params), params)
    hits = _hits(frame, problems, found)
    sidecar = _sidecar(frame, hits, found) if problems.height else _nothing_looked_for(frame)
    check_rows(sidecar, frame["document_id"], where=str(folder), name=CONTAMINATION.name)
    inputs = {
        name: open_artifact(p, verify=False).digest
        for name, p in (("benchmarks", benchmarks), ("documents", documents))
    }
    with write_artifact(folder, name=CONTAMINATION.name, config_digest=config_digest, inputs=inputs) as writer:
        (writer.path / HITS).parent.mkdir()
        write_parquet(sidecar, writer.path / "part-00000.parquet", CONTAMINATION)
        write_parquet(hits, writer.path / HITS, CONTAMINATION_HITS)
        writer.metadata = {
            "num_rows": sidecar.height,
            "num_benchmark_texts": problems.height,
            "num_contaminated": sidecar.filter(pl.col("tasks").list.len() > 0).height,
            "num_hits": dict(hits.group_by("rule").len().sort("rule").iter_rows()),
        }
    return open_artifact(folder, verify=False)


def needles_of(benchmarks: pl.DataFrame, *, params: Contamination) -> Needles:
    """What to look for: the texts of a benchmarks table (schema BENCHMARKS), text numbers being row numbers."""
    task = ["benchmark", "task_id"]
    # `docstring` sorts before `prompt`; tasks without either are problems of their own.
    statements = benchmarks.filter(pl.col("kind") != "solution").sort("kind", "number").unique(task, keep="first")
    first = benchmarks.join(statements, on=task, how="left", maintain_order="left", suffix="_first")
    named = first.select(pl.coalesce("text_first", pl.concat_str(task))).to_series()
    problems = [squeeze(text.encode()) for text in named]
    numbers = {problem: number for number, problem in enumerate(dict.fromkeys(problems))}
    solutions = np.flatnonzero((benchmarks["kind"] == "solution").to_numpy()).tolist()
    texts = benchmarks["text"].to_list()
    return build_needles(texts, [numbers[problem] for problem in problems], params=params, solutions=solutions)


def find_texts(text: bytes, needles: Needles, *, params: Contamination) -> tuple[list[Row], dict[str, int]]:
    """Look for benchmark texts in one document, by every rule.

    Returns:
        (hits, counts): hits with document row 0, sorted by text and rule; and by rule how many n-grams of the document
        are in any benchmark text.
    """
    words = hash_words([text], rule="words")
    hits, counts = _exact(text, words, needles), {}
    for rule, n, postings in _rules(needles, params):
        matches, numbers = postings.find(hash_ngrams(words, n)[0])
        counts[rule] = len(matches)
        found, repeats = postings.texts_of(numbers)
        places = np.repeat(matches, repeats)
        for number in np.unique(found).tolist():
            own = places[found == number]
            hits.append((0, number, rule, len(own), *_span(words, int(own[0]), int(own[-1]) + n - 1)))
    for number, num_ngrams, first, last in find_statements(words, needles.statements, params=params):
        hits.append((0, number, "statement", num_ngrams, *_span(words, first, last)))
    shapes = find_shapes(text, needles.shapes)
    counts["shape"] = sum(num_runs for _, num_runs, _, _ in shapes)
    hits += [(0, number, "shape", num_runs, start, end) for number, num_runs, start, end in shapes]
    return sorted(hits, key=lambda hit: hit[1:3]), counts


def _rules(needles: Needles, params: Contamination) -> tuple[tuple[str, int, Postings], ...]:
    return ("ngram", params.ngram_words, needles.short), ("long_ngram", params.long_ngram_words, needles.long)


def _span(words: Words, first: int, last: int) -> tuple[int, int]:
    """Bytes from the first to the last of some words of a block with one text, which stands one byte into it."""
    return int(words.starts[first]) - 1, int(words.ends[last]) - 1


def _exact(text: bytes, words: Words, needles: Needles) -> list[Row]:
    """Hits of whole texts, each at its first place."""
    _, numbers = needles.anchors.find(hash_ngrams(words, ANCHOR_WORDS)[0])
    if not numbers.size:
        return []
    squeezed = squeeze(text)
    wanted = np.unique(needles.anchors.texts_of(numbers)[0]).tolist()
    places = {number: squeezed.find(needles.squeezed[number]) for number in wanted}
    if max(places.values()) < 0:
        return []
    visible = np.flatnonzero(~_IS_SPACE[np.frombuffer(text, np.uint8)])
    return [
        (0, number, "exact", 1, int(visible[place]), int(visible[place + len(needles.squeezed[number]) - 1]) + 1)
        for number, place in places.items()
        if place >= 0
    ]


def screen(texts: Sequence[bytes], needles: Needles, *, params: Contamination) -> list[int]:
    """Numbers of the texts that have n-grams of any benchmark text: no other text can have a hit."""
    rules = (
        (ANCHOR_WORDS, needles.anchors.hashes, 1, 0),
        *((params.statement_words, said.hashes, said.least, said.width) for said in needles.statements.screens),
        (params.ngram_words, needles.short.hashes, 1, 0),
    )
    hits = native.screen_texts(list(texts), rules, *runs_of(needles.shapes), hash_long_word)
    return [number for number, found in hits if _is_hit(texts[number], found, needles, params)]


def _is_hit(text: bytes, found: int, needles: Needles, params: Contamination) -> bool:
    """Whether a text in which the screen found something has a hit: doubtful finds are looked at a second time."""
    if found > _ANCHORS | _STATEMENTS:
        return True
    words = hash_words([text], rule="words")
    said = found & _STATEMENTS and find_statements(words, needles.statements, params=params)
    return bool(said or (found & _ANCHORS and _exact(text, words, needles)))


def _find_all(texts: pl.Series, needles: Needles, params: Contamination) -> pl.DataFrame:
    """Every hit of every text: row, text, rule, num_matches, start, end, and the document's n-grams by rule."""
    parts: list[pl.DataFrame] = [pl.DataFrame(schema=_FOUND)]
    reported = time.monotonic()
    for first in range(0, texts.len(), _BATCH_ROWS):
        encoded = [(text or "").encode() for text in texts[first : first + _BATCH_ROWS]]
        parts.append(pl.DataFrame(list(_rows(encoded, first, needles, params)), schema=_FOUND, orient="row"))
        if time.monotonic() - reported > _PROGRESS_S:
            reported = time.monotonic()
            logger.info("contamination: %d of %d documents", first + len(encoded), texts.len())
    return pl.concat(parts)


def contaminated_tasks(texts: pl.Series, benchmarks: pl.DataFrame, *, params: Contamination) -> dict[int, list[str]]:
    """The tasks that some texts contain, `benchmark:task_id`, sorted, by the text's row; other texts have no entry.

    Args:
        texts: Texts, none of them null.
        benchmarks: Schema BENCHMARKS; without rows nothing is looked for.
        params: The `contamination` section.
    """
    found = _find_all(texts, needles_of(benchmarks, params=params), params)
    named = benchmarks.select(task=pl.concat_str("benchmark", "task_id", separator=":"))[found["text"]]
    tasks = named.with_columns(found["row"]).unique().sort("row", "task").group_by("row", maintain_order=True)
    return dict(tasks.agg("task").iter_rows())


def _rows(texts: Sequence[bytes], first: int, needles: Needles, params: Contamination) -> Iterator[tuple[object, ...]]:
    for number in screen(texts, needles, params=params):
        hits, counts = find_texts(texts[number], needles, params=params)
        for hit in hits:
            yield (first + number, *hit[1:], counts["ngram"], counts["long_ngram"], counts["shape"])


def _hits(frame: pl.DataFrame, problems: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """The hits with the names of documents and problems; schema CONTAMINATION_HITS."""
    names = problems.drop("text")[found["text"]]
    ids = frame["document_id"].gather(found["row"])
    return (
        pl.concat([ids.to_frame(), names, found.drop("row", "text")], how="horizontal")
        .select(CONTAMINATION_HITS.polars.names())
        .sort(*CONTAMINATION_HITS.order)
    )


def _sidecar(frame: pl.DataFrame, hits: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Counts by document; 0 where a text has no hit, null where there is no text."""
    tasks = hits.group_by("document_id").agg(
        num_exact=(pl.col("rule") == "exact").sum().cast(pl.Int64),
        num_statements=(pl.col("rule") == "statement").sum().cast(pl.Int64),
        tasks=pl.concat_str("benchmark", "task_id", separator=":").unique().sort(),
    )
    ids = frame["document_id"].gather(found["row"])
    counts = found.select("num_ngrams", "num_long_ngrams", "num_shapes").with_columns(document_id=ids).unique()
    has_text = frame["text"].is_not_null()
    names = CONTAMINATION.polars.names()
    return (
        frame.select("document_id")
        .join(tasks, on="document_id", how="left", maintain_order="left")
        .join(counts, on="document_id", how="left", maintain_order="left")
        .with_columns(pl.col("tasks").fill_null([]), pl.col("^num_.*$").fill_null(0))
        .select("document_id", *(pl.when(has_text).then(pl.col(name)).alias(name) for name in names[1:]))
    )


def _nothing_looked_for(frame: pl.DataFrame) -> pl.DataFrame:
    empty = [pl.lit(None, dtype).alias(name) for name, dtype in CONTAMINATION.polars.items() if name != "document_id"]
    return frame.select("document_id", *empty)
