"""The text of a pull request, event by event, with marks. Source: StarCoder2's published code, see pull_requests."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from minicode_assets.config.conversations import PullRequests
from minicode_assets.sources.diff_hunks import Change, changed_range, hunks, moved
from minicode_assets.sources.marks import escaped, mark
from minicode_assets.sources.threads import Names, Thread, strip_mail
from minicode_model.fim import uniforms

Event = dict[str, Any]
DATA_FILES = {
    ".yaml": ("pack", "lock", "yarn", "output", "swagger", "openapi"),
    ".yml": ("pack", "lock", "yarn", "output", "swagger", "openapi"),
    ".json": ("pack", "lock", "output"),
}
"""Suffixes of data files, and what their paths hold where programs wrote them. Source: StarCoder2's code."""
_HIDDEN = re.compile(r"<!--.*?-->", re.DOTALL)


class RefusedError(Exception):
    """A rule drops the pull request."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class _LeftOutError(Exception):
    """A text is too short or a program's: its event is left out."""


class Writer:
    """Writes one pull request.

    Args:
        thread: The pull request.
        events: In order, with the one that opened it.
        diffs: Changes by head commit.
        params: The section.
    """

    def __init__(
        self, thread: Thread, events: Sequence[Event], diffs: Mapping[str, list[Change]], params: PullRequests
    ) -> None:
        self._thread, self._events, self._diffs, self._params = thread, events, diffs, params
        self._names = Names()
        for event in events:
            self._names.of(event["author"])
        self._shown: dict[str, tuple[int, str]] = {}
        self._head = ""
        self._is_open = False

    def text(self) -> str:
        """The whole text.

        Raises:
            RefusedError: Its description or all its files are refused.
        """
        return "".join(self._event(event) for event in self._events)

    def _event(self, event: Event) -> str:
        if event["type"] == "PullRequestEvent":
            before = self._new_diff(event) if self._is_open and event["action"] != "opened" else ""
            said = self._own(event)
            if self._is_open or event["action"] not in ("opened", "reopened"):
                return before + said
            self._is_open = True
            return said + self._base() + self._new_diff(event)
        if event["type"] == "IssueCommentEvent":
            return self._comment(event)
        return self._new_diff(event) + self._review(event) if self._is_open else ""

    def _own(self, event: Event) -> str:
        """Opened, edited, reopened, closed."""
        action, user = event["action"].lower(), self._names.of(event["author"])
        try:
            said = self._titled(event) if action in ("opened", "edited", "reopened") else escaped(user)
        except _LeftOutError as error:
            if action == "opened":
                raise RefusedError("short") from error
            return ""
        parts = [mark("<pr>"), said, mark("<pr_status>"), escaped(action)]
        parts += [] if self._is_open else [mark("<repo_name>"), escaped(self._thread.repository)]
        parts += [mark("<pr_is_merged>"), str(bool(event["is_merged"]))] if action == "closed" else []
        return "".join(parts)

    def _titled(self, event: Event) -> str:
        title = self._cut(event["title"] or "")[: self._params.max_title_characters]
        return escaped(f"Title: {title}\n{self._said(event['author'], event['opening'] or '')}")

    def _comment(self, event: Event) -> str:
        try:
            said = self._said(event["author"], event["text"] or "")
        except _LeftOutError:
            return ""
        parts = [mark("<pr_comment>"), escaped(said)]
        parts += [mark("<pr_event_id>"), str(event["text_id"])] if event["text_id"] is not None else []
        return "".join([*parts, mark("<pr_status>"), escaped(event["action"].lower())])

    def _review(self, event: Event) -> str:
        try:
            return self._verdict(event) if event["type"] == "PullRequestReviewEvent" else self._remark(event)
        except _LeftOutError:
            return ""

    def _verdict(self, event: Event) -> str:
        said = self._said(event["author"], event["text"] or "", is_short_allowed=True)
        return "".join([
            mark("<pr_review>"), escaped(said), mark("<pr_event_id>"), str(event["text_id"]),
            mark("<pr_review_state>"), escaped(event["review_state"] or ""),
        ])  # fmt: skip

    def _remark(self, event: Event) -> str:
        """A comment on a line of the diff."""
        said = self._said(event["author"], event["text"] or "")
        parts = [mark("<pr_review_comment>"), mark("<pr_event_id>"), str(event["text_id"])]
        for column, name in (("review_id", "review"), ("in_reply_to", "comment")):
            if event[column] is not None:
                parts += [mark(f"<pr_in_reply_to_{name}_id>"), str(event[column])]
        path = event["file"] or ""
        hunk = moved(event["diff_hunk"] or "", self._shown.get(path, (0, ""))[0])
        if len(hunk) > self._params.max_hunk_characters:
            hunk = "[OMITTED]"
        parts += [mark("<pr_file>"), escaped(path), mark("<pr_diff_hunk_comment_line>"), str(event["position"] or 0)]
        return "".join([*parts, mark("<pr_diff_hunk>"), escaped(hunk), mark("<pr_comment>"), escaped(said)])

    def _said(self, author: str, text: str, *, is_short_allowed: bool = False) -> str:
        """Who said what, cleaned; raises where the event is to be left out."""
        user, params = self._names.of(author), self._params
        text = strip_mail(text)
        if "Qwiet" in text:
            raise _LeftOutError
        if "codecov" in text.lower():
            return f"{user}: [OMITTED]CodeCov"
        text = self._cut(_HIDDEN.sub("", text)).strip()
        if len(text) < params.min_text_characters and not is_short_allowed:
            raise _LeftOutError
        return f"{user}: {self._names.anonymous(text[: params.max_text_characters])}" if text else user

    def _cut(self, text: str) -> str:
        """Long texts without their middle, which is told."""
        lines, params = text.split("\n"), self._params
        if len(lines) <= params.max_text_lines:
            return text
        first = lines[: params.max_text_lines - params.kept_last_lines]
        return "\n".join([*first, "[TRUNCATED]", *lines[-params.kept_last_lines :]])

    def _base(self) -> str:
        """The files before the change: whole, or the lines that change with some around."""
        first: dict[str, Change] = {}
        ranges: dict[str, tuple[int, int]] = {}
        for change in (change for changes in self._diffs.values() for change in changes):
            start, stop = changed_range(change)
            low, high = ranges.get(change.path, (start, stop))
            ranges[change.path] = (min(low, start), max(high, stop))
            first.setdefault(change.path, change)
        parts = {path: self._window(first[path], *ranges[path]) for path in first}
        total = max(1, sum(len(code) for _, code in parts.values()))
        self._shown = {path: part for path, part in parts.items() if not self._is_data(path, part[1], total)}
        if not self._shown:
            raise RefusedError("no_diff")
        files = ((mark("<pr_file>") + escaped(path), code) for path, (_, code) in self._shown.items())
        return mark("<pr_base>") + "".join(name + mark("<pr_base_code>") + escaped(code) for name, code in files)

    def _window(self, change: Change, start: int, stop: int) -> tuple[int, str]:
        """First line that is shown, from 0, and the lines."""
        whole, before, after = uniforms(3, self._params.seed, "base", self._thread.key, change.path)
        if whole < self._params.whole_base_rate:
            return 0, change.base
        margin = self._params.max_base_margin_lines
        first = max(0, start - int(before * margin))
        return first, "\n".join(change.base.splitlines()[first : stop + int(after * margin)])

    def _is_data(self, path: str, code: str, total: int) -> bool:
        """Whether a data file is dropped."""
        words = DATA_FILES.get(PurePosixPath(path).suffix.lower())
        if words is None:
            return False
        (chance,) = uniforms(1, self._params.seed, "data", self._thread.key, path)
        suspicious = any(word in path for word in words) or len(code) > self._params.max_data_share_fraction * total
        return suspicious and chance >= self._params.data_file_rate

    def _new_diff(self, event: Event) -> str:
        """The diff to the commits of this event, where they are new."""
        head = event["head_commit"]
        if not head or head == self._head:
            return ""
        self._head = head
        if head not in self._diffs:
            return ""
        files = "".join(self._file_diff(change, head) for change in self._diffs[head] if change.path in self._shown)
        return mark("<pr_diff>") + files if files else ""

    def _file_diff(self, change: Change, head: str) -> str:
        (chance,) = uniforms(1, self._params.seed, "context", self._thread.key, change.path, head)
        least, most = self._params.min_context_lines, self._params.max_context_lines
        found = hunks(change, self._shown[change.path][0], least + int(chance * (most - least)))
        return mark("<pr_file>") + escaped(change.path) + "".join(mark("<pr_diff_hunk>") + escaped(h) for h in found)
