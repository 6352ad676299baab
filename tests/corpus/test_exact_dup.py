"""Equal texts are grouped, and the best of a group by the configured order represents it."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.config import ExactDup, OriginFacts
from minicode_assets.corpus.annotate.exact_dup import digest_normal_forms, digest_texts, rank_duplicates
from minicode_assets.corpus.annotate.origin_facts import build_origin_facts, with_origin_facts
from minicode_assets.errors import ConfigError
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import BRANCH_HEADS, ORIGIN_FACTS, REVISION, TIME

PARAMS = ExactDup()


def frame_of(rows):
    columns = ["document_id", "origin_url", "path", "license_type", "is_vendored", "text"]
    frame = pl.DataFrame(rows, schema=columns, orient="row").cast(
        dict.fromkeys(columns, pl.String) | {"is_vendored": pl.Boolean}
    )
    facts = {name: pl.lit(None, ORIGIN_FACTS.polars[name]).alias(name) for name in ("num_stars", "commit_date")}
    return frame.with_columns(digest_texts(frame["text"]), digest_normal_forms(frame["text"]), *facts.values()).drop(
        "text"
    )


@pytest.mark.parametrize(
    ("rows", "best"),
    [
        ([("1", "o", "a", "non_permissive", False), ("2", "o", "b", "permissive", False)], "2"),
        ([("1", "o", "a", "no_license", False), ("2", "o", "b", "non_permissive", False)], "1"),
        ([("1", "o", "a", "permissive", True), ("2", "o", "b", "permissive", False)], "2"),
        ([("1", "p", "a", "permissive", False), ("2", "o", "b", "permissive", False)], "1"),
        ([("2", "o", "a", "permissive", False), ("1", "o", "a", "permissive", False)], "1"),
        ([("1", "o", "a", None, None), ("2", "o", "b", "non_permissive", True)], "2"),
    ],
)
def test_who_represents(rows, best):
    found = rank_duplicates(frame_of([(*row, "text") for row in rows]), params=PARAMS)
    assert found.filter(pl.col("duplicate_of").is_null())["document_id"].to_list() == [best]
    assert found["duplicate_of"].drop_nulls().to_list() == [best]


NEW, OLD = datetime(2024, 5, 1, tzinfo=UTC), datetime(2013, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "best"),
    [
        ([(10, OLD), (9, NEW)], "1"),
        ([(9, NEW), (10, OLD)], "2"),
        ([(None, NEW), (0, OLD)], "2"),
        ([(None, OLD), (None, NEW)], "2"),
        ([(5, None), (5, OLD)], "2"),
        ([(5, OLD), (5, OLD)], "1"),
    ],
)
def test_stars_where_known_then_the_latest_commit(facts, best):
    frame = frame_of([(f"{n + 1}", "o", "a", "permissive", False, "text") for n in range(2)]).with_columns(
        pl.Series("num_stars", [stars for stars, _ in facts], dtype=pl.Int64),
        pl.Series("commit_date", [date for _, date in facts], dtype=TIME),
    )
    found = rank_duplicates(frame, params=PARAMS)
    assert found.filter(pl.col("keep_rank") == 0)["document_id"].to_list() == [best]


SAME = ["a = 1\nb = 2\n", "a = 1\r\nb = 2\r\n", "a = 1  \n\n\tb = 2", "a=1\nb=2\n", "\x0ca = 1\rb\u00a0= 2\n"]


def test_normal_forms():
    assert digest_normal_forms(pl.Series(SAME[:4])).n_unique() == 1
    assert digest_normal_forms(pl.Series(["caf\u00e9", "cafe\u0301"])).n_unique() == 1
    others = ["a = 1\nb = 3\n", "A = 1\nb = 2\n", "a = 1\nb = 2  # c\n", "", "b = 2\na = 1\n"]
    assert digest_normal_forms(pl.Series([*others, SAME[0]])).n_unique() == 6
    assert digest_normal_forms(pl.Series([None], dtype=pl.String)).to_list() == [None]


def test_facts_of_origins(tmp_path):
    heads = pl.DataFrame(
        [("https://a", b"a" * 20), ("https://b", b"b" * 20), ("https://c", None)],
        schema={"origin_url": pl.String, "revision": pl.Binary}, orient="row",
    )  # fmt: skip
    rest = {name: pl.lit(None, dtype).alias(name) for name, dtype in BRANCH_HEADS.polars.items()}
    heads = heads.with_columns(*(rest[name] for name in rest if name not in heads.columns))
    write_table(
        tmp_path / "heads", heads.select(BRANCH_HEADS.polars.names()), BRANCH_HEADS, config_digest="", inputs={}
    )
    revisions = pl.DataFrame([(b"a" * 20, None, None, NEW, "git")], schema=REVISION.polars, orient="row")
    write_table(tmp_path / "revisions", revisions, REVISION, config_digest="", inputs={})
    (tmp_path / "stars.csv").write_text("num_stars,origin_url\n7,https://b\n5,https://b\n1,https://elsewhere\n")

    def build(file):
        return build_origin_facts(tmp_path / "heads", tmp_path / "revisions", tmp_path / "facts",
                                  params=OriginFacts(stars_file=file), config_digest="").path  # fmt: skip

    facts = read_table(build(str(tmp_path / "stars.csv")), ORIGIN_FACTS)
    assert facts.rows() == [("https://a", b"a" * 20, NEW, None), ("https://b", b"b" * 20, None, 7)]
    documents = pl.DataFrame({"origin_url": ["https://b", "https://x"], "revision": [b"b" * 20] * 2})
    assert with_origin_facts(documents, tmp_path / "facts")["num_stars"].to_list() == [7, None]
    assert read_table(build(""), ORIGIN_FACTS)["num_stars"].to_list() == [None, None]
    (tmp_path / "bad.csv").write_text("url,stars\n")
    for file in ("bad.csv", "absent.csv", "stars"):
        with pytest.raises(ConfigError, match="stars_file"):
            build(str(tmp_path / file))


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
