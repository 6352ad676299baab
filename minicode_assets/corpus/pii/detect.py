"""All detectors over many texts: cheap patterns choose the texts, then each find is proven by its own rule."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import polars as pl

from minicode_assets.config import Pii
from minicode_assets.corpus.pii import addresses, emails, headers, names, secrets, split
from minicode_assets.corpus.pii.spans import Regions, Span, without_overlaps

Rule = Callable[[Regions, Pii], Iterator[Span]]
_RULES: tuple[tuple[str | None, Rule], ...] = (
    (emails.MAY_OCCUR, lambda regions, params: emails.find_emails(regions, left=params.left_domains)),
    (addresses.MAY_OCCUR, lambda regions, params: addresses.find_addresses(regions, left=params.left_addresses)),
    (None, lambda regions, _: secrets.find_prefixed(regions)),
    (None, lambda regions, _: split.find_split(regions)),
    (secrets.MAY_HAVE_PRIVATE_KEY, lambda regions, _: secrets.find_private_keys(regions)),
    (secrets.MAY_HAVE_LOGIN, lambda regions, _: secrets.find_logins(regions)),
    (secrets.MAY_HAVE_AUTHORIZATION, lambda regions, params: secrets.find_authorizations(regions, **_limits(params))),
    (secrets.MAY_HAVE_ASSIGNMENT, lambda regions, params: secrets.find_assigned(regions, **_limits(params))),
    (
        names.MAY_HAVE_CREDIT,
        lambda regions, _: itertools.chain(names.find_fields(regions), names.find_credits(regions)),
    ),
    (names.MAY_HAVE_TODO, lambda regions, _: names.find_todos(regions)),
    (names.MAY_HAVE_MENTION, lambda regions, _: names.find_mentions(regions)),
    (headers.MAY_OCCUR, lambda regions, _: headers.find_headers(regions)),
)
"""A pattern without which a rule finds nothing, for an engine without backtracking, or None for a rule that tells by
itself as quickly; and the rule."""
_PREFERENCE = ("key", "password", "email", "ip", "name")
"""Of two finds at one place the more dangerous one stays."""


class Detector(Protocol):
    """Another way of finding the same, such as a model."""

    def __call__(self, texts: list[str]) -> list[list[Span]]:
        """The finds in each text."""


def detect(texts: pl.Series, *, params: Pii, model: Detector | None = None) -> list[list[Span]]:
    """Find personal data, secrets and copyright headers.

    Args:
        texts: Texts, none of them null.
        params: The `pii` section.
        model: Finds more, beside the rules; what it finds outside of comments and literals is left out.

    Returns:
        The finds of each text, in text order; none overlaps another but for headers, which hold whole lines.
    """
    flags = [texts.str.contains(pattern) if pattern else itertools.repeat(True) for pattern, _ in _RULES]
    more: Iterable[list[Span]] = model(texts.to_list()) if model else itertools.repeat([])
    return [
        _finds(text, [rule for (_, rule), may in zip(_RULES, row, strict=True) if may], extra, params)
        for text, extra, *row in zip(texts, more, *flags, strict=False)
    ]


def _finds(text: str, rules: Sequence[Rule], extra: Sequence[Span], params: Pii) -> list[Span]:
    regions = Regions(text)
    found = [span for span in extra if regions.around(span.start, span.end)]
    found += itertools.chain.from_iterable(rule(regions, params) for rule in rules)
    if not found:
        return []
    private = without_overlaps((span for span in found if span.kind != "copyright"), _PREFERENCE)
    return sorted([*private, *(span for span in found if span.kind == "copyright")])


def _limits(params: Pii) -> dict[str, Any]:
    return {"min_entropy_bits": params.min_entropy_bits, "min_key_length": params.min_key_length}
