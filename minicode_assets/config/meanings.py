"""What the docstrings under the fields of a configuration say, for the reference and the web UI."""

import dataclasses
import inspect
import re
from typing import Any


def field_meanings(section: type[Any]) -> dict[str, str]:
    """The docstring under each field of a configuration dataclass and of those it extends, as one line."""
    pattern = re.compile(r'^ {4}(\w+): .*?\n {4}"""(.*?)"""', re.DOTALL | re.MULTILINE)
    sources = [inspect.getsource(base) for base in reversed(section.__mro__) if dataclasses.is_dataclass(base)]
    return {name: " ".join(text.split()) for source in sources for name, text in pattern.findall(source)}
