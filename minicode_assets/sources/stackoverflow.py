r"""Questions of Stack Exchange with their answers as training text, with StarCoder2's format (5.5 of its paper).

`<issue_start>username_0: question<issue_comment>username_1: answer\nUpvotes: 7 [selected answer]<issue_comment>...`:
answers in random order, with their votes. Questions with few answers are dropped, as in the paper (2.8); its embedding
model, which drops questions whose answers don't belong to them, is not there: `score` is ours.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.config.dumps import Stackoverflow
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import STACK_POSTS
from minicode_assets.sources.buckets import bucket_runs
from minicode_assets.sources.document import Document
from minicode_assets.sources.marks import escaped, mark
from minicode_model.fim import uniforms

Row = dict[str, Any]


def read_questions(dumps: Sequence[Path], params: Stackoverflow) -> Iterator[Document]:
    """One document a question, by bucket and thread; in memory are those of a block.

    Statuses: orphan (answers whose question is not there), score, few_answers, empty.
    """
    tables = [scan_table(dump, STACK_POSTS, verify=False) for dump in dumps]
    for run in bucket_runs(tables, pl.col("length_bytes") + 200, max_bytes=params.block_bytes):
        frame = run.unique(["site", "post_id"], keep="first").sort("bucket", "thread", "post_id").collect()
        for (_,), rows in frame.group_by("thread", maintain_order=True):
            yield question_of(rows.to_dicts(), params)


def question_of(posts: list[Row], params: Stackoverflow) -> Document:
    """The document of a question and its answers, or the rule that drops it."""
    question = next((post for post in posts if post["is_question"]), None)
    found = [post for post in posts if not post["is_question"]]
    answers = ordered(found, question, params) if question else []
    site, thread = posts[0]["site"], posts[0]["thread"]
    kept = [question, *answers] if question else posts
    return Document(
        source="stackoverflow",
        record_id=thread,
        origin_url=f"https://{thread}",
        path=f"{thread.removeprefix(f'{site}/')}.md",
        text=render(question, answers, titled=params.titles) if question else "",
        url=f"https://{thread}",
        license=" AND ".join(sorted({post["license"] for post in kept if post["license"]})) or None,
        date=max(post["date"] for post in kept),
        status=judge(question, found, answers, params),
    )


def ordered(answers: list[Row], question: Row, params: Stackoverflow) -> list[Row]:
    """Those with votes enough and a text, in an order that the seed and their numbers decide."""
    kept = [a for a in answers if a["score"] >= params.min_answer_score and a["text"]]
    return sorted(kept, key=lambda a: uniforms(1, params.seed, "answer", f"{question['thread']}/{a['post_id']}")[0])


def judge(question: Row | None, found: list[Row], answers: list[Row], params: Stackoverflow) -> str:
    """ok, or the first rule that drops the question."""
    if question is None:
        return "orphan"
    if question["score"] < params.min_question_score:
        return "score"
    if len(found) < params.min_answers:
        return "few_answers"
    if not answers:
        return "score"
    return "ok" if question["text"] else "empty"


def render(question: Row, answers: list[Row], *, titled: bool) -> str:
    """The conversation with marks; accounts are numbered as they speak, and those that are gone have one each."""
    numbers: dict[str, int] = {}
    parts = [mark("<issue_start>"), escaped(f"Title: {question['title']}\n") if titled else ""]
    for post in (question, *answers):
        number = numbers.setdefault(post["owner"] or f"post {post['post_id']}", len(numbers))
        parts.append("" if post is question else mark("<issue_comment>"))
        parts.append(escaped(f"username_{number}: {post['text']}"))
        if post is not question:
            selected = " [selected answer]" if post["post_id"] == question["accepted_id"] else ""
            parts.append(f"\nUpvotes: {post['score']}{selected}")
    return "".join(parts)
