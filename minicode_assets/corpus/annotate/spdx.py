"""SPDX expressions: checked, put into one spelling, and judged by licence category.

Identifiers and categories come from the license-expression package (ScanCode's index). Source: curation.md 2.1.
"""

import functools
import re
from collections.abc import Collection
from enum import IntEnum
from typing import Any

from license_expression import (
    ExpressionError,
    LicenseWithExceptionSymbol,
    get_license_index,
    get_spdx_licensing,
)

UNRECOGNISED = "LicenseRef-scancode-unknown"
"""A licence file whose text no rule recognises (category Unstated License)."""
PROPRIETARY = "LicenseRef-scancode-proprietary-license"
"""Terms that keep rights back, whatever they are called."""

_IDENTIFIER = re.compile(r"\b(?!AND\b|OR\b|WITH\b)[\w.+-]+")
_PERMISSIVE = ("Permissive", "Public Domain")
_MAX_CHARACTERS = 2000
"""A longer expression is no expression: the parser's time grows with its depth."""


class Verdict(IntEnum):
    """What an expression allows; AND takes the greatest, OR the least."""

    IGNORABLE = 0
    PERMISSIVE = 1
    RESTRICTIVE = 2


@functools.cache
def _licensing() -> Any:
    return get_spdx_licensing()


@functools.cache
def categories() -> dict[str, str]:
    """Category of every SPDX identifier and LicenseRef, by lower-case identifier."""
    found: dict[str, str] = {}
    for record in get_license_index():
        for key in (record.get("spdx_license_key"), *record.get("other_spdx_license_keys", ())):
            if key:
                found.setdefault(key.lower(), record["category"])
    return found


@functools.cache
def canonical(expression: str) -> str | None:
    """The expression in SPDX's spelling, or null when it does not parse or names an unknown licence."""
    if len(expression) > _MAX_CHARACTERS:
        return None
    try:
        parsed = _licensing().parse(expression, validate=True)
    except (ExpressionError, ValueError, AttributeError, TypeError, RecursionError):
        return None
    return None if parsed is None else str(parsed)


def is_permissive(expression: str) -> bool:
    """Whether every licence of an expression, or one side of an `OR`, is permissive by its category."""
    sides = [_IDENTIFIER.findall(side) for side in expression.split(" OR ")]
    return any(all(categories().get(name.lower()) in _PERMISSIVE for name in names) for names in sides)


def conjunction(expressions: Collection[str]) -> str:
    """One expression that asks for all of them, sorted, without repeats; OR parts in parentheses."""
    distinct = sorted(set(expressions))
    if len(distinct) == 1:
        return distinct[0]
    return " AND ".join(f"({text})" if " OR " in text or " AND " in text else text for text in distinct)


def judge(expression: str, *, ignorable: frozenset[str], permissive_categories: frozenset[str]) -> Verdict:
    """What an expression allows.

    Args:
        expression: A canonical expression.
        ignorable: Identifiers that say nothing about use.
        permissive_categories: Categories whose licences are permissive.

    Returns:
        RESTRICTIVE also for identifiers without a category: what is unknown is not allowed.
    """
    return _judge(_licensing().parse(expression), ignorable, permissive_categories)


def _judge(node: Any, ignorable: frozenset[str], permissive: frozenset[str]) -> Verdict:
    arguments = getattr(node, "args", ())
    if arguments:
        verdicts = [_judge(argument, ignorable, permissive) for argument in arguments]
        if node.operator.strip() == "AND":
            return max(verdicts)
        return min((v for v in verdicts if v is not Verdict.IGNORABLE), default=Verdict.IGNORABLE)
    key = node.license_symbol.key if isinstance(node, LicenseWithExceptionSymbol) else node.key
    if key in ignorable:
        return Verdict.IGNORABLE
    return Verdict.PERMISSIVE if categories().get(key.lower()) in permissive else Verdict.RESTRICTIVE
