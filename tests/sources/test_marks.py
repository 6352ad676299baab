"""Marks are told from text that spells them, whatever the content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.errors import CorpusError
from minicode_assets.sources.marks import escaped, join_marks, mark, split_marks

CONTENT = st.lists(
    st.one_of(st.sampled_from(["\ufdd0", "\ufdd1", "<a>", "\ufdd0<a>", "\ufdd0\ufdd1", "<", ">"]), st.text(max_size=3))
).map("".join)
NAMES = st.sampled_from(["<issue_start>", "<|endoftext|>", "<a>"])


@given(CONTENT, st.lists(st.tuples(NAMES, CONTENT), max_size=4))
def test_parts_come_back(first: str, rest: list[tuple[str, str]]) -> None:
    parts = (first, *(part for pair in rest for part in pair))
    assert split_marks(join_marks(parts), where="x") == parts


@given(CONTENT)
def test_content_never_makes_a_mark(content: str) -> None:
    text = mark("<issue_start>") + escaped(content)
    assert split_marks(text, where="x") == ("", "<issue_start>", content)


@pytest.mark.parametrize("text", ["a\ufdd0", "\ufdd0<", "\ufdd0<a b>", "\ufdd0\ufdd0<a>"])
def test_a_broken_mark_is_named(text: str) -> None:
    with pytest.raises(CorpusError, match=r"document d1: found U\+FDD0 before") as caught:
        split_marks(text, where="d1")
    assert "escaped()" in str(caught.value)
