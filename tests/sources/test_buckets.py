"""Runs over buckets: every row once, in order, and no more of them at a time than fit."""

import itertools

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.sources.buckets import bucket_runs

ROWS = st.lists(st.tuples(st.integers(0, 255), st.integers(0, 50)), max_size=60)


@given(st.lists(ROWS, min_size=1, max_size=3), st.integers(1, 200))
def test_every_row_once_in_runs_that_fit(tables: list[list[tuple[int, int]]], max_bytes: int) -> None:
    schema = {"bucket": pl.Int64, "size": pl.Int64}
    frames = [pl.DataFrame(rows, schema=schema, orient="row").lazy() for rows in tables]
    runs = [run.collect() for run in bucket_runs(frames, pl.col("size"), max_bytes=max_bytes)]
    assert sorted(row for run in runs for row in run.rows()) == sorted(row for rows in tables for row in rows)
    for run in runs:
        assert run["size"].sum() <= max_bytes or run["bucket"].n_unique() == 1
    for before, after in itertools.pairwise(runs):
        assert before["bucket"].max() < after["bucket"].min()
