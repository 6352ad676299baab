"""Sections of the tokenizer and of the shards."""

import re
from dataclasses import dataclass

from minicode_model.config import Model, operational

_NAME = re.compile(r"<[^<>\s]+>")
_MAX_NAME_BYTES = 100
_RESERVED_NAME = re.compile(r"<unk>|<0x[0-9A-F]{2}>")
_COVERAGE, _PIECE_LENGTH = (0.98, 1.0), (1, 512)
"""What SentencePiece's trainer takes. Source: its own messages, 0.2.3."""
MIN_SEQ_LEN = 32
"""Shorter sequences leave no room for a part of a file with its sentinels (tokens/encode.py). Unit: tokens."""


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """How the tokenizer is trained."""

    vocab_size: int = 4096
    """Pieces, special tokens included. StarCoder2: 49,152."""
    sample_bytes: int = 20_000_000
    """Text it is trained on, a seeded sample balanced by origin; a quarter of it costs 0.7 % of the bytes a token.
    Training takes 150 MB and 11 to 20 bytes of memory for each of them, 80 where no word comes twice. Source:
    docs/log.md, benchmarks/results/packing.md. Unit: bytes."""
    max_piece_length: int = 24
    """0.4 % more bytes a token than 16 on held-out origins; 32 adds 0.1 %. Source: docs/log.md. Unit: characters."""
    character_coverage: float = 0.9995
    """Share of the sample's characters that get a piece, 0..1; the rest are written as bytes. At 4,096 pieces a larger
    one costs 4 % and more bytes a token, at 32,768 it makes no difference. Source: docs/log.md."""
    split_by_unicode_script: bool = True
    """Letters and punctuation never share a piece. Source: model.md 3.4, docs/log.md."""
    whitespace_only_pieces: bool = True
    """Runs of spaces and of line ends may be pieces of their own; without them, a third fewer bytes a token. Source:
    docs/log.md."""
    extra_special_tokens: tuple[str, ...] = ()
    """Special tokens beside StarCoder2's 34, e.g. `<reponame>` `<filename>` `<gh_stars>` of StarCoder's format or
    `<commit_before>` `<commit_msg>` `<commit_after>` of its commits; they get the last ids."""
    num_threads: int = 2
    """Part of the trained file, so it is fixed."""
    seed: int = 1337
    """Seed of the sample."""


@dataclass(frozen=True, kw_only=True)
class EncodedDocuments:
    """How documents are encoded; nothing here shapes the tokens."""

    batch_bytes: int = 1_000_000
    """Text that is encoded at a time, at least, and then lies in one row group of the file; packing reads a row group
    of every partition at once. Unit: bytes."""
    num_threads: int = operational(2)
    """Encoding threads; the engine runs outside of Python's lock."""


@dataclass(frozen=True, kw_only=True)
class TokenShards:
    """How documents become sequences and sequences become shards."""

    seq_len: int = 512
    """Tokens a sequence. StarCoder2: 4096."""
    repository_context: bool = True
    """A repository is one training example, its files in seeded random order; otherwise every file is one. Source:
    StarCoder2, curation.md 2.7."""
    metadata_rate: float = 0.5
    """Share of the training examples that show repository name and paths, 0..1. Source: StarCoder2."""
    fim_rate: float = 0.5
    """Share of the training examples that are rearranged for fill-in-the-middle, 0..1. Source: StarCoder2."""
    fim_file_rate: float = 0.5
    """Of the files of such a repository, the share that is rearranged, 0..1; a file that is an example of its own
    always is. Source: StarCoder2."""
    validation_fim_rate: float = 0.0
    """Share of the validation files that are rearranged, 0..1; bits per byte are comparable at 0 only."""
    fim_spm_rate: float = 0.5
    """Of those, the share in SPM order, the rest in PSM, 0..1. Source: StarCoder2."""
    fim_syntax_rate: float = 0.0
    """Of the rearranged parts, the share whose middle is a whole statement, argument list or body rather than any
    characters, 0..1."""
    layout: str = "starcoder2"
    """`starcoder2`, or `starcoder`: `<reponame>`, `<filename>` and, of origins in [origin_facts] stars_file,
    `<gh_stars>` before each file."""
    starcoder_metadata_rate: float = 0.2
    """In StarCoder's layout, the chance of each of the three, 0..1. Source: StarCoder, curation.md 2.7."""
    mixing: str = "natural"
    """`natural`: as `epochs` say; `target`: as `target_shares` say; `temperature`: shares of the tokens at hand to the
    power of 1 / temperature."""
    epochs: tuple[str, ...] = ()
    """How many times each source is read, e.g. "issues=0.5"; others once."""
    target_shares: tuple[str, ...] = ()
    """Share of each source in the tokens, e.g. "swh=0.8", "issues=0.2"; others nothing. Their sum need not be 1."""
    temperature: float = 1.0
    """1 keeps the natural shares, a larger one levels them."""
    mixture_tokens: int = 0
    """Tokens that the mixture (target, temperature) has; 0: as many as there are at hand."""
    max_epochs: float = 5.0
    """No source is read more often by target or temperature. Source: StarCoder2 read nothing more than 5 times."""
    packing: str = "best_fit"
    """`best_fit`, or `concatenate` (cut wherever a sequence is full) for comparison."""
    line_padding_fraction: float = 0.0002
    """Padding that may be spent on cutting at the end of a line, 0..1 of an example's tokens; where it is spent, cuts
    fall inside a line. All padding together stays under 0.1 % (benchmarks/results/packing.md)."""
    shard_tokens: int = 16_777_216
    """Tokens a shard at most."""
    num_workers: int = operational(2)
    """Processes that lay out and cut; the result is the same for any number."""
    parallel_from_bytes: int = operational(64_000_000)
    """Less text is laid out in one process, which is faster than starting more. Unit: bytes."""
    seed: int = 1337
    """Seed of the fill-in-the-middle cuts and of the order."""


def shown_stars(shards: TokenShards, stars_file: str) -> tuple[str, ...]:
    """The file with the stars ([origin_facts] stars_file), if the layout of these shards shows them."""
    return (stars_file,) if shards.layout == "starcoder" else ()


def tokens_problems(tokenizer: Tokenizer, shards: TokenShards, model: Model) -> list[str]:
    """Contradictions of [tokenizer] and [token_shards], and with [model], one message each."""
    extra = tokenizer.extra_special_tokens
    problems = [
        f"[tokenizer] extra_special_tokens: found {name!r}, expected a name such as '<reponame>', of at most "
        f"{_MAX_NAME_BYTES} bytes without white space, and not a piece of SentencePiece's"
        for name in extra
        if not _NAME.fullmatch(name) or len(name.encode()) > _MAX_NAME_BYTES or _RESERVED_NAME.fullmatch(name)
    ]
    problems += [
        f"[tokenizer] {name}: found {found}, expected {low} to {high}, as SentencePiece takes"
        for name, found, low, high in (
            ("character_coverage", tokenizer.character_coverage, *_COVERAGE),
            ("max_piece_length", tokenizer.max_piece_length, *_PIECE_LENGTH),
        )
        if not low <= found <= high
    ]
    if shards.seq_len < MIN_SEQ_LEN:
        problems.append(f"[token_shards] seq_len: found {shards.seq_len}, expected at least {MIN_SEQ_LEN}")
    if shards.shard_tokens < shards.seq_len:
        problems.append(f"[token_shards] shard_tokens: found {shards.shard_tokens}, expected at least seq_len")
    if len(set(extra)) < len(extra):
        problems.append("[tokenizer] extra_special_tokens: a name is there twice")
    if shards.layout == "starcoder":
        if missing := {"<reponame>", "<filename>", "<gh_stars>"} - set(extra):
            problems.append(
                f"[token_shards] layout starcoder needs {sorted(missing)} in [tokenizer] extra_special_tokens"
            )
        if shards.repository_context:
            problems.append("[token_shards] layout starcoder has no repository_context: set it to false")
    if model.vocab_size < tokenizer.vocab_size:
        problems.append(
            f"[model] vocab_size {model.vocab_size} is smaller than [tokenizer] vocab_size {tokenizer.vocab_size}"
        )
    if model.max_position_embeddings < shards.seq_len:
        problems.append(
            f"[model] max_position_embeddings {model.max_position_embeddings} is smaller than [token_shards] seq_len "
            f"{shards.seq_len}"
        )
    return problems + _mixture_problems(shards)


def _mixture_problems(shards: TokenShards) -> list[str]:
    choices = {
        "layout": ("starcoder2", "starcoder"),
        "mixing": ("natural", "target", "temperature"),
        "packing": ("best_fit", "concatenate"),
    }
    problems = [
        f"[token_shards] {name}: found {getattr(shards, name)!r}, expected {' or '.join(known)}"
        for name, known in choices.items()
        if getattr(shards, name) not in known
    ]
    problems += [
        f"[token_shards] {name}: found {value!r}, expected source=number, e.g. 'issues=0.5'"
        for name in ("epochs", "target_shares")
        for value in getattr(shards, name)
        if not re.fullmatch(r"\w+=\d+(\.\d+)?", value)
    ]
    for name in ("epochs", "target_shares"):
        sources = [value.partition("=")[0] for value in getattr(shards, name)]
        problems += [
            f"[token_shards] {name}: {source} is there twice"
            for source in sorted(set(sources))
            if sources.count(source) > 1
        ]
    if shards.temperature <= 0:
        problems.append(f"[token_shards] temperature: found {shards.temperature}, expected more than 0")
    if shards.mixing == "target" and not any(re.search(r"=.*[1-9]", share) for share in shards.target_shares):
        problems.append("[token_shards] mixing target needs target_shares, one of them more than 0")
    return problems
