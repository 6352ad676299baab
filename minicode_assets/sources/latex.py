r"""LaTeX sources as one text, cleaned as RedPajama published it, which StarCoder2 took its arXiv part from.

Each file begins at its first heading (a file without one is preamble and goes), comments go, so does what follows
`\appendix` or the bibliography, and macros without arguments are written out; the files follow each other as in the
archive. Better than the published expressions: a comment leaves the character before it, verbatim text keeps its `%`,
definitions may have several lines and use each other, and no chain of them grows without bound.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

_HEADING = re.compile(r"\\(?:chapter|part|(?:sub){0,2}section|(?:sub)?paragraph)\*?\s*(?:\[[^\]]{0,300}\])?\s*\{")
_END = re.compile(
    r"\\appendix(?![A-Za-z])|\\begin\s*\{(?:references|REFERENCES|thebibliography)\}|\\bibliography\s*\{|\\end\{document\}"
)
_COMMENT = re.compile(r"(?:^|[^\\])(?:\\\\)*(%)")
_BEGIN = re.compile(r"\\begin\{(verbatim\*?|lstlisting|minted|Verbatim|comment)\}")
_BRACE = re.compile(r"(?<!\\)[{}]")
_DEFINITION = re.compile(
    r"\\(?:(?:re|provide)?newcommand|providecommand|renewcommand)\*?\s*(?:\{\s*\\([A-Za-z]+)\s*\}|\\([A-Za-z]+))\s*\{"
    r"|\\def\s*\\([A-Za-z]+)\s*\{"
)
_WORD = re.compile(r"\\([A-Za-z]+)")
_LONGEST_VALUE = 1_000
"""A definition that grows beyond this when written out stays a macro. Unit: characters."""
_DEEPEST = 8


def clean_latex(files: Sequence[str]) -> str:
    """The text of a paper; empty where no file has a heading."""
    plain = [without_comments(text.replace("\r\n", "\n")) for text in files]
    macros = definitions(plain)
    bodies = filter(None, map(body_of, plain))
    return "\n".join(_WORD.sub(lambda found: macros.get(found[1], found[0]), body) for body in bodies)


def without_comments(text: str) -> str:
    r"""The text without comments: whole lines with their end, others up to it; `\%` is no comment."""
    return "\n".join(_lines_without_comments(text.split("\n")))


def _lines_without_comments(lines: Iterable[str]) -> Iterator[str]:
    inside = ""
    for line in lines:
        if inside:
            if inside != "comment":
                yield line
            inside = "" if f"\\end{{{inside}}}" in line else inside
            continue
        comment = _COMMENT.search(line)
        kept = line[: comment.start(1)] if comment else line
        if comment and not kept.strip():
            continue
        begun = _BEGIN.search(kept)
        if begun and f"\\end{{{begun[1]}}}" not in line[begun.end() :]:
            inside, kept = begun[1], kept[: begun.start()] if begun[1] == "comment" else line
        yield kept


def body_of(text: str) -> str:
    """From the first heading to the appendix or the bibliography, whichever is first."""
    heading = _HEADING.search(text)
    if not heading:
        return ""
    end = _END.search(text, heading.start())
    return text[heading.start() : end.start() if end else len(text)]


def definitions(files: Sequence[str]) -> dict[str, str]:
    """Macros without arguments, name to value, written out in each other; the last definition of a name counts."""
    found: dict[str, str] = {}
    for text in files:
        for match in _DEFINITION.finditer(text):
            value = braced(text, match.end())
            if value is not None:
                found[next(filter(None, match.groups()))] = value
    return {name: value for name in found if (value := _expanded(name, found, _DEEPEST)) is not None}


def braced(text: str, start: int) -> str | None:
    """What stands between the brace before `start` and the one that closes it; None where nothing does soon."""
    depth = 1
    for brace in _BRACE.finditer(text, start, start + _LONGEST_VALUE):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return text[start : brace.start()]
    return None


def _expanded(name: str, macros: Mapping[str, str], depth: int) -> str | None:
    """A value without other macros; None where it holds an argument, itself, or grows too long."""
    value = macros[name]
    if "#" in value:
        return None
    for _ in range(depth):
        if name in _WORD.findall(value) or len(value) > _LONGEST_VALUE:
            return None
        written = _WORD.sub(lambda found: macros.get(found[1], found[0]), value)
        if written == value:
            return value
        value = written
    return None
