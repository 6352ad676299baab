"""Sorting by parts against sorting at once."""

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from minicode_assets.tables.sort import sorted_parts

ROWS = st.lists(st.tuples(st.binary(min_size=2, max_size=20), st.integers(0, 5)), max_size=40)


@settings(max_examples=60)
@given(ROWS, st.integers(1, 7), st.integers(1, 12), st.sampled_from([("id",), ("id", "n")]))
def test_parts_together_are_the_sorted_rows(rows, num_frames, rows_per_part, order):
    whole = pl.DataFrame(rows, schema={"id": pl.Binary, "n": pl.Int64}, orient="row")
    frames = [whole[place::num_frames] for place in range(num_frames)]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name) / "scratch"
        scratch.mkdir()
        (scratch / "00000-9999999").write_bytes(b"left behind by a killed run")
        rows_at_once = {"num_rows": whole.height, "rows_per_part": rows_per_part}
        parts = list(sorted_parts(frames, order, scratch=scratch, **rows_at_once))
        assert len(parts) < 2 or not scratch.exists()
    expected = pl.concat(frames).sort(*order, maintain_order=True)
    assert pl.concat([whole.clear(), *parts]).equals(expected)
    keys = [set(part["id"]) for part in parts]
    assert sum(map(len, keys)) == len(set().union(*keys)), "a key lies in one part only"


def test_no_frame_gives_no_part():
    assert list(sorted_parts([], ("id",), num_rows=0, scratch=Path("nowhere"))) == []
