"""Which examples are made of which files."""

import dataclasses

import pytest

from minicode_assets.tokens.format import (
    File,
    Format,
    repository_name,
    star_bucket,
    training_examples,
    validation_examples,
)
from tests.tokens.corpora import encoded_file


def file(origin: str, number: int, text: str = "x = 1\n") -> File:
    return encoded_file(f"{origin}-{number}", text, path=f"{number}.py", origin=origin)


FILES = [file(origin, number) for origin in ("a", "b", "c") for number in range(10)]


def form(**changes: object) -> Format:
    values = {
        "repository_context": True,
        "metadata_rate": 0.5,
        "fim_rate": 0.5,
        "fim_file_rate": 0.25,
        "max_example_tokens": 10_000,
        "seed": 1,
    }
    return Format(**{**values, **changes})


def test_a_repository_is_one_example_in_seeded_order() -> None:
    examples = list(training_examples(FILES, form()))
    assert [example.example_id for example in examples] == ["a", "b", "c"]
    for example in examples:
        numbers = [int(file.path.removesuffix(".py")) for file in example.files]
        assert sorted(numbers) == list(range(10))
        assert numbers != list(range(10))
    assert examples == list(training_examples(FILES, form()))
    assert examples != list(training_examples(FILES, form(seed=2)))
    backwards = [file for origin in "abc" for file in reversed(FILES) if file.origin_url == origin]
    assert examples == list(training_examples(backwards, form())), "the order comes from ids, not from the corpus"


def test_without_context_every_file_is_an_example() -> None:
    examples = list(training_examples(FILES, form(repository_context=False)))
    assert [example.files for example in examples] == [(file,) for file in FILES]
    assert {example.fim_rate for example in examples} == {0.5}


def test_shares_are_kept() -> None:
    files = [file(f"{number:04}", 0) for number in range(2000)]
    examples = list(training_examples(files, form(metadata_rate=0.3, fim_rate=0.8)))
    assert 500 < sum(example.repository is not None for example in examples) < 700
    assert 1500 < sum(example.fim_rate == 0.25 for example in examples) < 1700
    assert {example.fim_rate for example in examples} == {0.25, 0.0}


@pytest.mark.parametrize(("rate", "expected"), [(0.0, None), (1.0, "a")])
def test_metadata_rates_at_the_ends(rate: float, expected: str | None) -> None:
    [example] = training_examples(FILES[:10], form(metadata_rate=rate))
    assert example.repository == expected


def test_a_repository_that_exceeds_a_shard_becomes_several_examples() -> None:
    files = [file("a", number, "x" * 100) for number in range(10)]
    examples = list(training_examples(files, form(max_example_tokens=450)))
    assert [example.example_id for example in examples] == ["a", "a#1", "a#2", "a#3"]
    assert sorted(file.path for example in examples for file in example.files) == [f"{n}.py" for n in range(10)]
    assert all(sum(len(file.tokens) for file in example.files) <= 450 for example in examples)


def test_validation_shows_each_file_alone_and_as_it_is() -> None:
    for example, expected in zip(validation_examples(FILES, 0.0), FILES, strict=True):
        assert (example.repository, example.files, example.fim_rate) == (None, (expected,), 0.0)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/pallets/jinja", "pallets/jinja"),
        ("https://github.com/pallets/jinja.git", "pallets/jinja"),
        ("https://gitlab.com/group/sub/project/", "sub/project"),
        ("git://git.example.org/tool.git", "tool"),
        ("pkg:pypi/attrs@25.1.0", "attrs"),
        ("pkg:pypi/attrs", "attrs"),
        ("pkg:generic/python@3.11.7?arch=x", "python"),
        ("pkg:npm/%40scope/name@1", "name"),
        ("file:///home/me/code/tool", "tool"),
        ("/srv/git/tool.git", "tool"),
        ("https://example.org", "example.org"),
        ("odd", "odd"),
    ],
)
def test_repository_name(url: str, name: str) -> None:
    assert repository_name(url) == name


@pytest.mark.parametrize(
    ("rate", "stars", "expected"),
    [
        (0.0, 5, ()),
        (1.0, None, ("", "<reponame>", "o/r", "<filename>", "0.py\n")),
        (1.0, 5, ("", "<reponame>", "o/r", "<filename>", "0.py", "<gh_stars>", "1-10\n")),
    ],
)
def test_starcoders_metadata(rate: float, stars: int | None, expected: tuple[str, ...]) -> None:
    origin = "https://github.com/o/r"
    num_stars = {} if stars is None else {origin: stars}
    layout = form(repository_context=False, layout="starcoder", starcoder_metadata_rate=rate, num_stars=num_stars)
    [example] = training_examples([file(origin, 0)], layout)
    assert example.header == expected
    assert example.repository is None


def test_starcoders_metadata_is_shown_at_its_rate_each_by_itself() -> None:
    layout = form(repository_context=False, layout="starcoder", starcoder_metadata_rate=0.2)
    headers = [example.header for example in training_examples([file(f"{n:04}", 0) for n in range(3000)], layout)]
    for name in ("<reponame>", "<filename>"):
        assert 500 < sum(name in header for header in headers) < 700
    assert 70 < sum("<reponame>" in header and "<filename>" in header for header in headers) < 170


@pytest.mark.parametrize(
    ("num_stars", "bucket"), [(0, "0"), (1, "1-10"), (10, "1-10"), (11, "10-100"), (1000, "100-1000"), (1001, "1000+")]
)
def test_star_buckets(num_stars: int, bucket: str) -> None:
    assert star_bucket(num_stars) == bucket


def test_repetitions_have_chances_of_their_own() -> None:
    files = [dataclasses.replace(f, epoch=epoch) for f in FILES for epoch in range(2)]
    examples = list(training_examples(files, form()))
    assert [example.example_id for example in examples] == ["a", "a@1", "b", "b@1", "c", "c@1"]
    once = list(training_examples(FILES, form()))
    assert [example for example in examples if "@" not in example.example_id] == once
    assert [f.path for f in examples[0].files] != [f.path for f in examples[1].files]
