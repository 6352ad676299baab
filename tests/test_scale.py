"""docs/concepts/scale.md says what benchmarks/scale.py computes from the newest results."""

from benchmarks import scale


def test_the_page_is_what_the_rates_give() -> None:
    assert scale.page() == scale.PAGE.read_text(), "make docs"


def test_twice_the_text_takes_twice_the_time_and_no_core_is_counted_twice() -> None:
    corpus, machine = scale.CORPORA[1], scale.MACHINES[2]
    double = scale.Corpus("", corpus.num_files * 2, corpus.text_bytes * 2, 0, 0, in_bucket=False)
    assert abs(scale.core_seconds(double) / scale.core_seconds(corpus) - 2) < 1e-9
    assert scale.processes(corpus, machine) == scale.MAX_PARTITIONS < machine.cores
    assert scale.processes(corpus, scale.MACHINES[0]) == 0
