r"""Issues as training text, with StarCoder2's rules and format (2.2 and 5.3 of its paper).

`<issue_start>Title: title\nusername_0: text<issue_comment>username_1: text<issue_closed>`.
"""

from collections.abc import Iterable, Iterator

from minicode_assets.config.conversations import Issues
from minicode_assets.sources.document import Document
from minicode_assets.sources.marks import escaped, mark
from minicode_assets.sources.threads import Comment, Names, Thread, cut_middle, is_bot, read_opt_out, strip_mail


def read_issues(
    threads: Iterable[Thread], params: Issues, *, users: frozenset[str] = frozenset()
) -> Iterator[Document]:
    """One document a conversation. Statuses: opted_out, bot, one_user, short, empty (nobody's text is left).

    Args:
        threads: The conversations.
        params: The `issues` section.
        users: Accounts that opted out, in lower case, beside those of `params.opt_out`.
    """
    opted_out = read_opt_out(params.opt_out) | users
    for thread in threads:
        turns = cleaned(thread, params, opted_out)
        yield Document(
            source="issues",
            record_id=thread.key,
            origin_url=f"https://github.com/{thread.repository}",
            path=f"issues/{thread.number}",
            text=render(thread, turns) if turns else "",
            url=f"https://github.com/{thread.key}",
            date=thread.date,
            status=judge(thread, turns, params, opted_out),
        )


def cleaned(thread: Thread, params: Issues, opted_out: frozenset[str]) -> list[Comment]:
    """The turns that stay, the opening first, without mail and cut."""
    opening = Comment(thread.opener, thread.opening, "")
    return [
        Comment(turn.author, text, turn.date)
        for turn in (opening, *thread.turns)
        if turn.author and not is_bot(turn.author, params) and turn.author.lower() not in opted_out
        if (text := cut_middle(strip_mail(turn.text or ""), params.max_comment_lines, params.kept_last_lines))
    ]


def judge(thread: Thread, turns: list[Comment], params: Issues, opted_out: frozenset[str]) -> str:
    """ok, or the first rule that drops the conversation."""
    characters = sum(len(turn.text) for turn in turns)
    if thread.repository.lower() in opted_out or thread.opener.lower() in opted_out:
        return "opted_out"
    if is_bot(thread.opener, params):
        return "bot"
    if not turns:
        return "empty"
    if characters < params.min_characters:
        return "short"
    few = characters <= params.max_single_user_characters and len(thread.events) <= params.max_single_user_events
    return "ok" if len({turn.author.lower() for turn in turns}) > 1 or few else "one_user"


def render(thread: Thread, turns: list[Comment]) -> str:
    """The conversation with marks; the closing where it was closed last, before what was said after."""
    names = Names()
    for turn in turns:
        names.of(turn.author)
    closed = closing_date(thread)
    parts = [mark("<issue_start>"), escaped(f"Title: {thread.title}\n")]
    for number, turn in enumerate(turns):
        if closed and turn.date > closed:
            parts.append(mark("<issue_closed>"))
            closed = ""
        parts.append(mark("<issue_comment>") if number else "")
        parts.append(escaped(f"{names.of(turn.author)}: {names.anonymous(turn.text)}"))
    return "".join([*parts, mark("<issue_closed>") if closed else ""])


def closing_date(thread: Thread) -> str:
    """When it was closed, unless it was opened again; empty if it was not."""
    states = [event for event in thread.events if event["type"] == "IssuesEvent" and event["action"] in _STATES]
    return str(states[-1]["date"]) if states and states[-1]["action"] == "closed" else ""


_STATES = ("opened", "reopened", "closed")
