"""Held-out lines that the model is to write exactly: from what stands above, from both sides, from the repository.

The same lines each way, so that the ways can be compared. `above`: the file up to the line, behind its repository's
name and its path. `repository`: the same behind other files of its repository, those with most words in common nearest.
`both_sides`: a gap in PSM order. What doesn't fit into the context goes where it is farthest from the line; of the
other files, the least similar ones, and the end of the first that is left.
Source: SantaCoder (exact match of a line in a gap), RepoBench (a line with and without the repository).
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicode_model.config import BenchmarkScores
from minicode_model.evaluation.bits_per_byte import Window, score_windows
from minicode_model.evaluation.infilling import exact_match
from minicode_model.fim import uniforms
from minicode_model.generate import gap_prompt, generate
from minicode_model.model import Starcoder2
from minicode_model.shards import DOCUMENTS_FILE, PackedSplit
from minicode_model.tokenizer import TokenIds, Tokenizer
from minicode_model.training.batches import sequence_order

WAYS = ("above", "both_sides", "repository")
MAX_NEIGHBOURS = 100
"""Other files of a repository that are looked at."""
_WORD = re.compile(r"[A-Za-z_]\w\w+")


@dataclass(frozen=True)
class Line:
    """One line to be written.

    Attributes:
        document: Its document's number in the split.
        repository: The repository's name, as the shards show it.
        path: Its file.
        above: The text before the line.
        text: The line, without its end.
        below: The text after it, from the line's end on.
        neighbours: (path, text) of other files of the repository, the most similar last.
    """

    document: int
    repository: str
    path: str
    above: str
    text: str
    below: str
    neighbours: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Written:
    """What the model made of one line one way: a row of lines.csv.

    Attributes:
        way: One of WAYS.
        document: The line's.
        path: The line's.
        expected: The line.
        written: What the model wrote up to the end of its line.
        exact: The two are equal (infilling.exact_match).
        similarity: difflib's ratio of the two, 0..1.
        nats: Cost of the expected line.
        num_bytes: Its bytes.
    """

    way: str
    document: int
    path: str
    expected: str
    written: str
    exact: bool
    similarity: float
    nats: float
    num_bytes: int


class HeldOutFiles:
    """The validation split as files of repositories.

    Args:
        split: The validation split.
        tokenizer: Its tokenizer.
    """

    def __init__(self, split: PackedSplit, tokenizer: Tokenizer) -> None:
        from pyarrow import parquet

        names = ["document", "origin_url", "path"]
        table = parquet.read_table(split.path / DOCUMENTS_FILE, columns=names).to_pydict()
        self.split, self.tokenizer = split, tokenizer
        self.places: dict[int, tuple[str, str]] = {}
        self.members: dict[str, list[int]] = {}
        for document, origin, path in zip(*(table[name] for name in names), strict=True):
            if document not in self.places:
                self.places[document] = (origin, path)
                self.members.setdefault(origin, []).append(document)

    def text(self, document: int) -> str:
        """A document's text."""
        return self.tokenizer.decode(self.split.document(document)[0]).decode("utf-8", "replace")

    def neighbours(self, document: int, above: str) -> tuple[tuple[str, str], ...]:
        """Other files of the repository, the one with most words in common (Jaccard) last."""
        words, found = set(_WORD.findall(above)), []
        others = [other for other in self.members[self.places[document][0]] if other != document]
        for other in others[:MAX_NEIGHBOURS]:
            text = self.text(other)
            theirs = set(_WORD.findall(text))
            found.append((len(words & theirs) / max(1, len(words | theirs)), self.places[other][1], text))
        return tuple((path, text) for _, path, text in sorted(found))


def choose_lines(files: HeldOutFiles, params: BenchmarkScores) -> list[Line]:
    """Lines to be written, one a document and round, in the order of hash(seed, document).

    Documents whose repository has other held-out files; all documents where none has. Lines with at least
    `min_line_characters`, not the first of a file.
    """
    order = sequence_order(files.split.num_documents, params.seed, 0).tolist()
    order = [number for number in order if number in files.places]
    chosen: list[Line] = []
    documents = [number for number in order if len(files.members[files.places[number][0]]) > 1] or order
    for attempt in range(params.num_lines):  # more rounds where there are fewer documents than lines
        for document in documents:
            if len(chosen) < params.num_lines:
                chosen += _line_of(files, document, attempt, params)
        if len(chosen) >= params.num_lines or not chosen:
            break
    return chosen


def _line_of(files: HeldOutFiles, document: int, attempt: int, params: BenchmarkScores) -> Iterator[Line]:
    origin, path = files.places[document]
    lines = re.findall(r"[^\n]*\n|[^\n]+", files.text(document))  # to splitlines a form feed ends a line, too
    able = [n for n, line in enumerate(lines) if n and len("".join(line.split())) >= params.min_line_characters]
    if not able:
        return
    (chance,) = uniforms(1, params.seed, "held-out line", document, attempt)
    number = able[int(chance * len(able))]
    above, text = "".join(lines[:number]), lines[number].rstrip("\r\n")
    below = lines[number][len(text) :] + "".join(lines[number + 1 :])
    yield Line(document, origin.rpartition("/")[2], path, above, text, below, files.neighbours(document, above))


def prompt(tokenizer: Tokenizer, line: Line, way: str, max_tokens: int, context_fraction: float) -> TokenIds:
    """What the model reads before it writes the line, at most `max_tokens` ids."""
    if way == "both_sides":
        return gap_prompt(tokenizer, line.above, line.below, max_tokens)
    name = _marked(tokenizer, "<repo_name>", line.repository)
    file = _marked(tokenizer, "<file_sep>", f"{line.path}\n")
    room = max(0, max_tokens - len(name) - len(file))
    others: list[TokenIds] = []
    if way == "repository":
        left = int(room * context_fraction)
        for path, text in reversed(line.neighbours):  # the most similar first, until the room is used up
            part = _marked(tokenizer, "<file_sep>", f"{path}\n{text}")[:left]
            others.insert(0, part)
            left -= len(part)
    room -= sum(map(len, others))
    above = tokenizer.encode(line.above)
    return np.concatenate([name, *others, file, above[max(0, len(above) - room) :]])


def _marked(tokenizer: Tokenizer, mark: str, text: str) -> TokenIds:
    return np.append(np.array([tokenizer.special(mark)], tokenizer.dtype), tokenizer.encode(text))


def write_lines(
    model: Starcoder2, tokenizer: Tokenizer, lines: Sequence[Line], params: BenchmarkScores
) -> list[Written]:
    """Let the model write each line each way, greedily, and score the true one.

    Returns:
        In the order of WAYS, then of the lines; the way `repository` only where the repository has other files.
    """
    new_tokens = min(params.max_line_tokens, model.config.max_position_embeddings // 4)
    room = model.config.max_position_embeddings - new_tokens
    asked = [(way, line) for way in WAYS for line in lines if way != "repository" or line.neighbours]
    prompts = [prompt(tokenizer, line, way, room, params.repository_context_fraction) for way, line in asked]
    rows: list[Written] = []
    for start in range(0, len(asked), params.batch_size):
        part = slice(start, start + params.batch_size)
        rows += _write_batch(model, tokenizer, asked[part], prompts[part], new_tokens)
    return rows


def _write_batch(
    model: Starcoder2,
    tokenizer: Tokenizer,
    asked: Sequence[tuple[str, Line]],
    prompts: Sequence[TokenIds],
    new_tokens: int,
) -> list[Written]:
    greedy: dict[str, Any] = {"max_new_tokens": new_tokens, "temperature": 0.0, "top_p": 1.0, "seed": 0}
    written = generate(model, tokenizer, prompts, stop=("\n",), **greedy)
    is_text = tokenizer.token_lengths > 0
    targets = [tokenizer.encode(line.text)[:new_tokens] for _, line in asked]
    windows = [Window(0, np.concatenate(pair), len(pair[0])) for pair in zip(prompts, targets, strict=True)]
    costs = score_windows(model, windows, is_text)
    return [
        Written(
            way=way,
            document=line.document,
            path=line.path,
            expected=line.text,
            written=text.decode("utf-8", "replace"),
            exact=exact_match(text.decode("utf-8", "replace"), line.text),
            similarity=difflib.SequenceMatcher(None, text.decode("utf-8", "replace"), line.text).ratio(),
            nats=nats,
            num_bytes=tokenizer.num_bytes(target),
        )
        for (way, line), text, target, (nats, _) in zip(asked, written, targets, costs, strict=True)
    ]


def line_figures(rows: Sequence[Written]) -> dict[str, dict[str, float]]:
    """Exact match, mean similarity and bits per byte of each way.

    `above_same` is `above` on the lines of `repository`: the two differ in nothing but the other files.
    """
    by_way = {way: [row for row in rows if row.way == way] for way in WAYS}
    shared = {(row.document, row.expected) for row in by_way["repository"]}
    by_way["above_same"] = [row for row in by_way["above"] if (row.document, row.expected) in shared]
    return {way: _figures(found) for way, found in by_way.items() if found}


def _figures(rows: Sequence[Written]) -> dict[str, float]:
    return {
        "num_lines": len(rows),
        "exact_match": sum(row.exact for row in rows) / len(rows),
        "similarity": sum(row.similarity for row in rows) / len(rows),
        "bits_per_byte": sum(row.nats for row in rows) / np.log(2) / sum(row.num_bytes for row in rows),
    }
