"""How a row of each Hugging Face data set becomes a document: which columns it needs, and what they mean.

Renderings of the small sets are StarCoder2's (software_heritage.md 6, its notebook for small high-quality data).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from minicode_assets.sources.document import Document

Values = Mapping[str, Any]
GITHUB = "https://github.com"
_CONTEST_LANGUAGES = {1: "Python 2", 2: "C++", 3: "Python 3", 4: "Java"}
"""Values of `language` in code_contests. Source: its card."""
_NO_TEXTS = ("length_bytes", "solutions", "files")


@dataclass(frozen=True)
class RowMapping:
    """The mapping of one data set.

    Attributes:
        columns: What is read, of Parquet and JSON alike.
        required: Columns without which the schema is another.
        document: From (row, its record id in the data set, the data set's address) to a document without licence.
        by_blob: The text is not in the row: its bytes are fetched by `blob_id`.
        parts: A column with a list of records, each a document: it is shown each of them beside the row's columns.
    """

    columns: tuple[str, ...]
    required: tuple[str, ...]
    document: Callable[[Values, str, str], Document]
    by_blob: bool = False
    parts: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The required columns that hold text."""
        return tuple(column for column in self.required if column not in _NO_TEXTS)


def code_file(source: str, text: str) -> Callable[[Values, str, str], Document]:
    """Rows with the metadata of The Stack v2 beside a text: one file of a repository."""

    def document(row: Values, record: str, _address: str) -> Document:
        repository, path = as_text(row.get("repo_name")) or "unknown/unknown", as_text(row.get("path")) or record
        return Document(
            source=source,
            record_id=f"{repository}/{path.lstrip('/')}@{record}",  # data sets repeat a file of a repository
            origin_url=f"{GITHUB}/{repository}",
            path=path.lstrip("/"),
            text=as_text(row.get(text)),
            url=f"{GITHUB}/{repository}",
            license=licenses_of(row),
            date=as_date(row.get("revision_date") or row.get("committer_date") or row.get("visit_date")),
        )

    return document


def repository_file(row: Values, record: str, _address: str) -> Document:
    """The Stack v3: one file of a row, which is a repository."""
    repository, path = as_text(row.get("repo_path")) or "unknown/unknown", as_text(row.get("file_path")).lstrip("/")
    return Document(
        source="stack_v3", record_id=f"{repository}/{path}@{record}", origin_url=f"{GITHUB}/{repository}",
        path=path or record, text=as_text(row.get("content")), url=f"{GITHUB}/{repository}", license=licenses_of(row),
        date=as_date(row.get("file_timestamp")),
    )  # fmt: skip


def prose(
    source: str, text: str, *, id_column: str = "", suffix: str = ".txt"
) -> Callable[[Values, str, str], Document]:
    """Rows that are a text: one document each, of the data set as its origin."""

    def document(row: Values, record: str, address: str) -> Document:
        named = str(row.get(id_column) or record)
        return Document(
            source=source, record_id=named, origin_url=address, path=f"{named}{suffix}", text=as_text(row.get(text))
        )

    return document


def web_page(row: Values, record: str, address: str) -> Document:
    """OpenWebMath: a page, whose site is its origin."""
    url = as_text(row.get("url"))
    try:
        parts = urlsplit(url)
    except ValueError:
        url, parts = "", urlsplit("")
    site = f"{parts.scheme}://{parts.netloc}" if parts.netloc else address
    return Document(
        source="openwebmath", record_id=f"{url}@{record}", origin_url=site, path=parts.path.lstrip("/") or "index",
        text=as_text(row.get("text")), url=url or None, date=as_date(row.get("date")),
    )  # fmt: skip


def extra_documentation(row: Values, record: str, address: str) -> Document:
    """Documentation of starcoder2data-extras, by project."""
    project = str(row.get("project") or "")
    return Document(
        source="documentation", record_id=f"extras/{record}", origin_url=f"{address}#{project}",
        path=f"{project or record}.md", text=as_text(row.get("content")),
    )  # fmt: skip


def extra_issue(row: Values, record: str, address: str) -> Document:
    """Issues of starcoder2data-extras, by repository. Their sentinels, spelled out in the text, become marks."""
    repository = str(row.get("repo_name") or "")
    return Document(
        source="issues", record_id=f"extras/{record}", origin_url=f"{GITHUB}/{repository}" if repository else address,
        path=f"{record}.issue", text=respelled(as_text(row.get("content")), ISSUE_SENTINELS),
    )  # fmt: skip


def extra_stackoverflow(row: Values, record: str, address: str) -> Document:
    """Questions and answers of starcoder2data-extras, rendered as issues are."""
    text = respelled(as_text(row.get("content")), ISSUE_SENTINELS)
    return Document(
        source="stackoverflow", record_id=f"extras/{record}", origin_url=address, path=f"{record}.txt", text=text
    )


def extra_kaggle(row: Values, record: str, address: str) -> Document:
    """Kaggle notebooks of starcoder2data-extras."""
    text = respelled(as_text(row.get("content")), NOTEBOOK_SENTINELS)
    return Document(
        source="notebooks", record_id=f"extras/{record}", origin_url=address, path=f"{record}.ipynb", text=text
    )


def extra_ir(row: Values, record: str, address: str) -> Document:
    """Code and its intermediate representation."""
    text = respelled(as_text(row.get("content")), IR_SENTINELS)
    return Document(source="intermediate", record_id=record, origin_url=address, path=f"{record}.ll", text=text)


ISSUE_SENTINELS = ("<issue_start>", "<issue_comment>", "<issue_closed>")
NOTEBOOK_SENTINELS = (
    "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<jupyter_script>", "<empty_output>",
)  # fmt: skip
IR_SENTINELS = ("<code_to_intermediate>", "<intermediate_to_code>")


def respelled(text: str, sentinels: Iterable[str]) -> str:
    """A text whose special tokens were spelled out by those who made the data set, with marks in their place.

    Only here: text of a record that merely spells a sentinel's name is never a mark.
    """
    from minicode_assets.sources.marks import escaped, mark

    text = escaped(text)
    for sentinel in sentinels:
        text = text.replace(sentinel, mark(sentinel))
    return text


def gsm8k(row: Values, record: str, address: str) -> Document:
    """Question and answer, a line each."""
    text = f"{as_text(row.get('question'))}\n{as_text(row.get('answer'))}"
    return Document(source="gsm8k", record_id=record, origin_url=address, path=f"{record}.txt", text=text)


def code_contests(row: Values, record: str, address: str) -> Document:
    """The problem, then the first correct solution in each language."""
    solutions = row.get("solutions")
    solutions = solutions if isinstance(solutions, Mapping) else {}
    languages, codes = (as_list(solutions.get(name)) for name in ("language", "solution"))
    first: dict[int, str] = {}
    for language, solution in zip(languages, codes, strict=False):
        if isinstance(language, int) and language in _CONTEST_LANGUAGES and isinstance(solution, str):
            first.setdefault(language, solution)
    told = "".join(f"Solution ({_CONTEST_LANGUAGES[language]}):{code}\n" for language, code in first.items())
    named = str(row.get("name") or record)
    text = f"{as_text(row.get('description'))}\n{told}" if told else ""
    return Document(
        source="code_contests", record_id=f"{named}/{record}", origin_url=address, path=f"{named}.txt", text=text
    )


def rosetta_code(row: Values, record: str, address: str) -> Document:
    """A task and one of its solutions; BigCode's examples join them, which cuts the long ones."""
    name, language = str(row.get("task_name") or ""), str(row.get("language_name") or "")
    code = as_text(row.get("code"))
    text = f"{name}\n{as_text(row.get('task_description'))}\n\nLanguage: {language}\n{code}" if code else ""
    return Document(
        source="rosetta_code", record_id=f"{name}/{language}/{record}", origin_url=address, path=f"{name}.txt",
        text=text, url=str(row.get("task_url") or "") or None,
    )  # fmt: skip


def as_text(value: Any) -> str:
    """A cell as text; empty unless it is one."""
    return value if isinstance(value, str) else ""


def as_list(value: Any) -> list[Any]:
    """A cell as a list; empty unless it is one."""
    return value if isinstance(value, list) else []


def as_date(value: Any) -> datetime | None:
    """A cell as a date: a timestamp, ISO 8601, milliseconds since 1970; None when it is none."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            value = datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def licenses_of(row: Values) -> str | None:
    """All detected licences at once; None where there are none or the row says no_license."""
    detected = row.get("detected_licenses")
    names = [detected] if isinstance(detected, str) else detected if isinstance(detected, list | tuple) else ()
    found = [name for name in names if isinstance(name, str) and name.strip()]
    return " AND ".join(f"({name})" if " " in name else name for name in found) or None


_STACK_COLUMNS = (
    "blob_id", "content_id", "repo_name", "path", "detected_licenses", "license_type", "revision_date",
    "committer_date", "visit_date", "length_bytes", "src_encoding",
)  # fmt: skip


def _mapping(document: Callable[[Values, str, str], Document], columns: str, required: str) -> RowMapping:
    return RowMapping(tuple(columns.split()), tuple(required.split()), document)


MAPPINGS: dict[str, RowMapping] = {
    "swallow_code": RowMapping(("text", *_STACK_COLUMNS), ("text",), code_file("swallow_code", "text")),
    "stack_v3": RowMapping(("repo_path", "files"), ("repo_path", "files"), repository_file, parts="files"),
    "stack_v2_ids": RowMapping(
        _STACK_COLUMNS, ("blob_id", "path", "length_bytes"), code_file("stack_v2_ids", ""), True
    ),
    "python_edu": RowMapping(
        (*_STACK_COLUMNS, "score", "int_score"), ("blob_id", "path", "length_bytes"), code_file("python_edu", ""), True
    ),
    "extras_arxiv": _mapping(prose("arxiv", "content", suffix=".tex"), "content", "content"),
    "extras_documentation": _mapping(extra_documentation, "project source language content", "content"),
    "extras_issues": _mapping(extra_issue, "repo_name content", "content"),
    "extras_kaggle": _mapping(extra_kaggle, "content", "content"),
    "extras_lhq": _mapping(prose("lhq", "content"), "content", "content"),
    "extras_owm": _mapping(prose("openwebmath", "content"), "content", "content"),
    "extras_stackoverflow": _mapping(extra_stackoverflow, "content", "content"),
    "extras_wikipedia": _mapping(prose("wikipedia", "content"), "content", "content"),
    "extras_ir": _mapping(extra_ir, "id content", "content"),
    "openwebmath": _mapping(web_page, "url text date metadata", "url text"),
    "gsm8k": _mapping(gsm8k, "question answer", "question answer"),
    "code_contests": _mapping(code_contests, "name description solutions", "name description solutions"),
    "rosetta_code": _mapping(
        rosetta_code, "task_url task_name task_description language_name code", "task_name language_name code"
    ),
}
"""Asset to mapping."""
