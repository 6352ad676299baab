"""Equal texts are grouped, and the best of a group by the configured order represents it."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.config import ExactDup
from minicode_assets.corpus.annotate.exact_dup import digest_texts, rank_duplicates
from minicode_assets.errors import ConfigError

PARAMS = ExactDup()


def frame_of(rows):
    columns = ["document_id", "origin_url", "path", "license_type", "is_vendored", "text"]
    frame = pl.DataFrame(rows, schema=columns, orient="row").cast(
        dict.fromkeys(columns, pl.String) | {"is_vendored": pl.Boolean}
    )
    return frame.with_columns(digest_texts(frame["text"])).drop("text")


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([("1", "o", "a", "non_permissive", False), ("2", "o", "b", "permissive", False)], "2"),
        ([("1", "o", "a", "no_license", False), ("2", "o", "b", "non_permissive", False)], "1"),
        ([("1", "o", "a", "permissive", True), ("2", "o", "b", "permissive", False)], "2"),
        ([("1", "p", "a", "permissive", False), ("2", "o", "b", "permissive", False)], "2"),
        ([("1", "o", "b", "permissive", False), ("2", "o", "a", "permissive", False)], "2"),
        ([("2", "o", "a", "permissive", False), ("1", "o", "a", "permissive", False)], "1"),
        ([("1", "o", "a", None, None), ("2", "o", "b", "non_permissive", True)], "2"),
    ],
)
def test_who_represents(rows, best):
    found = rank_duplicates(frame_of([(*row, "text") for row in rows]), params=PARAMS)
    assert found.filter(pl.col("duplicate_of").is_null())["document_id"].to_list() == [best]
    assert found["duplicate_of"].drop_nulls().to_list() == [best]


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("pq"), st.sampled_from("abc"), st.sampled_from(["permissive", "no_license", None]),
            st.booleans(), st.sampled_from(["x", "y", "z", None]),
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_groups(rows, random):
    numbered = [(f"{i:02d}", *row) for i, row in enumerate(rows)]
    found = rank_duplicates(frame_of(numbered), params=PARAMS)
    texts = {row[0]: row[-1] for row in numbered}
    assert found["document_id"].to_list() == list(texts)
    for row in found.iter_rows(named=True):
        text = texts[row["document_id"]]
        if text is None:
            assert row["group_size"] is row["keep_rank"] is row["duplicate_of"] is None
            continue
        assert row["group_size"] == list(texts.values()).count(text)
        assert (row["keep_rank"] == 0) == (row["duplicate_of"] is None)
        assert row["duplicate_of"] is None or texts[row["duplicate_of"]] == text
    random.shuffle(numbered)
    assert rank_duplicates(frame_of(numbered), params=PARAMS).sort("document_id").equals(found.sort("document_id"))


def test_unknown_column_is_named():
    with pytest.raises(ConfigError, match="'paht'; did you mean 'path'"):
        rank_duplicates(frame_of([("1", "o", "a", "permissive", False, "t")]), params=ExactDup(keep_order=("paht",)))
