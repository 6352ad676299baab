"""The judge: runs the tests in a process that the program can't reach, and asks the program's process for values.

Only plain data comes back (JSON), is rebuilt as Python's own types, and is compared here. So `__eq__`, patched
builtins, `sys.exit` or frames on the program's side change nothing: tests, expected values and nonce are not there.
"""

import ast
import builtins
import json
import os
import sys
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from types import EllipsisType, MappingProxyType
from typing import Any

_NEVER_RAISED = {"StopIteration", "StopAsyncIteration", "GeneratorExit"}
"""Exceptions that mean "the end" to a loop over calls, so a program could cut a test short with them."""
_BUILTIN_TYPES = {value: name for name, value in vars(builtins).items() if isinstance(value, type)}
"""What a test may pass as a type, e.g. `int`."""


class ProgramGoneError(BaseException):
    """The program's process ended or answers nonsense. Not an Exception: no test may catch it."""


class ProgramError(BaseException):
    """The program raised what is no Exception, e.g. SystemExit. Not an Exception: no test may catch it."""


class Opaque:
    """An object that stays in the program's process; equal to nothing but itself."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __repr__(self) -> str:
        return f"<object {self.index} of the program>"


class Remote:
    """The program, seen from the tests.

    Args:
        requests: Descriptor to write to.
        replies: Descriptor to read from.
        max_reply_bytes: A longer answer ends the test.
    """

    def __init__(self, requests: int, replies: int, max_reply_bytes: int) -> None:
        self.requests, self.replies, self.max_reply_bytes = requests, replies, max_reply_bytes
        self.num_calls = 0

    def load(self, source: str) -> None:
        """Have the program's source executed."""
        self._ask(f"('load', {source!r})")

    def bind(self, names: Collection[str]) -> dict[str, Any]:
        """The program's values under these names; its callables as functions that ask its process."""
        reply = self._ask(f"('look_up', {sorted(names)!r})")
        if not isinstance(reply, dict) or not set(reply) <= set(names):
            raise ProgramGoneError("the answer to look_up is no mapping of the names")
        return {name: self._function(name) if isinstance(value, Callable) else value for name, value in reply.items()}

    def _function(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.num_calls += 1
            return self._ask(f"('call', {name!r}, {source_of(arguments)}, {source_of(named)})")

        call.__name__ = name
        return call

    def _ask(self, request: str) -> Any:
        message = request.encode()
        try:
            _write_all(self.requests, len(message).to_bytes(4, "big") + message)
        except BrokenPipeError:
            raise ProgramGoneError("the program's process ended") from None
        size = int.from_bytes(_read_exactly(self.replies, 4), "big")
        if size > self.max_reply_bytes:
            raise ProgramGoneError(f"an answer of {size} bytes, expected at most {self.max_reply_bytes}")
        return _outcome(_read_exactly(self.replies, size))


class Callable(Opaque):
    """An Opaque that can be called under its name in the program's module."""


def source_of(value: Any) -> str:
    """A Python expression for a test's argument, to be evaluated in the program's process.

    Raises:
        TypeError: The value is neither plain nor an object of the program.
    """
    if isinstance(value, Opaque):
        return f"REF({value.index})"
    kind: Any = type(value)
    if kind in (list, tuple, set, frozenset):
        return f"{kind.__name__}([{','.join(map(source_of, value))}])"
    if kind in _FURTHER:
        return str(_FURTHER[kind](value))
    if kind is dict:
        return f"dict([{','.join(f'({source_of(k)},{source_of(v)})' for k, v in value.items())}])"
    if kind is float:
        return f"float.fromhex({value.hex()!r})"
    if kind is int:
        return hex(value)
    if kind is complex:
        return f"complex({source_of(value.real)},{source_of(value.imag)})"
    if isinstance(value, EllipsisType) or value is None or kind in (bool, str, bytes, bytearray, range):
        return repr(value)
    if kind is type and value in _BUILTIN_TYPES:
        return _BUILTIN_TYPES[value]
    raise TypeError(f"a test passes a {kind.__name__} to the program; only plain values can be passed")


def _outcome(reply: bytes) -> Any:
    try:
        kind, *rest = json.loads(reply)
        if kind == "value":
            return _rebuild(rest[0])
        name, text = str(rest[0]), str(rest[1])
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise ProgramGoneError(f"an answer that is no message: {error!r:.200}") from None
    raised = getattr(builtins, name, None)
    if not (isinstance(raised, type) and issubclass(raised, BaseException)):
        raise RuntimeError(f"{name}: {text}")  # an exception class of the program's own
    if not issubclass(raised, Exception) or name in _NEVER_RAISED:
        raise ProgramError(f"{name}: {text}")
    raise _built(raised, text)


def _built(raised: type[Exception], text: str) -> Exception:
    try:
        return raised(text)
    except TypeError:  # such as UnicodeDecodeError, which takes five arguments
        return RuntimeError(f"{raised.__name__}: {text}")


def _keys(items: Iterable[Any]) -> Any:
    return dict.fromkeys(items).keys()


def _values(items: Iterable[Any]) -> Any:
    return dict(enumerate(items)).values()


def _items(items: Iterable[Any]) -> Any:
    return dict(items).items()


_FURTHER: Mapping[type, Any] = MappingProxyType(
    {
        Decimal: lambda value: f"__import__('decimal').Decimal('{value}')",
        Fraction: lambda value: f"__import__('fractions').Fraction('{value}')",
        deque: lambda value: f"__import__('collections').deque({source_of([*value])})",
        type({}.keys()): lambda value: f"dict.fromkeys({source_of([*value])}).keys()",
        type({}.values()): lambda value: f"dict(enumerate({source_of([*value])})).values()",
        type({}.items()): lambda value: f"dict({source_of([*value])}).items()",
    }
)
"""What else crosses: Python's other numbers and collections, as expressions that make them anew."""
_CONTAINERS: Mapping[str, Any] = MappingProxyType(
    {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter}
    | {"deque": deque, "dict_keys": _keys, "dict_values": _values, "dict_items": _items}
)
_SCALARS: Mapping[str, Any] = MappingProxyType(
    {
        "int": lambda text: int(text, 16),
        "float": float.fromhex,
        "complex": lambda real, imaginary: complex(float.fromhex(real), float.fromhex(imaginary)),
        "Decimal": Decimal,
        "Fraction": lambda text: Fraction(*map(int, text.split("/"))),  # itself it reads 1e999999999, a gigabyte
        "bytes": bytes.fromhex,
        "bytearray": bytearray.fromhex,
        "range": lambda start, stop, step: range(int(start), int(stop), int(step)),
        "object": Opaque,
        "callable": Callable,
    }
)


def _rebuild(node: Any) -> Any:
    """Python's own types from the parsed answer. Any malformed node raises."""
    if not isinstance(node, list):
        if isinstance(node, (dict, float)):
            raise ValueError("an untagged object or float")
        return node
    tag, *rest = node
    if tag == "dict":
        return {_rebuild(key): _rebuild(value) for key, value in rest[0]}
    if tag in _CONTAINERS:
        return _CONTAINERS[tag]([_rebuild(item) for item in rest[0]])
    return _SCALARS[tag](*rest)


def names_from_program(tests: str, entry_points: Collection[str]) -> set[str]:
    """Names that the tests read but neither bind nor find among Python's builtins, and the entry points.

    A program that binds `all` or `len` therefore changes nothing for tests, unless the problem asks for that name.
    """
    read: set[str] = set()
    bound = set(dir(builtins))
    for node in ast.walk(ast.parse(tests)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add((node.asname or node.name).split(".")[0])
    return (read - bound) | set(entry_points)


def judge(remote: Remote, program: str, tests: str, entry_points: Collection[str]) -> tuple[str, str]:
    """Run the tests against the program.

    Returns:
        (status, detail): `passed`; `failed` (an assertion); `error` (another exception, of program or tests);
        `crashed` (the program's process ended or answers nonsense). The detail says what happened, in one line.
    """
    sys.set_int_max_str_digits(0)
    try:
        names, code = names_from_program(tests, entry_points), compile(tests, "tests.py", "exec")
        remote.load(program)
        exec(code, {"__name__": "tests", **remote.bind(names)})  # noqa: S102 - the problem's own tests
    except ProgramGoneError as error:
        return "crashed", str(error)
    except AssertionError as error:
        return "failed", f"AssertionError: {error}"[:2000]
    except BaseException as error:
        return "error", f"{type(error).__name__}: {error}"[:2000]
    return ("passed", "") if remote.num_calls else ("error", "the tests never call the program")


def _read_exactly(descriptor: int, size: int) -> bytes:
    parts = []
    while size:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            raise ProgramGoneError("the program's process ended")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _write_all(descriptor: int, message: bytes) -> None:
    while message:
        message = message[os.write(descriptor, message) :]
