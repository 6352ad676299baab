r"""Training examples from corpus rows, in StarCoder2's format.

With metadata `<repo_name>name<file_sep>path\ncode...<|endoftext|>`, without `<file_sep>code...<|endoftext|>`. Only
the parts are laid out here; `encode` turns them into tokens. Source: curation.md 2.7.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from minicode_assets.tokens.source_formats import format_of
from minicode_model.fim import uniforms
from minicode_model.tokenizer import text_bytes

_RESERVE_TOKENS = 16
"""For the special tokens of a file."""


@dataclass(frozen=True)
class File:
    """One document of the corpus.

    Attributes:
        document_id: Key of the corpus.
        source: Where it comes from; decides its format (`source_formats`).
        swhid: Qualified SWHID.
        origin_url: Where its repository was collected.
        path: Inside the repository.
        license_expression: SPDX expression; None without.
        text: The text.
    """

    document_id: str
    source: str
    swhid: str
    origin_url: str
    path: str
    license_expression: str | None
    text: str


@dataclass(frozen=True)
class Example:
    """What the model reads in one piece, before it is cut into sequences.

    Attributes:
        example_id: A document id, or an origin URL with the number of its part from the second on.
        repository: Name to show after `<repo_name>`; None shows neither it nor the paths.
        files: In reading order; more than one only of sources with context.
        fim_rate: Share of the files' parts that are rearranged, 0..1.
    """

    example_id: str
    repository: str | None
    files: tuple[File, ...]
    fim_rate: float


@dataclass(frozen=True)
class Format:
    """Which examples are made; fields as in config.TokenShards."""

    repository_context: bool
    metadata_rate: float
    fim_rate: float
    fim_file_rate: float
    max_example_tokens: int
    seed: int


def training_examples(files: Iterable[File], form: Format) -> Iterator[Example]:
    """Group files into training examples.

    Args:
        files: Sorted by origin; files of one origin follow each other.
        form: The format.

    Yields:
        One example a repository (more where it exceeds `max_example_tokens`), its files in the order of
        hash(seed, document), or one a file, in the order of the files; documents of sources without context are always
        examples of their own.
    """
    for origin_url, group in groupby(files, key=lambda file: file.origin_url):
        yield from _origin_examples(origin_url, group, form)


def validation_examples(files: Iterable[File]) -> Iterator[Example]:
    """Every file is an example of its own, nothing is rearranged or added: bits per byte are exact for each file."""
    for file in files:
        yield Example(file.document_id, None, (file,), 0.0)


def repository_name(origin_url: str) -> str:
    """The short name of a repository: `owner/name` of a forge's URL, the name in a package URL, or the last part."""
    if origin_url.startswith("pkg:"):
        return re.sub(r"[@?#].*", "", origin_url.rpartition("/")[2] if "@" not in origin_url else _package(origin_url))
    host, _, path = re.sub(r"^[a-z+]+://", "", origin_url).rstrip("/").removesuffix(".git").partition("/")
    parts = [part for part in path.split("/") if part]
    return "/".join(parts[-2:] if host else parts[-1:]) or host or origin_url


def _package(origin_url: str) -> str:
    return origin_url.partition("@")[0].rpartition("/")[2]


def _origin_examples(origin_url: str, files: Iterable[File], form: Format) -> Iterator[Example]:
    """Documents without context one by one; the others together, cut where their tokens might exceed a shard."""
    part: list[File] = []
    size = number = 0
    for file in files:
        context = format_of(file.source).context
        if not (context and form.repository_context):
            yield _file_example(file, context, form)
            continue
        if part and size + most_tokens(file) > form.max_example_tokens:
            yield _repository_example(origin_url, number, part, form)
            part, size, number = [], 0, number + 1
        part.append(file)
        size += most_tokens(file)
    if part:
        yield _repository_example(origin_url, number, part, form)


def most_tokens(file: File) -> int:
    """What a file can't exceed as tokens: a token is one byte of text at least. Unit: tokens."""
    return len(text_bytes(file.text)) + len(text_bytes(file.path)) + _RESERVE_TOKENS


def _repository_example(origin_url: str, number: int, files: list[File], form: Format) -> Example:
    example_id = f"{origin_url}#{number}" if number else origin_url
    files.sort(key=lambda file: (uniforms(1, form.seed, "order", file.document_id), file.document_id))
    (chance,) = uniforms(1, form.seed, "fim", example_id)
    return _example(example_id, origin_url, files, form.fim_file_rate if chance < form.fim_rate else 0.0, form)


def _file_example(file: File, context: bool, form: Format) -> Example:
    if context:
        return _example(file.document_id, file.origin_url, [file], form.fim_rate, form)
    return Example(file.document_id, None, (file,), form.fim_rate)


def _example(example_id: str, origin_url: str, files: list[File], fim_rate: float, form: Format) -> Example:
    (chance,) = uniforms(1, form.seed, "metadata", example_id)
    name = repository_name(origin_url) if chance < form.metadata_rate else None
    return Example(example_id, name, tuple(files), fim_rate)
