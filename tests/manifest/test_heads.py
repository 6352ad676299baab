"""Which revision stands for an origin: each rule, each reason, and hostile branches."""

import datetime

import polars as pl
import pytest
from canonical import oid, one_origin, write_tables

from minicode_assets.config import BranchHeads, load
from minicode_assets.errors import ConfigError, TableError
from minicode_assets.manifest.heads import choose_heads
from minicode_assets.parquet import read_table
from minicode_assets.schemas import BRANCH_HEADS

REVISIONS = [(oid(f"r{n}"), oid(f"d{n}"), None, None, "git") for n in range(10)]


def revision(number):
    return "revision", oid(f"r{number}")


def heads(tmp_path, params=None, **rows):
    """The heads of some tables, as a frame."""
    tables = write_tables(tmp_path, **{"revision": sorted(REVISIONS), **rows})
    folder = tmp_path / "branch_heads"
    choose_heads(tables, folder, params=params or BranchHeads(), config_digest="")
    return read_table(folder, BRANCH_HEADS)


def head(tmp_path, branches, params=None, **rows):
    """(rule, number of the revision, branch, reason) of an origin with these branches."""
    row = heads(tmp_path, params, **one_origin(branches), **rows).row(0, named=True)
    number = next((n for n in range(10) if oid(f"r{n}") == row["revision"]), None)
    if number is not None:
        assert (row["directory"], row["anchor"], row["reason"]) == (oid(f"d{number}"), "rev", None)
    else:
        assert row["directory"] is None or row["anchor"] != "rev"
    return row["rule"], number, row["branch"], row["reason"]


RULES = {
    "HEAD as a revision": (
        {b"HEAD": revision(1), b"refs/heads/main": revision(2), b"refs/heads/x": revision(3)},
        ("HEAD", 1, b"HEAD", None),
    ),
    "HEAD as an alias": (
        {b"HEAD": ("alias", b"refs/heads/x"), b"refs/heads/main": revision(2), b"refs/heads/x": revision(3)},
        ("HEAD (alias)", 3, b"HEAD", None),
    ),
    "alias of an alias": (
        {b"HEAD": ("alias", b"a"), b"a": ("alias", b"refs/heads/x"), b"refs/heads/x": revision(3)},
        ("HEAD (alias)", 3, b"HEAD", None),
    ),
    "main before master": (
        {b"refs/heads/master": revision(1), b"refs/heads/main": revision(2)},
        ("refs/heads/main", 2, b"refs/heads/main", None),
    ),
    "master": (
        {b"refs/heads/master": revision(1), b"refs/heads/zzz": revision(2)},
        ("refs/heads/master", 1, b"refs/heads/master", None),
    ),
    "a loop of aliases falls back to master": (
        {b"HEAD": ("alias", b"a"), b"a": ("alias", b"HEAD"), b"refs/heads/master": revision(4)},
        ("refs/heads/master", 4, b"refs/heads/master", None),
    ),
    "a dangling HEAD falls back to main": (
        {b"HEAD": (None, None), b"refs/heads/main": revision(5)},
        ("refs/heads/main", 5, b"refs/heads/main", None),
    ),
    "HEAD at a revision that the export lacks": (
        {b"HEAD": ("revision", oid("nowhere")), b"refs/heads/main": revision(5)},
        ("refs/heads/main", 5, b"refs/heads/main", None),
    ),
    "the single branch": (
        {b"refs/heads/trunk": revision(6), b"refs/tags/1": revision(7), b"refs/pull/1/head": revision(8)},
        ("single_branch", 6, b"refs/heads/trunk", None),
    ),
    "PyPI: highest version by PEP 440": (
        {b"releases/1.9": revision(1), b"releases/1.10": revision(2), b"releases/1.10rc1": revision(3)},
        ("pypi_release", 2, b"releases/1.10", None),
    ),
    "PyPI: several files of one version": (
        {b"releases/2/p-2.zip": revision(1), b"releases/2/p-2.tar.gz": revision(2), b"releases/1": revision(3)},
        ("pypi_release", 2, b"releases/2/p-2.tar.gz", None),
    ),
    "PyPI: HEAD is an alias of the default release": (
        {b"HEAD": ("alias", b"releases/1.0"), b"releases/1.0": revision(1), b"releases/2.0": revision(2)},
        ("HEAD (alias)", 1, b"HEAD", None),
    ),
    "PyPI: the highest version is lost": (
        {b"releases/1.0": revision(1), b"releases/2.0": ("revision", oid("nowhere"))},
        ("pypi_release", 1, b"releases/1.0", None),
    ),
    "Debian: highest version over all suites": (
        {
            b"stretch/main/2.9-1+deb9u1": revision(1),
            b"buster/main/2.10-1": revision(2),
            b"sid/main/2.10~rc1-1": revision(3),
        },
        ("debian_version", 2, b"buster/main/2.10-1", None),
    ),
    "Debian: an epoch wins": (
        {b"stretch/main/1:0.1-1": revision(1), b"buster/main/9.0-1": revision(2)},
        ("debian_version", 1, b"stretch/main/1:0.1-1", None),
    ),
    "Debian below releases/, as later loaders name it": (
        {b"releases/bookworm/main/2.0-1": revision(1), b"releases/sid/contrib/2.0-2": revision(2)},
        ("debian_version", 2, b"releases/sid/contrib/2.0-2", None),
    ),
    "a branch name that is not UTF-8": (
        {b"refs/heads/caf\xe9": revision(3)},
        ("single_branch", 3, b"refs/heads/caf\xe9", None),
    ),
    "nothing but an alias loop": (
        {b"HEAD": ("alias", b"HEAD")},
        (None, None, None, "alias_loop"),
    ),
    "an alias of nothing": ({b"HEAD": ("alias", b"gone")}, (None, None, None, "alias_of_nothing")),
    "dangling only": ({b"HEAD": (None, None)}, (None, None, None, "dangling_branch")),
    "a revision that the export lacks": (
        {b"HEAD": ("revision", oid("nowhere"))},
        (None, None, None, "missing_revision"),
    ),
    "a content": ({b"HEAD": ("content", oid("c"))}, (None, None, None, "not_a_directory")),
    "several branches, none of them known": (
        {b"refs/heads/a": revision(1), b"refs/heads/b": revision(2)},
        (None, None, None, "no_matching_branch"),
    ),
    "no branch": ({}, (None, None, None, "empty_snapshot")),
}


@pytest.mark.parametrize(("branches", "expected"), RULES.values(), ids=RULES.keys())
def test_rules_and_reasons(tmp_path, branches, expected):
    assert head(tmp_path, branches) == expected


def release(name, target_type, target):
    return oid(name), name.encode(), target, target_type, None


def test_releases_are_followed_through_chains(tmp_path):
    rows = [release("outer", "release", oid("middle")), release("middle", "release", oid("inner"))]
    rows.append(release("inner", *revision(4)))
    assert head(tmp_path, {b"HEAD": ("release", oid("outer"))}, release=sorted(rows)) == ("HEAD", 4, b"HEAD", None)


def test_a_release_without_target_type_is_followed(tmp_path):
    rows = [release("outer", None, oid("inner")), release("inner", None, oid("r4"))]
    assert head(tmp_path, {b"HEAD": ("release", oid("outer"))}, release=sorted(rows)) == ("HEAD", 4, b"HEAD", None)


def test_a_chain_of_releases_that_never_ends_is_given_up(tmp_path):
    rows = [release("a", "release", oid("b")), release("b", "release", oid("a"))]
    assert head(tmp_path, {b"HEAD": ("release", oid("a"))}, release=sorted(rows))[3] == "release_loop"


@pytest.mark.parametrize(
    ("rows", "reason"), [([], "missing_release"), ([release("a", None, None)], "release_of_nothing")]
)
def test_dangling_releases_are_explained(tmp_path, rows, reason):
    assert head(tmp_path, {b"HEAD": ("release", oid("a"))}, release=rows)[3] == reason


def test_a_release_of_a_directory_is_anchored_at_the_release(tmp_path):
    rows = [release("outer", "release", oid("v1")), release("v1", "directory", oid("tree"))]
    found = heads(tmp_path, **one_origin({b"releases/1.0": ("release", oid("outer"))}), release=sorted(rows))
    row = found.row(0, named=True)
    assert (row["revision"], row["anchor"], row["directory"]) == (oid("outer"), "rel", oid("tree"))


def test_without_the_release_table_a_head_that_needs_it_is_an_error(tmp_path):
    with pytest.raises(TableError, match=r"no table `release`.*'HEAD'"):
        head(tmp_path, {b"HEAD": ("release", oid("a"))}, absent=("release",))


def test_without_the_release_table_other_heads_are_chosen(tmp_path):
    branches = {b"HEAD": revision(1), b"refs/tags/v1": ("release", oid("a"))}
    assert head(tmp_path, branches, absent=("release",))[1] == 1


def visits_case(*visits):
    """Tables of one origin whose visits have a snapshot each, HEAD of snapshot n at revision n."""
    snapshots = sorted({number for _, _, number in visits if number is not None}, key=lambda n: oid(f"s{n}"))
    return {
        "origin": [("https://x",)],
        "origin_visit": [
            (
                "https://x",
                number,
                datetime.datetime(2018, number, 1, tzinfo=datetime.UTC),
                status,
                None if snapshot is None else oid(f"s{snapshot}"),
            )
            for number, status, snapshot in visits
        ],
        "snapshot_branch": [(oid(f"s{n}"), b"HEAD", oid(f"r{n}"), "revision") for n in snapshots],
    }


VISITS = {
    "the latest full one": ([(1, "full", 1), (2, "full", 2)], (2, 2)),
    "a stale partial one after it": ([(1, "full", 1), (2, "partial", 2)], (1, 1)),
    "a partial one without a snapshot": ([(1, "full", 1), (2, "partial", None)], (1, 1)),
    "full without a snapshot": ([(1, "full", 1), (2, "full", None)], (1, 1)),
    "partial only": ([(1, "partial", 1), (2, "partial", 2), (3, "ongoing", 3)], (2, 2)),
}


@pytest.mark.parametrize(("visits", "expected"), VISITS.values(), ids=VISITS.keys())
def test_visits(tmp_path, visits, expected):
    row = heads(tmp_path, **visits_case(*visits)).row(0, named=True)
    assert (row["visit"], row["revision"]) == (expected[0], oid(f"r{expected[1]}"))


def test_origins_without_visit_or_snapshot_are_rows_with_a_reason(tmp_path):
    rows = visits_case((1, "partial", None))
    rows["origin"] = [("https://x",), ("https://y",)]
    found = heads(tmp_path, **rows)
    assert found.select("origin_url", "reason").rows() == [("https://x", "no_snapshot"), ("https://y", "no_visit")]
    assert found.drop("origin_url", "reason").null_count().row(0) == (2,) * 7


def test_a_date_limits_the_visits(tmp_path):
    rows = visits_case((1, "full", 1), (2, "full", 2), (3, "full", 3))
    assert heads(tmp_path, BranchHeads(visited_until="2018-02-01"), **rows)["visit"].to_list() == [2]
    with pytest.raises(ConfigError, match="visited_until"):
        heads(tmp_path, BranchHeads(visited_until="yesterday"), **rows)


def test_other_branches_by_configuration(tmp_path):
    branches = {b"HEAD": revision(1), b"refs/heads/stable": revision(2)}
    params = BranchHeads(branches=("refs/heads/stable", "HEAD"))
    assert head(tmp_path, branches, params)[:2] == ("refs/heads/stable", 2)


def test_all_branches(tmp_path):
    branches = {
        b"HEAD": ("alias", b"refs/heads/a"),
        b"refs/heads/a": revision(1),
        b"refs/heads/b": revision(2),
        b"refs/tags/t": ("release", oid("t")),
        b"gone": (None, None),
    }
    found = heads(
        tmp_path, BranchHeads(all_branches=True), **one_origin(branches), release=[release("t", *revision(3))]
    )
    assert found["branch"].to_list() == [b"refs/heads/a", b"refs/heads/b", b"refs/tags/t"]
    assert found["revision"].to_list() == [oid("r1"), oid("r2"), oid("r3")]
    assert found["rule"].unique().to_list() == ["all_branches"]


def test_origins_that_share_a_snapshot_share_its_head(tmp_path):
    rows = one_origin({b"HEAD": revision(1)})
    rows["origin"].append(("https://y",))
    rows["origin_visit"].append(("https://y", 7, None, "full", oid("s")))
    found = heads(tmp_path, **rows)
    assert found["revision"].to_list() == [oid("r1")] * 2
    assert found["visit"].to_list() == [1, 7]


def test_figures_count_origins_by_rule_and_reason(tmp_path):
    rows = one_origin({b"HEAD": revision(1)})
    rows["origin"] += [("https://y",), ("https://z",)]
    tables = write_tables(tmp_path, revision=sorted(REVISIONS), **rows)
    artifact = choose_heads(tables, tmp_path / "heads", params=BranchHeads(), config_digest="")
    assert artifact.metadata["by_rule"] == {"HEAD": 1}
    assert artifact.metadata["by_reason"] == {"no_visit": 2}
    again = choose_heads(tables, tmp_path / "again", params=BranchHeads(), config_digest="")
    assert again.digest == artifact.digest
    assert pl.read_parquet(tmp_path / "heads" / "*.parquet").height == artifact.metadata["num_origins"] == 3


def test_numbers_that_make_no_sense_are_named():
    overrides = {"file_manifest": {"rows_per_part": 0}, "branch_heads": {"max_hops": -1}}
    with pytest.raises(ConfigError, match=r"\[branch_heads\] max_hops: found -1(.|\n)*\[file_manifest\] rows_per_part"):
        load("tiny", overrides)
