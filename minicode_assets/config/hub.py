"""Sections of the Hugging Face data sets: one a data set, all of one kind."""

from dataclasses import dataclass

from minicode_model.config import operational


@dataclass(frozen=True, kw_only=True)
class HubDataset:
    """A data set on the hub: which files of it, and how much."""

    enabled: bool = False
    """Collect it."""
    repository: str = ""
    """Owner and name on the hub."""
    revision: str = "main"
    """Commit, tag or branch. What it stands for is pinned at first use in `mirror/<asset>/pinned.json`."""
    files: str = "*.parquet"
    """Pattern of the paths that are read, sorted: `.jsonl` or `.parquet`."""
    max_files: int = 8
    """So many of them, the first by name; each is a partition, so at most 99."""
    max_tokens: int = 0
    """Stop after about so many tokens, shared equally by the files; 0 is no limit."""
    max_rows: int = 0
    """Stop after so many rows, likewise."""
    max_bytes: int = 0
    """Stop after so many bytes of text, likewise."""
    bytes_per_token: float = 3.3
    """By which `max_tokens` becomes bytes. Source: tiny's tokenizer on held-out code."""
    sample_fraction: float = 1.0
    """Share of the rows that is taken, by hash of seed and record, so the same ones whatever else is, 0..1."""
    seed: int = 1337
    """Seed of the sample."""
    license: str = ""
    """SPDX expression of the data set as a whole, for rows that state none."""
    max_row_bytes: int = 10_000_000
    """Longer rows and texts are dropped (`too_long`) unread. Unit: bytes."""
    min_score: float = 0.0
    """Least score, where the data set has one (python-edu: 3 and better are in it)."""
    endpoint: str = operational("https://huggingface.co")
    """The hub, or a mirror of it. Environment variable HF_TOKEN holds the token for gated data sets."""
    read_ahead_bytes: int = operational(4_000_000)
    """Least length of a request into a Parquet file. Unit: bytes."""
    timeout_s: float = operational(60.0)
    """Longest silence of the server. Unit: seconds."""
    attempts: int = operational(6)
    """Tries without progress before giving up."""
    pause_s: float = operational(0.5)
    """First pause after a failure; it doubles. Unit: seconds."""
    block_bytes: int = 64_000_000
    """Text held in memory before it is written; also what a killed run reads again at most. Unit: bytes."""

    @property
    def partition_keys(self) -> list[str]:
        """A partition a file: its number among those that are read."""
        return [f"{number:02d}" for number in range(self.max_files)]

    @property
    def limit_rows(self) -> int | None:
        """Rows of one file at most; None without a limit."""
        return -(-self.max_rows // self.max_files) if self.max_rows else None

    @property
    def limit_bytes(self) -> int | None:
        """Bytes of text of one file at most; None without a limit."""
        limits = [limit for limit in (self.max_bytes, int(self.max_tokens * self.bytes_per_token)) if limit]
        return -(-min(limits) // self.max_files) if limits else None


@dataclass(frozen=True, kw_only=True)
class SwallowCode(HubDataset):
    """swallow-code-v2, rewritten Python, some 50 B tokens. Source: software_heritage.md 6."""

    repository: str = "tokyotech-llm/swallow-code-v2"
    """Owner and name on the hub."""
    files: str = "stage5-auto-format/python/medium/train_*.jsonl"
    """150 files of 6.4 GB: 33 kB a row, of which 7.5 kB are text."""
    max_tokens: int = 1_000_000_000
    """Of some 50 B."""


@dataclass(frozen=True, kw_only=True)
class StackV3(HubDataset):
    """The Stack v3, training part, contents inline."""

    repository: str = "HuggingFaceCode/stack-v3-train"
    """Owner and name on the hub."""
    files: str = "*ython/*.parquet"
    """Python's files."""
    max_tokens: int = 1_000_000_000
    """Of some 4.9 T in all languages."""


@dataclass(frozen=True, kw_only=True)
class Extras(HubDataset):
    """A subset of starcoder2data-extras: text as BigCode made it, column `content`."""

    repository: str = "bigcode/starcoder2data-extras"
    """Owner and name on the hub."""


@dataclass(frozen=True, kw_only=True)
class ExtrasArxiv(Extras):
    """arXiv papers, 40.9 GB."""

    files: str = "arxiv/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class ExtrasDocumentation(Extras):
    """Documentation of packages and languages, 1.85 GB."""

    files: str = "documentation/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class ExtrasIssues(Extras):
    """GitHub issues, rendered."""

    files: str = "issues/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class ExtrasKaggle(Extras):
    """Kaggle notebooks, rendered."""

    files: str = "kaggle/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class ExtrasLhq(Extras):
    """Small high-quality sets, 273 MB."""

    files: str = "lhq/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class ExtrasOwm(Extras):
    """OpenWebMath as StarCoder2 read it."""

    files: str = "owm/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class ExtrasStackoverflow(Extras):
    """Stack Overflow, rendered."""

    files: str = "stackoverflow/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class ExtrasWikipedia(Extras):
    """English Wikipedia."""

    files: str = "wikipedia/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class ExtrasIr(Extras):
    """Code beside its intermediate representation: ir_cpp, ir_low_resource, ir_python, ir_rust."""

    files: str = "ir_*/train-*.parquet"
    """Its files."""


@dataclass(frozen=True, kw_only=True)
class OpenWebMath(HubDataset):
    """Mathematical pages of the web, 6.3 M. Source: software_heritage.md 6."""

    repository: str = "open-web-math/open-web-math"
    """Owner and name on the hub."""
    files: str = "data/train-*.parquet"
    """Its files."""
    license: str = "ODC-By-1.0"
    """Of the data set; the pages keep their own."""


@dataclass(frozen=True, kw_only=True)
class Gsm8k(HubDataset):
    """Grade-school problems, training split only: 7,473."""

    repository: str = "openai/gsm8k"
    """Owner and name on the hub."""
    files: str = "main/train-*.parquet"
    """The training split; the test split is an evaluation."""
    max_files: int = 1
    """One file."""
    license: str = "MIT"
    """Of the data set."""


@dataclass(frozen=True, kw_only=True)
class CodeContests(HubDataset):
    """Competition problems with their solutions, training split only."""

    repository: str = "deepmind/code_contests"
    """Owner and name on the hub."""
    files: str = "data/train-*.parquet"
    """The training split, 39 files."""
    max_files: int = 39
    """All."""
    license: str = "CC-BY-4.0"
    """Of the data set."""


@dataclass(frozen=True, kw_only=True)
class RosettaCode(HubDataset):
    """Tasks solved in many languages: 79,013 solutions in one file."""

    repository: str = "christopher/rosetta-code"
    """Owner and name on the hub."""
    files: str = "data/train-*.parquet"
    """One file, 36.8 MB."""
    max_files: int = 1
    """One file."""
    license: str = "GFDL-1.2-only"
    """Of the site."""


@dataclass(frozen=True, kw_only=True)
class PythonEdu(HubDataset):
    """Python files of educational value, by id; contents come from the `blobs` backends."""

    repository: str = "HuggingFaceTB/smollm-corpus"
    """Owner and name on the hub."""
    files: str = "python-edu/train-*.parquet"
    """Its files."""
    max_tokens: int = 1_000_000_000
    """Stop after about so many tokens."""


@dataclass(frozen=True, kw_only=True)
class StackV2Ids(HubDataset):
    """The Stack v2's Python files, by id (gated); contents come from the `blobs` backends."""

    repository: str = "bigcode/the-stack-v2-dedup"
    """Owner and name on the hub."""
    files: str = "data/Python/train-*.parquet"
    """Python's files."""
    max_tokens: int = 1_000_000_000
    """Stop after about so many tokens."""


HUB_SECTIONS: dict[str, type[HubDataset]] = {
    "swallow_code": SwallowCode,
    "stack_v3": StackV3,
    "stack_v2_ids": StackV2Ids,
    "python_edu": PythonEdu,
    "extras_arxiv": ExtrasArxiv,
    "extras_documentation": ExtrasDocumentation,
    "extras_issues": ExtrasIssues,
    "extras_kaggle": ExtrasKaggle,
    "extras_lhq": ExtrasLhq,
    "extras_owm": ExtrasOwm,
    "extras_stackoverflow": ExtrasStackoverflow,
    "extras_wikipedia": ExtrasWikipedia,
    "extras_ir": ExtrasIr,
    "openwebmath": OpenWebMath,
    "gsm8k": Gsm8k,
    "code_contests": CodeContests,
    "rosetta_code": RosettaCode,
}
"""Asset to section."""


_POSITIVE = ("timeout_s", "attempts", "bytes_per_token", "block_bytes", "max_row_bytes", "read_ahead_bytes")


def hub_problems(name: str, section: HubDataset) -> list[str]:
    """What is wrong inside a data set's section, one message each."""
    problems = []
    if not 1 <= section.max_files <= 99:
        problems.append(f"[{name}] max_files: found {section.max_files}, expected 1..99")
    positive = {field: getattr(section, field) for field in _POSITIVE}
    problems += [f"[{name}] {field}: found {v}, expected more than 0" for field, v in positive.items() if not v > 0]
    if not section.files.endswith((".jsonl", ".parquet")):
        problems.append(f"[{name}] files: found {section.files!r}, expected a pattern that ends in .jsonl or .parquet")
    return problems
