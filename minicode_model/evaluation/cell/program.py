"""What runs beside a tested program, in its process: it executes the source, then answers calls with plain values.

The launcher hands this file's code to a fresh Python, so it imports nothing of this project. A hostile program can take
all of this over; then it can still do nothing but send values, which the tester, in another process, judges.
"""

import os
import sys
from _collections import deque  # type: ignore[import-not-found]
from _json import encode_basestring_ascii
from types import ModuleType
from typing import Any

REQUESTS, REPLIES = 3, 4
"""Descriptors: what the tester asks, and what is answered."""
_MAX_ITEMS = 1_000_000
"""An iterator that gives more is an error: the tester could not take it anyway."""


class Answers:
    """The program's module, and the objects that the tester holds references to."""

    def __init__(self) -> None:
        self.module = ModuleType("program")
        self.objects: list[Any] = []

    def load(self, source: str) -> str:
        """Execute the program's source as a module."""
        sys.modules["program"] = self.module
        exec(compile(source, "program.py", "exec"), self.module.__dict__)  # noqa: S102 - the sandbox's very purpose
        return "null"

    def look_up(self, names: list[str]) -> str:
        """What the program's module binds each name to: a value, a callable or a reference; unbound ones are absent."""
        bound = {name: self.module.__dict__[name] for name in names if name in self.module.__dict__}
        return self.text(bound)

    def call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> str:
        """The value of a call of one of the module's callables."""
        return self.text(self.module.__dict__[name](*arguments, **named))

    def text(self, value: Any) -> str:
        """JSON of a value: numbers and strings as such, the rest as [tag, ...]; what is not plain as a reference."""
        if value is None or value is True or value is False:
            return "null" if value is None else "true" if value else "false"
        for kind, write in _SCALARS:
            if isinstance(value, kind):
                return str(write(value))
        for kind, iterate, tag in _SEQUENCES:
            if isinstance(value, kind):
                return f'["{tag}",[{",".join(map(self.text, iterate(value)))}]]'
        if isinstance(value, dict):
            pairs = (f"[{self.text(key)},{self.text(item)}]" for key, item in dict.items(value))
            return f'["dict",[{",".join(pairs)}]]'
        if (name := type(value).__name__) in _NUMBERS and type(value).__module__ == _NUMBERS[name]:
            return f'["{name}",{encode_basestring_ascii(str(value))}]'
        if hasattr(type(value), "__next__"):
            return f'["iterator",[{",".join(map(self.text, _bounded(value)))}]]'
        self.objects.append(value)
        return f'["{"callable" if callable(value) else "object"}",{len(self.objects) - 1}]'


def _bounded(values: Any) -> list[Any]:
    items = []
    for item in values:
        items.append(item)
        if len(items) > _MAX_ITEMS:
            raise OverflowError(f"an iterator with more than {_MAX_ITEMS} items")
    return items


def _complex_text(value: complex) -> str:
    return f'["complex","{float.hex(value.real)}","{float.hex(value.imag)}"]'


_SCALARS: tuple[tuple[type, Any], ...] = (
    (str, encode_basestring_ascii),
    (int, lambda value: f'["int","{int.__format__(value, "x")}"]' if abs(value) >> 63 else int.__repr__(value)),
    (float, lambda value: f'["float","{float.hex(value)}"]'),
    (complex, _complex_text),
    (bytes, lambda value: f'["bytes","{bytes.hex(value)}"]'),
    (bytearray, lambda value: f'["bytearray","{bytearray.hex(value)}"]'),
    (range, lambda value: f'["range",{value.start},{value.stop},{value.step}]'),
)
_SEQUENCES: tuple[tuple[type, Any, str], ...] = (
    (list, list.__iter__, "list"),
    (tuple, tuple.__iter__, "tuple"),
    (set, set.__iter__, "set"),
    (frozenset, frozenset.__iter__, "frozenset"),
    (deque, deque.__iter__, "deque"),
    (type({}.keys()), iter, "dict_keys"),
    (type({}.values()), iter, "dict_values"),
    (type({}.items()), iter, "dict_items"),
)
_NUMBERS = {"Decimal": "decimal", "Fraction": "fractions"}
"""Numbers of the standard library that equal Python's own, by module; not imported here, since few programs do."""


def read_exactly(size: int) -> bytes:
    """The next bytes of the tester's requests. Raises EOFError when the tester is gone."""
    parts = []
    while size:
        part = os.read(REQUESTS, min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def send(text: str) -> None:
    """Send one message: its length in four bytes, then the text."""
    message = text.encode()
    message = len(message).to_bytes(4, "big") + message
    while message:
        message = message[os.write(REPLIES, message) :]


def serve() -> None:
    """Answer requests, each a Python expression `(method, *arguments)`, until the tester is gone."""
    sys.set_int_max_str_digits(0)
    answers = Answers()
    while True:
        request = read_exactly(int.from_bytes(read_exactly(4), "big")).decode()
        try:
            method, *arguments = eval(request, {"REF": answers.objects.__getitem__})  # noqa: S307 - from the tester
            reply = f'["value",{getattr(answers, method)(*arguments)}]'
        except BaseException as error:  # SystemExit too: the tester says what it means
            name = encode_basestring_ascii(type(error).__name__)
            reply = f'["raised",{name},{encode_basestring_ascii(str(error)[:2000])}]'
        send(reply)


if __name__ == "__main__":
    os.environ.clear()  # of the fixed hash seed, which has done its work
    try:
        serve()
    except (EOFError, BrokenPipeError):
        os._exit(0)
