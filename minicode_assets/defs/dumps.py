"""Sources that are fetched once and whole, or made, and then read in blocks."""

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl

from minicode_assets.config.dumps import Dump
from minicode_assets.defs.pictures import rows_table
from minicode_assets.defs.settings import project_folder
from minicode_assets.defs.sources import checks_of, records_table, source_outcome, source_stage
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.layout import partition_keys
from minicode_assets.parquet import conform, write_table
from minicode_assets.schemas import STACK_POSTS
from minicode_assets.sources.arxiv import read_papers
from minicode_assets.sources.dump import local_file
from minicode_assets.sources.harvest import Harvest, Taken, seal_harvest
from minicode_assets.sources.mathematics import read_problems
from minicode_assets.sources.rows import Place
from minicode_assets.sources.stack_posts import read_posts
from minicode_assets.sources.stackoverflow import read_questions
from minicode_assets.sources.web import Web
from minicode_model.artifact import open_artifact

Reader = Callable[[Path, Place, Callable[[str], None]], Iterable[Taken]]


def dump_file(run: StageRun) -> tuple[str, Path]:
    """The file of this partition: its address, and where it lies on this machine."""
    params: Dump = getattr(run.config, run.name)
    number = int(run.partition)
    address = params.files[number]
    with closing(
        Web(
            token=None, host=urlsplit(address).netloc, timeout_s=params.timeout_s, attempts=params.attempts,
            pause_s=params.pause_s,
        )
    ) as web:  # fmt: skip
        md5 = params.md5s[number] if params.md5s else ""
        return address, local_file(address, run.layout.mirror(run.name), web, md5=md5)


def harvested(run: StageRun, address: str, path: Path, read: Reader, **options: Any) -> Harvest:
    """The blocks of a file, read from where an earlier run stopped."""
    size = path.stat().st_size
    harvest = Harvest(run.layout.work / run.name / run.partition, [address, size, run.config_digest], **options)
    if not harvest.progress.is_done:
        params: Dump = getattr(run.config, run.name)
        found = read(path, harvest.progress.place, harvest.count)
        harvest.take(found, block_bytes=params.block_bytes, limit_rows=None, limit_bytes=None)
    return harvest


def stack_posts(run: StageRun) -> Outcome:
    """Read the posts of one file."""
    params = run.config.stack_posts
    address, path = dump_file(run)
    harvest = harvested(
        run, address, path, lambda path, start, count: read_posts(path, start, params, count), to_frame=posts_frame
    )
    skipped = dict(sorted(harvest.progress.uncounted.items()))
    artifact = write_table(
        run.folder, harvest.blocks(), STACK_POSTS, config_digest=run.config_digest, inputs={},
        metadata={"file": path.name, "skipped": skipped},
    )  # fmt: skip
    harvest.remove()
    broken = skipped.get("malformed", 0) + skipped.get("too_long", 0)
    num_rows = artifact.metadata["num_rows"]
    return Outcome(
        artifact,
        {
            "has_posts": (num_rows > 0, {"posts": num_rows}),
            "mostly_posts": (broken <= 0.01 * (num_rows + broken), skipped or {"malformed": 0}),
        },
        {"left_out": rows_table(["reason", "rows"], list(skipped.items()))},
    )


def posts_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows with schema STACK_POSTS."""
    return conform(pl.DataFrame(rows, schema=STACK_POSTS.polars), STACK_POSTS)


def arxiv(run: StageRun) -> Outcome:
    """Read the papers of one archive."""
    address, path = dump_file(run)
    params = run.config.arxiv
    harvest = harvested(run, address, path, lambda path, start, count: read_papers(path, start, params, count))
    return sealed(run, harvest, file=path.name)


def mathematics(run: StageRun) -> Outcome:
    """Make the problems of one level."""
    params = run.config.mathematics
    harvest = Harvest(run.layout.work / run.name / run.partition, [run.partition, run.config_digest])
    if not harvest.progress.is_done:
        found = read_problems(run.partition, harvest.progress.row, params, folder=project_folder())
        harvest.take(found, block_bytes=params.block_bytes, limit_rows=None, limit_bytes=None)
    return sealed(run, harvest, level=run.partition)


def sealed(run: StageRun, harvest: Harvest, **metadata: str) -> Outcome:
    """The documents of all blocks by prefix partition, with what came of the records."""
    artifact = seal_harvest(
        harvest, run.folder, name=run.name, keys=partition_keys(run.config.partitions.num_prefixes),
        config_digest=run.config_digest, inputs={}, metadata=metadata,
    )  # fmt: skip
    return Outcome(artifact, checks_of(artifact, may_be_empty=False), {"records": records_table(artifact)})


def stackoverflow(run: StageRun) -> Outcome:
    """Put the posts of all files together to questions with their answers."""
    dumps = run.partitions("stack_posts")
    inputs = {f"stack_posts/{dump.name}": open_artifact(dump, verify=False).digest for dump in dumps}
    return source_outcome(run, read_questions(dumps, run.config.stackoverflow), inputs=inputs)


STAGES = [
    Stage(
        name="stack_posts",
        group="stackoverflow",
        compute=stack_posts,
        deps=(),
        description="Questions and answers of Stack Exchange's dump as Markdown, a partition a file.",
        checks={
            "has_posts": "The file has questions or answers.",
            "mostly_posts": "At most 1 % of the rows are malformed or too long.",
        },
        table=STACK_POSTS,
    ),
    source_stage(
        "stackoverflow",
        stackoverflow,
        "Questions with their answers as conversations, the best answer first, without names.",
        group="stackoverflow",
        deps=("stack_posts",),
    ),
    source_stage(
        "mathematics", mathematics, "School mathematics made by DeepMind's package: questions and answers, by level."
    ),
    source_stage("arxiv", arxiv, "LaTeX sources of papers, cleaned as RedPajama did, a partition an archive."),
]
