r"""Training examples from encoded documents, in StarCoder2's format or StarCoder's.

With metadata `<repo_name>name<file_sep>path\ncode...<|endoftext|>`, without `<file_sep>code...<|endoftext|>`;
StarCoder's is `<reponame>name<filename>path<gh_stars>10-100\ncode<|endoftext|>`, each part at its own chance. Only the
parts are laid out here; `encode` turns them into tokens. Source: curation.md 2.7.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from minicode_assets.tokens.source_formats import Parts, format_of
from minicode_model.fim import uniforms
from minicode_model.tokenizer import TokenIds, text_bytes

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
        num_bytes: Bytes of the text.
        tokens: The special token that it begins with, then its text (and, of some sources, more special tokens).
        epoch: Which repetition of the document this is, from 0; each has chances of its own.
    """

    document_id: str
    source: str
    swhid: str
    origin_url: str
    path: str
    license_expression: str | None
    num_bytes: int
    tokens: TokenIds
    epoch: int = 0

    @property
    def key(self) -> str:
        """What its chances depend on."""
        return repeated(self.document_id, self.epoch)


@dataclass(frozen=True)
class Example:
    """What the model reads in one piece, before it is cut into sequences.

    Attributes:
        example_id: A document id, or an origin URL with the number of its part from the second on.
        repository: Name to show after `<repo_name>`; None shows neither it nor the paths.
        files: In reading order; more than one only of sources with context.
        fim_rate: Share of the files' parts that are rearranged, 0..1.
        header: What stands in place of its file's first special token: StarCoder's metadata; empty: nothing does.
    """

    example_id: str
    repository: str | None
    files: tuple[File, ...]
    fim_rate: float
    header: Parts = ()


@dataclass(frozen=True)
class Format:
    """Which examples are made; fields as in config.TokenShards. `num_stars`: of each origin URL where known."""

    repository_context: bool
    metadata_rate: float
    fim_rate: float
    fim_file_rate: float
    max_example_tokens: int
    seed: int
    layout: str = "starcoder2"
    starcoder_metadata_rate: float = 0.0
    num_stars: Mapping[str, int] = field(default_factory=dict)


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


def validation_examples(files: Iterable[File], fim_rate: float) -> Iterator[Example]:
    """Every file is an example of its own, nothing is added; at a rate of 0 bits per byte are exact for each file."""
    for file in files:
        yield Example(file.document_id, None, (file,), fim_rate)


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
    parts: dict[int, list[File]] = {}
    sizes: Counter[int] = Counter()
    numbers: Counter[int] = Counter()
    for file in files:
        context, epoch = format_of(file.source).context, file.epoch
        if not (context and form.repository_context):
            yield _file_example(file, context, form)
            continue
        if epoch in parts and sizes[epoch] + most_tokens(file) > form.max_example_tokens:
            yield _repository_example(origin_url, numbers[epoch], parts.pop(epoch), form)
            sizes[epoch], numbers[epoch] = 0, numbers[epoch] + 1
        parts.setdefault(epoch, []).append(file)
        sizes[epoch] += most_tokens(file)
    for epoch, part in parts.items():
        yield _repository_example(origin_url, numbers[epoch], part, form)


def most_tokens(file: File) -> int:
    """What a file can't exceed as tokens: a token is one byte of text at least. Unit: tokens."""
    return file.num_bytes + len(text_bytes(file.path)) + _RESERVE_TOKENS


def _repository_example(origin_url: str, number: int, files: list[File], form: Format) -> Example:
    example_id = repeated(f"{origin_url}#{number}" if number else origin_url, files[0].epoch)
    files.sort(key=lambda file: (uniforms(1, form.seed, "order", file.key), file.document_id))
    (chance,) = uniforms(1, form.seed, "fim", example_id)
    return _example(example_id, origin_url, files, form.fim_file_rate if chance < form.fim_rate else 0.0, form)


def _file_example(file: File, context: bool, form: Format) -> Example:
    if context and form.layout == "starcoder":
        return Example(file.key, None, (file,), form.fim_rate, starcoder_header(file, form))
    if context:
        return _example(file.key, file.origin_url, [file], form.fim_rate, form)
    return Example(file.key, None, (file,), form.fim_rate)


def starcoder_header(file: File, form: Format) -> Parts:
    """StarCoder's metadata, each with its own chance; empty where none is shown. Source: curation.md 2.7."""
    shown = [chance < form.starcoder_metadata_rate for chance in uniforms(3, form.seed, "starcoder", file.key)]
    stars = form.num_stars.get(file.origin_url)
    values = (
        ("<reponame>", repository_name(file.origin_url)),
        ("<filename>", file.path),
        ("<gh_stars>", None if stars is None else star_bucket(stars)),
    )
    parts = [""]
    for (name, value), is_shown in zip(values, shown, strict=True):
        parts += [name, value] if is_shown and value is not None else []
    return (*parts[:-1], parts[-1] + "\n") if len(parts) > 1 else ()


def star_bucket(num_stars: int) -> str:
    """StarCoder's buckets: 0, 1-10, 10-100, 100-1000, 1000+."""
    bounds = ((0, "0"), (10, "1-10"), (100, "10-100"), (1000, "100-1000"))
    return next((name for bound, name in bounds if num_stars <= bound), "1000+")


def repeated(key: str, epoch: int) -> str:
    """The key of a repetition: the same for the first."""
    return f"{key}@{epoch}" if epoch else key


def _example(example_id: str, origin_url: str, files: list[File], fim_rate: float, form: Format) -> Example:
    (chance,) = uniforms(1, form.seed, "metadata", example_id)
    name = repository_name(origin_url) if chance < form.metadata_rate else None
    return Example(example_id, name, tuple(files), fim_rate)
