"""Sections of published dumps: Stack Exchange's posts and the questions made of them, arXiv's sources."""

from dataclasses import dataclass

from minicode_model.config import operational


@dataclass(frozen=True, kw_only=True)
class Dump:
    """Files that are fetched once and whole, from where, and how patiently."""

    enabled: bool = False
    """Collect it."""
    files: tuple[str, ...] = ()
    """Paths or URLs, each a partition, at most 99; a URL is fetched once into `mirror/<asset>/` and checked."""
    md5s: tuple[str, ...] = ()
    """Published MD5 digests of the files that are fetched, in their order, hex; empty: none are compared."""
    timeout_s: float = operational(60.0)
    """Longest silence of the server. Unit: seconds."""
    attempts: int = operational(6)
    """Tries without progress before giving up."""
    pause_s: float = operational(1.0)
    """First pause after a failure; it doubles. Unit: seconds."""
    block_bytes: int = 64_000_000
    """Text held in memory before it is written; also what a killed run reads again at most. Unit: bytes."""

    @property
    def partition_keys(self) -> list[str]:
        """A partition a file: its number."""
        return [f"{number:02d}" for number in range(max(1, len(self.files)))]


@dataclass(frozen=True, kw_only=True)
class StackPosts(Dump):
    """Posts of Stack Exchange's dump; `stackoverflow` needs it."""

    files: tuple[str, ...] = ("https://archive.org/download/stackexchange/stackoverflow.com-Posts.7z",)
    """`Posts.xml`, plain, `.gz` or `.7z`; paths or URLs, each a partition, at most 99. A URL is fetched once into
    `mirror/stack_posts/`, resumed and checked. Source: software_heritage.md 6."""
    site: str = "stackoverflow.com"
    """The site of a file whose name doesn't begin with it."""
    planted_from_id: int = 1_000_000_000
    """Posts with this number or more are dropped: the company plants 1000000001 and 1000000010 to tell who copies."""
    max_row_bytes: int = 10_000_000
    """Longer rows are passed over and counted. Unit: bytes."""


@dataclass(frozen=True, kw_only=True)
class Stackoverflow:
    """Questions with their answers, as conversations."""

    enabled: bool = False
    """Make documents of the posts."""
    min_answers: int = 3
    """Questions with fewer answers are dropped (`few_answers`). Source: StarCoder2's paper, 2.8."""
    min_question_score: int = 0
    """Questions with fewer votes are dropped (`score`). Ours: those below 0 are off topic or unclear. The paper drops
    by an embedding of question and answers instead."""
    min_answer_score: int = 0
    """Answers with fewer votes are left out; a question without any left is dropped (`score`). Ours."""
    titles: bool = False
    """Begin with the question's title, as issues do. The paper's examples have none (5.5)."""
    seed: int = 1337
    """Seed of the order of answers, which is random as in the paper."""
    block_bytes: int = 64_000_000
    """Posts that are put together at a time, and text held in memory before it is written. Unit: bytes."""


@dataclass(frozen=True, kw_only=True)
class Arxiv(Dump):
    """LaTeX sources of arXiv's bulk archives, `arXiv_src_YYMM_NNN.tar` of some 500 MB.

    The bucket `arxiv/src/` is paid by who asks: fetch the archives with your own account and give their paths, and the
    digests of `arXiv_src_manifest.xml` as `md5s` where they are URLs. Ready-made: `extras_arxiv`.
    """

    max_paper_bytes: int = 50_000_000
    """Longer archives of a paper are dropped (`too_long`). Unit: bytes, packed."""
    max_unpacked_bytes: int = 200_000_000
    """And so are those that unpack to more. Unit: bytes."""


def dump_problems(name: str, section: Dump) -> list[str]:
    """What is wrong inside a dump's section, one message each."""
    problems = []
    if section.enabled and not 1 <= len(section.files) <= 99:
        problems.append(f"[{name}] files: found {len(section.files)}, expected 1..99")
    names = [file.rpartition("/")[2] for file in section.files if "://" in file]
    if len(set(section.files)) < len(section.files) or len(set(names)) < len(names):
        problems.append(f"[{name}] files: a file, or a name that two URLs end in, is there twice")
    if section.md5s and len(section.md5s) != len(section.files):
        problems.append(
            f"[{name}] md5s: found {len(section.md5s)}, expected one for each of {len(section.files)} files"
        )
    return problems


def stack_problems(posts: StackPosts, questions: Stackoverflow) -> list[str]:
    """Contradictions of the two sections of Stack Exchange, one message each."""
    problems = dump_problems("stack_posts", posts)
    if questions.enabled and not posts.enabled:
        problems.append("[stackoverflow] needs [stack_posts] enabled = true")
    return problems
