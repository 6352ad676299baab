"""What Python's own parser says about a text, and what the text holds.

The parser is asked for scopes (`symtable`), which spares the tree of Python objects; the facts then come from the
tokens (`native.syntax_of`). Where scopes can't be had, or tokens don't tell, there is one parse to a tree, one walk, a
few counts: the same facts, as the tests compare on hundreds of files.
"""

import ast
import contextlib
import gc
import hashlib
import io
import itertools
import keyword
import re
import symtable
import sys
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minicode_assets.corpus import native
from minicode_assets.corpus.annotate.characters import split_lines

_BRANCHES = (
    *(ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.BoolOp),
)
_CACHE_ENTRIES = 1 << 18
_PARSER_DEPTH = 1000
"""Python's own recursion limit, for the parser alone."""
_MAX_NAME_PARTS = 500
_ENDLESS_NAME = re.compile(rf"(?:\.[ \t\f\r\n\\]*+\w++[ \t\f\r\n\\]*+){{{_MAX_NAME_PARTS},}}+")
"""CPython's parser joins the parts of an imported name one by one: 200,000 parts kill the
process for want of memory (seen; by its quadratic growth an estimated 40 GB)."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """Facts of one parse.

    Attributes:
        problem: The parser's message with its line; empty when the text parses. All counts are 0 unless it is.
        docstring_characters: Characters of all docstrings, quotes left out.
        num_functions: `def` and `async def`.
        num_classes: `class`.
        num_imports: `import` and `from ... import` statements.
        num_asserts: `assert` statements.
        num_passes: `pass` statements.
        num_prints: Calls of the name `print`.
        num_variables: Distinct names that are bound (parameters, assignment, `for`, `with`, `:=`) or assigned as
            attributes.
        num_branches: Statements and expressions that choose or repeat: `if`, `for`, `while`, `try`, `with`, `match`,
            `and`, `or`, comprehensions.
        num_calls: Calls.
        num_simple_returns: Functions whose body, docstring aside, is one `return` of a name, attribute or constant.
        num_returns: `return` statements.
        num_class_variables: Names that are assigned or annotated right in a class body.
        num_docstrings: Docstrings.
        docstring_lines: Lines of docstrings that are not blank.
        num_stubs: Functions whose body, docstring aside, is nothing, `...` or `pass`.
        data_characters: Characters of lists, sets, dictionaries and tuples (in parentheses) of nothing but literals.
    """

    problem: str
    docstring_characters: int = 0
    num_functions: int = 0
    num_classes: int = 0
    num_imports: int = 0
    num_asserts: int = 0
    num_passes: int = 0
    num_prints: int = 0
    num_variables: int = 0
    num_branches: int = 0
    num_calls: int = 0
    num_simple_returns: int = 0
    num_returns: int = 0
    num_class_variables: int = 0
    num_docstrings: int = 0
    docstring_lines: int = 0
    num_stubs: int = 0
    data_characters: int = 0


@contextlib.contextmanager
def parsing() -> Iterator[None]:
    """For many parses in a row: SyntaxWarnings are silent, and the cyclic collector rests (5 times faster)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if enabled:
            gc.enable()


_known: dict[bytes, Syntax] = {}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def syntax_of(text: str) -> Syntax:
    """Parse a text as Python 3, as the running interpreter does.

    The facts of the latest texts are kept by digest, so that two annotators of one run parse once.
    """
    digest = _digest(text)
    if digest not in _known:
        if len(_known) >= _CACHE_ENTRIES:
            _known.clear()
        _known[digest] = _parse(text)
    return _known[digest]


def known_facts(texts: Sequence[str]) -> dict[bytes, Syntax]:
    """The facts of those texts that were parsed lately, by digest."""
    digests = map(_digest, texts)
    return {digest: _known[digest] for digest in digests if digest in _known}


def facts_since(number: int) -> dict[bytes, Syntax]:
    """The facts that came after so many others, by digest."""
    return dict(itertools.islice(_known.items(), number, None))


def remember(facts: Mapping[bytes, Syntax]) -> None:
    """Keep facts that another process found."""
    if len(_known) + len(facts) > _CACHE_ENTRIES:
        _known.clear()
    _known.update(facts)


def clear_cache() -> None:
    """Forget the facts of all texts."""
    _known.clear()


def parses(text: str) -> bool:
    """Whether Python's parser accepts a text."""
    with _room_for_parser():
        return not _is_endless(text) and (not _scope_problem(text) or isinstance(_tree_of(text), ast.Module))


def _parse(text: str) -> Syntax:
    if _is_endless(text):
        return Syntax("a dotted name of more than 500 parts")
    with _room_for_parser():
        problem = _scope_problem(text)
        if problem.startswith(_PARSER_SAYS):
            return Syntax(problem)
        facts = native.syntax_of(text) if not problem else None
        return Syntax("", *facts) if facts else _parse_to_tree(text)


def _is_endless(text: str) -> bool:
    if text.count(".") < _MAX_NAME_PARTS or native.most_dots_of(text) < _MAX_NAME_PARTS:
        return False
    return _ENDLESS_NAME.search(text) is not None


def _scope_problem(text: str) -> str:
    """Why a text does not parse or its scopes are wrong, empty if all is well; the tree may still be had otherwise."""
    try:
        symtable.symtable(text, "text", "exec")
    except SyntaxError as error:
        return _told(error)
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


_PARSER_SAYS = "invalid syntax (line "
"""What only the parser says, and never the scopes: it would say it again when asked for the tree."""


def _told(error: SyntaxError) -> str:
    return f"{error.msg} (line {error.lineno})"


def _parse_to_tree(text: str) -> Syntax:
    tree = _tree_of(text)
    return Syntax(tree) if isinstance(tree, str) else _count(_nodes(tree), text)


def _tree_of(text: str) -> ast.Module | str:
    """The tree, or the parser's message."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        return _told(error)
    except (ValueError, RecursionError, MemoryError) as error:
        return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _room_for_parser() -> Iterator[None]:
    """The same depth for the parser whoever calls."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(_stack_depth() + _PARSER_DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _stack_depth() -> int:
    """Frames below this one: how deep the parser may go must not depend on who calls."""
    depth, frame = 0, sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        depth += 1
    return depth


def _child_fields() -> dict[type, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Fields that hold one node (or None) and fields that hold a list of nodes, by node class.

    They are read from the grammar that CPython puts into each class's docstring: `If(expr test, stmt* body, ...)`.
    """
    fields: dict[type, tuple[tuple[str, ...], tuple[str, ...]]] = {type(None): ((), ())}
    for node in vars(ast).values():
        if isinstance(node, type) and issubclass(node, ast.AST):
            grammar = (node.__doc__ or "").partition("(")[2]
            found = [f for f in re.findall(r"(\w+)([*?]?) (\w+)", grammar) if f[0] not in _SCALARS]
            fields[node] = (
                tuple(name for _, mark, name in found if mark != "*"),
                tuple(name for _, mark, name in found if mark == "*"),
            )
    return fields


_SCALARS = frozenset(
    ("identifier", "int", "string", "constant", "expr_context", "operator", "unaryop", "boolop", "cmpop", "type_ignore")
)
_CHILD_FIELDS = _child_fields()


def _nodes(tree: ast.Module) -> list[Any]:
    """All nodes but contexts and operators, breadth first, with None for absent ones: a tenth of the parser's time."""
    nodes: list[Any] = [tree]
    for node in nodes:
        single, several = _CHILD_FIELDS[type(node)]
        for name in single:
            nodes.append(getattr(node, name))  # noqa: PERF401 - one or two names: a list would cost more
        for name in several:
            nodes.extend(getattr(node, name))
    return nodes


def _count(nodes: list[Any], text: str) -> Syntax:
    kinds = Counter(map(type, nodes))
    looked_at = [node for node in nodes if type(node) in _LOOKED_AT]
    functions = [node for node in looked_at if type(node) in _FUNCTIONS]
    classes = [node for node in looked_at if type(node) is ast.ClassDef]
    docstrings = [node.body[0].value for node in (nodes[0], *functions, *classes) if _has_docstring(node)]
    called = [node.func for node in looked_at if type(node) is ast.Call]
    return Syntax(
        problem="",
        docstring_characters=sum(len(docstring.value) for docstring in docstrings),
        num_functions=len(functions),
        num_classes=kinds[ast.ClassDef],
        num_imports=kinds[ast.Import] + kinds[ast.ImportFrom],
        num_asserts=kinds[ast.Assert],
        num_passes=kinds[ast.Pass],
        num_prints=sum(type(function) is ast.Name and function.id == "print" for function in called),
        num_variables=len(_bound_names(looked_at)),
        num_branches=sum(kinds[branch] for branch in _BRANCHES),
        num_calls=kinds[ast.Call],
        num_simple_returns=sum(_is_simple_return(node) for node in functions),
        num_returns=kinds[ast.Return],
        num_class_variables=sum(_num_variables(node) for node in classes),
        num_docstrings=len(docstrings),
        docstring_lines=_filled_lines(docstrings, text),
        num_stubs=sum(_is_stub(node) for node in functions),
        data_characters=sum(end - start for start, end in _tables(text)),
    )


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOOKED_AT = frozenset({*_FUNCTIONS, ast.Name, ast.Attribute, ast.arg, ast.ClassDef, ast.Call})


def _bound_names(nodes: list[Any]) -> set[str]:
    names = {node.arg for node in nodes if type(node) is ast.arg}
    names.update(node.id for node in nodes if type(node) is ast.Name and type(node.ctx) is ast.Store)
    names.update(node.attr for node in nodes if type(node) is ast.Attribute and type(node.ctx) is ast.Store)
    return names


def _num_variables(node: ast.ClassDef) -> int:
    """Names that are assigned or annotated right in the body of a class."""
    assigned = [target for item in node.body if isinstance(item, ast.Assign) for target in item.targets]
    annotated = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
    return sum(isinstance(target, ast.Name) for target in (*assigned, *annotated))


def _filled_lines(docstrings: list[Any], text: str) -> int:
    """Lines that are not blank, of docstrings; none of them shares a line with another."""
    if not docstrings:
        return 0
    lines = split_lines(text)
    spans = [lines[docstring.lineno - 1 : docstring.end_lineno] for docstring in docstrings]
    return sum(not line.isspace() and line != "" for span in spans for line in span)


def _has_docstring(node: Any) -> bool:
    first = node.body[0] if node.body else None
    return type(first) is ast.Expr and type(first.value) is ast.Constant and type(first.value.value) is str


def _tables(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of each outermost table of literals, by Python's own tokens."""
    text = _LONE_RETURN.sub("\n", text)
    lines = list(itertools.accumulate((len(line) for line in io.StringIO(text, newline="")), initial=0))
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text, newline="").readline))
    except (tokenize.TokenError, SyntaxError):  # a few texts that the parser takes: no tables are known there
        return
    tokens = [token for token in tokens if token.type not in _NO_CODE]
    partners, reached = _partners(tokens), -1
    for first, last in sorted(partners.items()):
        if first > reached and _is_table(tokens, first, last, partners):
            reached = last
            (line, column), (last_line, last_column) = tokens[first].start, tokens[last].end
            yield lines[line - 1] + column, lines[last_line - 1] + last_column


def _partners(tokens: Sequence[tokenize.TokenInfo]) -> dict[int, int]:
    """The number of the token that closes each opening bracket."""
    partners: dict[int, int] = {}
    opened: list[int] = []
    for number, token in enumerate(tokens):
        if token.type == tokenize.OP and token.string in _OPENING:
            opened.append(number)
        elif token.type == tokenize.OP and token.string in _CLOSING and opened:
            partners[opened.pop()] = number
    return partners


def _is_table(tokens: Sequence[tokenize.TokenInfo], first: int, last: int, partners: Mapping[int, int]) -> bool:
    before = tokens[first - 1] if first else None
    if before and (before.string in _CLOSING or before.type in (tokenize.NUMBER, tokenize.STRING) or _is_value(before)):
        return False
    if not all(map(_is_datum, tokens[first + 1 : last])):
        return False
    place, commas = first + 1, 0
    while place < last:
        commas += tokens[place].string == ","
        place = partners.get(place, place) + 1
    return tokens[first].string != "(" or commas > 0


def _is_value(token: tokenize.TokenInfo) -> bool:
    """A name, `...` or a literal's word, behind which a bracket calls or takes a part."""
    is_name = token.type == tokenize.NAME and (not keyword.iskeyword(token.string) or token.string in _CONSTANTS)
    return is_name or token.string == "..."


def _is_datum(token: tokenize.TokenInfo) -> bool:
    if token.type == tokenize.STRING:
        return "f" not in token.string.lower()[: token.string.find(token.string[-1])]
    return token.type == tokenize.NUMBER or token.string in _DATA_SIGNS


_LONE_RETURN = re.compile(r"\r(?!\n)")
_NO_CODE = frozenset((tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT))
_OPENING, _CLOSING, _CONSTANTS = frozenset("([{"), frozenset(")]}"), frozenset(("False", "None", "True"))
_DATA_SIGNS = frozenset((*_CONSTANTS, *"()[]{},:;+-"))


def _body(node: Any) -> list[Any]:
    """The statements of a function without its docstring."""
    body: list[Any] = node.body
    return body[1:] if _has_docstring(node) else body


def _is_stub(node: Any) -> bool:
    body = _body(node)
    if len(body) != 1 or type(body[0]) is not ast.Expr:
        return not body or (len(body) == 1 and type(body[0]) is ast.Pass)
    return type(body[0].value) is ast.Constant and body[0].value.value is ...


def _is_simple_return(node: Any) -> bool:
    body = _body(node)
    if len(body) != 1 or type(body[0]) is not ast.Return:
        return False
    value = body[0].value
    return value is None or type(value) in (ast.Name, ast.Constant, ast.Attribute)
