"""Documents, and the events and posts that conversations are put together from."""

import polars as pl

from minicode_assets.schemas.table import TIME, table

DOCUMENTS = table(
    "documents",
    ("document_id", pl.String, "32 hex digits of BLAKE2b over the qualified SWHID or other record id; stable"),
    ("source", pl.String, "swh, or another source's name; decides the format in training"),
    (
        "swhid",
        pl.String,
        "Qualified: swh:1:cnt:...;origin=...;visit=...;anchor=...;path=...; the last two of these "
        "four only for what is in the archive",
    ),
    ("sha1_git", pl.Binary, "20 bytes, of the file; where the record is no file, of the text in UTF-8"),
    ("origin_url", pl.String, "origin.url; the repository, site or dataset of another source's record"),
    ("revision", pl.Binary, "20 bytes; null for what is not of the manifest"),
    ("record_id", pl.String, "The record's id in its source; null for swh, where it is the SWHID"),
    ("url", pl.String, "Where a person can look at the record; null where nobody can"),
    ("declared_license", pl.String, "SPDX expression that the source states; null without one"),
    ("date", TIME, "When the record was written or last changed; null where unknown"),
    ("path", pl.String, "Path; bytes that are not UTF-8 as \\xNN"),
    ("length_bytes", pl.Int64, "Bytes of the blob, or of the text where the record is no file"),
    ("encoding", pl.String, "The codec that decoded it; null without text"),
    (
        "status",
        pl.String,
        "ok, opted_out, missing, not_fetched (fetch_plan says why), too_long, nul, undecodable, or the rule by which a "
        "source dropped the record",
    ),
    ("text", pl.String, "The text, newlines as they are; marks as in sources/marks.py; null unless ok"),
    key="document_id",
    order="sha1_git origin_url revision path",
)
CONVERSATION_EVENTS = table(
    "gharchive",
    ("thread", pl.String, "owner/name/issues/N or owner/name/pull/N"),
    ("bucket", pl.Int64, "0..255 by hash of the thread"),
    ("repository", pl.String, "owner/name"),
    ("event_id", pl.Int64, "The event's id"),
    ("date", pl.String, "When, ISO 8601"),
    ("type", pl.String, "IssuesEvent, IssueCommentEvent, PullRequestEvent, PullRequestReview(Comment)Event"),
    ("action", pl.String, "opened, closed, created, edited, deleted, ..."),
    ("title", pl.String, "The thread's title at that time; null where the event lacks it"),
    ("opener", pl.String, "The account that opened the thread"),
    ("opening", pl.String, "The thread's first text at that time"),
    ("author", pl.String, "The account that wrote `text`"),
    ("text", pl.String, "The comment or review; null for other events"),
    ("text_id", pl.Int64, "Its id; null for other events"),
    ("base_commit", pl.String, "40 hex digits: where a pull request is to go; null for issues and comments"),
    ("head_commit", pl.String, "40 hex digits: what is to be pulled, at that time"),
    ("head_repository", pl.String, "owner/name where that is"),
    ("is_merged", pl.Boolean, "It was merged; null where the event doesn't say"),
    ("review_state", pl.String, "approved, commented, changes_requested, dismissed; null for other events"),
    ("review_id", pl.Int64, "The review that a review comment belongs to"),
    ("in_reply_to", pl.Int64, "The review comment that it answers"),
    ("file", pl.String, "The file that a review comment is about"),
    ("diff_hunk", pl.String, "The part of the diff that it is about"),
    ("position", pl.Int64, "Its line in that diff, from 1"),
)
STACK_POSTS = table(
    "stack_posts",
    ("thread", pl.String, "site/questions/N"),
    ("bucket", pl.Int64, "0..255 by hash of the thread"),
    ("site", pl.String, "e.g. stackoverflow.com"),
    ("post_id", pl.Int64, "The post"),
    ("is_question", pl.Boolean, "A question, not an answer"),
    ("score", pl.Int64, "Votes for it less those against it"),
    ("accepted_id", pl.Int64, "The answer that a question accepted; null without, and for answers"),
    ("title", pl.String, "Of a question; null for answers"),
    ("owner", pl.String, "Number or name of the account; null where it is gone"),
    ("date", TIME, "When it was written"),
    ("license", pl.String, "SPDX expression; null where the dump states none"),
    ("text", pl.String, "The body as Markdown"),
    ("length_bytes", pl.Int64, "Bytes of the text"),
    ("status", pl.String, "ok: posts that are left out are counted in the manifest"),
)
"""In the order of the dump."""
