"""Sections of the sources of text beside the archive's Python files. Each is off unless a preset or you switch it on.

The section is named after the asset. What follows the parsing (annotation, selection, tokens) is configured where it
is for all documents.
"""

import math
from dataclasses import dataclass, field

from minicode_assets.config.conversations import Gharchive, Issues, PullRequests, conversation_problems
from minicode_assets.config.corpus import Corpus
from minicode_assets.config.dumps import Arxiv, Stackoverflow, StackPosts, dump_problems, stack_problems
from minicode_assets.config.hub import HUB_SECTIONS, HubSections, hub_problems, unlicensed_problems
from minicode_assets.config.markup import Markup, markup_problems
from minicode_assets.config.mathematics import Mathematics, mathematics_problems


@dataclass(frozen=True, kw_only=True)
class Notebooks:
    """Jupyter notebooks of this machine, as scripts and as cells with their outputs."""

    enabled: bool = False
    """Collect them."""
    distributions: tuple[str, ...] = ("minicode",)
    """Installed distributions whose requirements' notebooks are read, as in `archive`; `*` means all."""
    folders: tuple[str, ...] = ()
    """Folders that are searched for `*.ipynb`, e.g. a download of Kaggle's notebooks; inside a work tree its URL and
    licence hold. `checkout/...` is in the checkout that minicode runs from, where it is one. Unit: paths."""
    meta_kaggle: str = ""
    """Folder with Meta Kaggle's KernelVersionDatasetSources.csv, DatasetVersions.csv, Datasets.csv and Users.csv: then
    all notebooks are Kaggle's, without outputs; a script that is no Python is dropped (`syntax`), and those that are
    named by their KernelVersionId begin with title, description and identifier of their data sets. Source: StarCoder2
    (42 % of Kaggle's). Unit: path."""
    max_description_characters: int = 2_000
    """A data set's description is cut after this. Ours. Unit: characters."""
    scripts: bool = True
    """Write each as a script: code, with the text as comments. Source: StarCoder2, Jupyter scripts."""
    cells: bool = True
    """Write each as triplets of text, code and output. Source: StarCoder2, structured notebooks."""
    max_notebook_bytes: int = 10_000_000
    """Longer files are dropped (`too_long`). Source: StarCoder2 (files of 10 MB). Unit: bytes."""
    max_output_characters: int = 2_000
    """An output is cut after this. Ours: outputs of unbounded length drown the code. Unit: characters."""
    min_code_characters: int = 100
    """Notebooks with less code are dropped (`short`). Source: StarCoder2's rule for Kaggle."""
    manifest: bool = False
    """Those of the manifest too, fetched with the blobs, where their folder's licence allows it."""
    block_bytes: int = 64_000_000
    """Text held in memory before it is written. Unit: bytes."""


@dataclass(frozen=True, kw_only=True)
class Documentation:
    """Markdown, reStructuredText and HTML of installed packages, folders and repositories."""

    enabled: bool = False
    """Collect it."""
    distributions: tuple[str, ...] = ("minicode",)
    """Installed distributions whose requirements' documentation is read, as in `archive`, the long description of
    their metadata included."""
    folders: tuple[str, ...] = ()
    """Folders that are searched, work trees of repositories or built documentation. Unit: paths."""
    max_file_bytes: int = 1_000_000
    """Longer files are dropped (`too_long`). Unit: bytes."""
    max_page_elements: int = 20_000
    """HTML of more elements is dropped (`too_long`): trafilatura's time grows with their square, 2 s here. The largest
    of 1,144 pages of up to 1 MB in Debian's and PyPI's packages has 15,636."""
    max_total_bytes: int = 200_000_000
    """No more is taken once so much text was kept. Unit: bytes."""
    min_words: int = 50
    """Shorter texts are dropped (`short`). Source: Gopher's rules."""
    max_symbol_word_fraction: float = 0.2
    """`#` and `...` a word, code blocks aside; above it a text is dropped (`symbols`). Gopher has 0.1 for the web."""
    min_letter_word_fraction: float = 0.6
    """Words with a letter, code blocks aside; below it a text is dropped (`no_prose`). Gopher has 0.8 for the web,
    which drops reference tables."""
    min_stop_words: int = 2
    """Distinct words of the, be, to, of, and, that, have, with; fewer drop a text (`no_prose`). Source: Gopher."""
    min_ascii_letter_fraction: float = 0.5
    """Of the letters; below it a text is in another script and dropped (`language`). Source: StarCoder2 keeps English
    documentation; by script, since no language model is asked."""
    manifest: bool = False
    """That of the manifest's repositories too, fetched with the blobs, where their folder's licence allows it."""
    manifest_bytes: int = 254_000_000_000
    """No more of the manifest's files is fetched, a sample by id. Source: StarCoder2's Markdown (curation.md 2.8).
    Unit: bytes of files."""
    block_bytes: int = 64_000_000
    """Text held in memory before it is written. Unit: bytes."""


@dataclass(frozen=True, kw_only=True)
class Commits:
    """Commits of local git repositories: one changed file each, before and after, with the message."""

    enabled: bool = False
    """Collect them."""
    repositories: tuple[str, ...] = ()
    """Local repositories, work trees or bare. `checkout` is the one that minicode runs from, where it is one."""
    history: bool = False
    """Those that lead to the heads of the archive, too: of an export with revisions, their messages and parents
    (`revision`, `revision_history`). Contents come from the `blobs` backends."""
    suffixes: tuple[str, ...] = (".py",)
    """Files that are looked at."""
    max_commits: int = 100_000
    """Newest first, for each repository."""
    max_file_bytes: int = 1_000_000
    """Longer files are dropped (`too_long`). Unit: bytes."""
    max_characters: int = 100_000
    """Longer training examples are dropped (`too_long`). Source: StarCoder."""
    whole_message: bool = False
    """Show the whole message. StarCoder shows the first line of it, the subject."""
    max_message_characters: int = 10_000
    """Longer messages are dropped (`message`). Ours."""
    short_subject_words: int = 5
    """Subjects of fewer words are thinned out (`sampled_out`). Source: StarCoder's published code."""
    short_subject_rate: float = 0.5
    """Share of those that stays, 0..1. Source: StarCoder's published code."""
    max_mean_word_characters: int = 20
    """Subjects with longer words on average (hashes) are dropped (`subject`). Source: StarCoder."""
    data_file_rate: float = 0.5
    """Share of the commits of JSON, YAML, XML and HTML that stays (`sampled_out`), 0..1. Source: StarCoder."""
    short_change_lines: int = 2
    """Changes of so few lines are thinned out (`sampled_out`). Source: StarCoder."""
    long_change_lines: int = 200
    """And so are those of at least so many. Source: StarCoder."""
    thinned_rate: float = 0.1
    """Share of the thinned out changes that stays, 0..1. Source: StarCoder."""
    whole_file_rate: float = 0.2
    """Share of the examples that show the whole file, 0..1; others a window around the change. Source: StarCoder."""
    max_window_lines: int = 32
    """Lines of context on each side are drawn from 0 to this. Source: StarCoder."""
    seed: int = 1337
    """Seed of the sampling and of the windows."""
    block_bytes: int = 64_000_000
    """Text held in memory before it is written. Unit: bytes."""


COMMIT_TOKENS = ("<commit_before>", "<commit_msg>", "<commit_after>")
"""StarCoder's; StarCoder2 has none for commits."""


def commit_problems(commits: Commits, extra_special_tokens: tuple[str, ...]) -> list[str]:
    """Special tokens that the tokenizer lacks, in one message."""
    absent = [name for name in COMMIT_TOKENS if commits.enabled and name not in extra_special_tokens]
    return [f"[commits] needs [tokenizer] extra_special_tokens with {', '.join(absent)}"] if absent else []


SOURCE_SECTIONS: dict[str, tuple[str, ...]] = {
    **{name: (name, "partitions", "license_files") for name in ("notebooks", "documentation", "commits")},
    "markup": ("markup", "partitions"),
    "gharchive": ("gharchive",),
    "issues": ("issues", "partitions"),
    "pull_requests": ("pull_requests", "partitions", "license_files"),
    "stack_posts": ("stack_posts",),
    "stackoverflow": ("stackoverflow", "partitions"),
    "arxiv": ("arxiv", "partitions"),
    "mathematics": ("mathematics", "partitions"),
    **{name: (name, "partitions") for name in HUB_SECTIONS},
}
"""Which sections shape which source asset. Those that give documents write them by prefix partition."""

RAW_SOURCES = ("gharchive", "stack_posts")
"""Sources that give no documents but what others make them of."""


@dataclass(frozen=True, kw_only=True)
class SourceSections(HubSections):
    """The sections of all sources, which `Config` has beside its own."""

    notebooks: Notebooks = field(default_factory=Notebooks)
    documentation: Documentation = field(default_factory=Documentation)
    commits: Commits = field(default_factory=Commits)
    markup: Markup = field(default_factory=Markup)
    gharchive: Gharchive = field(default_factory=Gharchive)
    issues: Issues = field(default_factory=Issues)
    pull_requests: PullRequests = field(default_factory=PullRequests)
    stack_posts: StackPosts = field(default_factory=StackPosts)
    stackoverflow: Stackoverflow = field(default_factory=Stackoverflow)
    arxiv: Arxiv = field(default_factory=Arxiv)
    mathematics: Mathematics = field(default_factory=Mathematics)


def document_sources(config: SourceSections) -> list[str]:
    """The source assets that are switched on and give documents, in flow order."""
    return [name for name in source_assets(config) if name not in RAW_SOURCES]


def source_assets(config: SourceSections) -> list[str]:
    """The source assets that are switched on, in flow order."""
    return [name for name in SOURCE_SECTIONS if getattr(config, name).enabled]


NOTEBOOK_SUFFIXES = (".ipynb",)
DOCUMENTATION_SUFFIXES = (".md", ".markdown", ".rst", ".html", ".htm")


def wanted_files(config: SourceSections) -> tuple[str, ...]:
    """What sources read of the manifest's files beside Python, as [other_files] wanted.

    A suffix that two sources read is fetched by the larger limit; what each of them keeps is its own affair.
    """
    wanted: list[tuple[str, str, int]] = []
    markup, documentation = config.markup, config.documentation
    if markup.enabled:
        wanted += [(suffix, kind, markup.limit(kind)) for kind in markup.kinds for suffix in markup.suffixes(kind)]
    if documentation.enabled and documentation.manifest:
        wanted += [(suffix, "documentation", documentation.manifest_bytes) for suffix in DOCUMENTATION_SUFFIXES]
    if config.notebooks.enabled and config.notebooks.manifest:
        wanted += [(suffix, "notebooks", 0) for suffix in NOTEBOOK_SUFFIXES]
    kinds = {suffix: (kind, limit) for suffix, kind, limit in sorted(wanted, key=lambda f: f[2] or math.inf)}
    return tuple(f"{suffix}={kind}:{limit}" for suffix, (kind, limit) in sorted(kinds.items()))


def reads_manifest(config: SourceSections, asset: str) -> bool:
    """Whether a source reads files of the manifest."""
    section = getattr(config, asset, None)
    return asset == "markup" or bool(getattr(section, "manifest", False) and asset in SOURCE_SECTIONS)


def source_partitions(config: SourceSections, asset: str) -> list[str]:
    """The partition keys of a source that comes in files or days; none for every other asset."""
    section = getattr(config, asset, None)
    return list(getattr(section, "partition_keys", ())) if asset in SOURCE_SECTIONS else []


def source_problems(config: SourceSections, extra_special_tokens: tuple[str, ...], corpus: Corpus) -> list[str]:
    """What is wrong in the sources' sections, one message each."""
    problems = commit_problems(config.commits, extra_special_tokens)
    problems += conversation_problems(config.gharchive, config.issues, config.pull_requests)
    problems += markup_problems(config.markup)
    problems += stack_problems(config.stack_posts, config.stackoverflow) + dump_problems("arxiv", config.arxiv)
    problems += mathematics_problems(config.mathematics) + unlicensed_problems(config.extras_documentation, corpus)
    return problems + [told for name in HUB_SECTIONS for told in hub_problems(name, getattr(config, name))]
