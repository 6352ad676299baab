"""Sections of the Hugging Face data sets: one a data set, all of one kind."""

from dataclasses import dataclass, fields

from minicode_assets.config.corpus import Corpus
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
    languages: tuple[str, ...] = ()
    """Where a row is a repository, its files in these languages, as the data set names them; empty takes all."""
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
class HubSections:
    """A section a data set. Sources: software_heritage.md 6 and the data sets' own pages."""

    swallow_code: HubDataset = HubDataset(
        repository="tokyotech-llm/swallow-code-v2",
        files="stage5-auto-format/python/medium/train_*.jsonl",
        max_tokens=1_000_000_000,
    )
    """swallow-code-v2, rewritten Python, some 50 B tokens: 150 files of 6.4 GB, 7.5 kB of text in a row of 33 kB."""
    stack_v3: HubDataset = HubDataset(
        repository="HuggingFaceCode/stack-v3-train", files="data/*.parquet", max_files=32, max_tokens=1_000_000_000,
        languages=("Python",),
    )  # fmt: skip
    """The Stack v3, training part: a row a repository, its files inline, those in Python of some 4.9 T tokens in 713
    languages. 8,192 files of some 2 GB; one is read whole, since its rows have all languages."""
    stack_v2_ids: HubDataset = HubDataset(
        repository="bigcode/the-stack-v2-dedup", files="data/Python/train-*.parquet", max_tokens=1_000_000_000
    )
    """The Stack v2's Python files, by id (gated); contents come from the `blobs` backends."""
    python_edu: HubDataset = HubDataset(
        repository="HuggingFaceTB/smollm-corpus", files="python-edu/train-*.parquet", max_tokens=1_000_000_000
    )
    """Python files of educational value, by id; contents come from the `blobs` backends."""
    extras_arxiv: HubDataset = HubDataset(repository="bigcode/starcoder2data-extras", files="arxiv/train-*.parquet")
    """arXiv papers, 40.9 GB."""
    extras_documentation: HubDataset = HubDataset(
        repository="bigcode/starcoder2data-extras", files="documentation/train-*.parquet"
    )
    """Documentation of packages and languages, 1.85 GB. It states no licence, neither as a whole nor of a row: it is
    kept only where [corpus] license_types has no_license, or any_license_sources documentation."""
    extras_issues: HubDataset = HubDataset(repository="bigcode/starcoder2data-extras", files="issues/train-*.parquet")
    """GitHub issues, rendered."""
    extras_kaggle: HubDataset = HubDataset(
        repository="bigcode/starcoder2data-extras", files="kaggle/train-*.parquet", license="Apache-2.0"
    )
    """Kaggle notebooks, rendered; the licence is that of Meta Kaggle Code, of which they are made."""
    extras_lhq: HubDataset = HubDataset(repository="bigcode/starcoder2data-extras", files="lhq/train-*.parquet")
    """Small high-quality sets, 273 MB."""
    extras_owm: HubDataset = HubDataset(repository="bigcode/starcoder2data-extras", files="owm/train-*.parquet")
    """OpenWebMath as StarCoder2 read it."""
    extras_stackoverflow: HubDataset = HubDataset(
        repository="bigcode/starcoder2data-extras", files="stackoverflow/train-*.parquet"
    )
    """Stack Overflow, rendered."""
    extras_wikipedia: HubDataset = HubDataset(
        repository="bigcode/starcoder2data-extras", files="wikipedia/train-*.parquet"
    )
    """English Wikipedia."""
    extras_ir: HubDataset = HubDataset(repository="bigcode/starcoder2data-extras", files="ir_*/train-*.parquet")
    """Code beside its intermediate representation: ir_cpp, ir_low_resource, ir_python, ir_rust."""
    openwebmath: HubDataset = HubDataset(
        repository="open-web-math/open-web-math", files="data/train-*.parquet", license="ODC-By-1.0"
    )
    """Mathematical pages of the web, 6.3 M; the licence is the set's, the pages keep their own."""
    gsm8k: HubDataset = HubDataset(repository="openai/gsm8k", files="main/train-*.parquet", max_files=1, license="MIT")
    """Grade-school problems, training split only: 7,473 (the test split is an evaluation)."""
    code_contests: HubDataset = HubDataset(
        repository="deepmind/code_contests", files="data/train-*.parquet", max_files=39, license="CC-BY-4.0"
    )
    """Competition problems with their solutions, training split only, all 39 files."""
    rosetta_code: HubDataset = HubDataset(
        repository="christopher/rosetta-code", files="data/train-*.parquet", max_files=1, license="GFDL-1.2-only"
    )
    """Tasks solved in many languages: 79,013 solutions in one file of 36.8 MB."""


HUB_SECTIONS: dict[str, HubDataset] = {f.name: getattr(HubSections, f.name) for f in fields(HubSections)}
"""Asset to the defaults of its section."""


def hub_problems(name: str, section: HubDataset) -> list[str]:
    """What is wrong inside a data set's section, one message each."""
    problems = []
    if not 1 <= section.max_files <= 99:
        problems.append(f"[{name}] max_files: found {section.max_files}, expected 1..99")
    if not section.files.endswith((".jsonl", ".parquet")):
        problems.append(f"[{name}] files: found {section.files!r}, expected a pattern that ends in .jsonl or .parquet")
    return problems


def unlicensed_problems(documentation: HubDataset, corpus: Corpus) -> list[str]:
    """A data set of which the selection would keep nothing, in one message."""
    kept = "no_license" in corpus.license_types or "documentation" in corpus.any_license_sources
    if kept or documentation.license or not documentation.enabled:
        return []
    return [
        "[extras_documentation] states no licence, so nothing of it would be kept: set its `license`, or add "
        "'documentation' to [corpus] any_license_sources"
    ]
