"""Near duplicates over all partitions of a small real archive."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from minicode_assets.config import NearDup, resolve
from minicode_assets.corpus.annotate import minhash, near_dup
from minicode_assets.corpus.annotate.minhash import comparable_texts
from minicode_assets.errors import ConfigError, CorpusError
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import DOCUMENTS, EXACT_DUP, MINHASH, NEAR_DUP
from minicode_model.artifact import Artifact, open_artifact
from tests.corpus.worlds import MIT_METADATA, World, make_world

HEADER = "".join(f"# line {i} of a licence that is long and says the same everywhere\n" for i in range(40))
PARAMS = NearDup()


def module(seed: int, num_functions: int = 30) -> str:
    """Python text unlike that of any other seed."""
    rng = random.Random(seed)
    lines = []
    for number in range(num_functions):
        name, argument, other = (f"{word}_{rng.randrange(10**6)}" for word in ("make", "size", "rest"))
        lines += [f"def {name}({argument}, {other}={number}):", f"    return {argument} * {rng.random()} + {other}", ""]
    return "\n".join(lines)


def edited(text: str, line: int) -> str:
    lines = text.splitlines()
    return "\n".join([*lines[:line], "changed = True  # here", *lines[line + 1 :]])


ORIGINS = {
    "https://example.org/free": {
        "free.dist-info/METADATA": MIT_METADATA,
        "a.py": module(1).encode(),
        "b.py": (HEADER + "x = [first, second]\nprint(x, sep=separator)\n").encode(),
        "empty.py": b"",
        "nul.py": b"x = 1\0\n",
    },
    "https://example.org/other": {
        "a_edited.py": edited(module(1), 10).encode(),
        "a_again.py": edited(module(1), 20).encode(),
        "a_copy.py": edited(module(1), 20).encode(),
        "a_indented.py": module(1).replace("    ", "\t").replace(", ", ",\n  ").encode(),
        "c.py": module(2).encode(),
        "d.py": (HEADER + "class Thing(Base):\n    limit = maximum + 1\n").encode(),
    },
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("near") / "world", ORIGINS, num_prefixes=4).annotate()


def run(
    world: World, params: NearDup = PARAMS, folder: str = "near_dup", sidecars: str = "license language exact_dup"
) -> Artifact:
    for key in world.keys:
        minhash.annotate(world.folder("documents", key), world.folder("minhash", key), params=params, config_digest="")
    return near_dup.annotate(
        world.partitions("documents"),
        world.partitions("minhash"),
        {name: world.partitions(name) for name in sidecars.split()},
        world.folder(folder),
        partitions=world.keys,
        params=params,
        config_digest="",
    )


def by_path(world: World, artifact: Artifact) -> dict[str, dict[str, object]]:
    documents = world.read("documents", DOCUMENTS).select("document_id", "path")
    names = dict(documents.iter_rows())
    rows = pl.concat([pl.read_parquet(artifact.file(f"part-{key}.parquet")) for key in world.keys])
    assert rows["document_id"].equals(documents["document_id"])
    return {
        names[row["document_id"]]: row | {"of": names.get(row["duplicate_of"])} for row in rows.iter_rows(named=True)
    }


def test_the_permissive_one_represents_the_family(world: World) -> None:
    artifact = run(world)
    rows = by_path(world, artifact)
    family = {"a_edited.py", "a_again.py", "a_copy.py", "a_indented.py"}
    assert {path for path, row in rows.items() if row["of"] == "a.py"} == family
    assert all(rows[path]["cluster_size"] == 5 for path in [*family, "a.py"])
    assert all(0.7 <= rows[path]["jaccard"] <= 1 for path in family)
    assert sorted(rows[path]["keep_rank"] for path in [*family, "a.py"]) == [0, 1, 2, 3, 4]
    assert rows["a.py"]["keep_rank"] == rows["c.py"]["keep_rank"] == 0
    assert abs(rows["a_copy.py"]["keep_rank"] - rows["a_again.py"]["keep_rank"]) >= 1
    assert rows["a_indented.py"]["jaccard"] == 1
    assert rows["a_copy.py"]["jaccard"] == rows["a_again.py"]["jaccard"] < 1
    for path in ("a.py", "b.py", "c.py", "d.py"):
        assert rows[path]["of"] is None
        assert rows[path]["jaccard"] == 1
    assert rows["c.py"]["cluster_size"] == 1
    assert artifact.metadata["num_duplicates"] == 4
    assert artifact.metadata["largest_cluster"] == 5


def test_texts_too_short_and_no_texts(world: World) -> None:
    rows = by_path(world, run(world))
    assert rows["empty.py"]["cluster_size"] == 1
    assert list(rows["nul.py"].values())[1:] == [None] * 6


def test_sources_of_their_own_are_compared_among_themselves(world: World, tmp_path: Path) -> None:
    """A commit shows a file of its repository: that must not cost the corpus one of the two."""
    other = replace(world, root=Path(shutil.copytree(world.root, tmp_path / "world")))
    commits = ("a_edited.py", "a_again.py")
    source = pl.when(pl.col("path").is_in(commits)).then(pl.lit("commits")).otherwise("source").alias("source")
    for folder in other.partitions("documents"):
        frame = read_table(folder, DOCUMENTS).with_columns(source)
        write_table(folder, frame, DOCUMENTS, config_digest="", inputs={})
    of = {path: row["of"] for path, row in by_path(other, run(other, sidecars="license language")).items()}
    assert (of["a_copy.py"], of["a_indented.py"]) == ("a.py", "a.py")
    assert sorted([str(of[path]) for path in commits]) in (["None", "a_again.py"], ["None", "a_edited.py"])
    together = by_path(other, run(other, replace(PARAMS, own_sources=()), sidecars="license language"))
    assert [together[path]["of"] for path in commits] == ["a.py", "a.py"]


def test_exact_duplicates_follow_with_or_without_their_sidecar(world: World) -> None:
    beside = by_path(world, run(world))
    alone = by_path(world, run(world, folder="alone", sidecars="license language"))
    for path, row in beside.items():
        assert row | {"keep_rank": None} == alone[path] | {"keep_rank": None}
    assert "a_copy.py" in beside


def test_one_licence_header_makes_no_duplicates(world: World) -> None:
    rows = by_path(world, run(world, replace(PARAMS, skip_leading_comments=False), "headers"))
    assert {rows["b.py"]["of"], rows["d.py"]["of"]} == {None, "b.py"}, "the header alone is most of both files"
    assert by_path(world, run(world))["d.py"]["of"] is None


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("# a\n#b\n\nx = 1\n# c\n", "x = 1\n# c\n"),
        ("#!/bin/sh\r\n  # a\r\nx = 1", "x = 1"),
        ("# only comments\n# here\n", "# only comments\n# here\n"),
        ("x = 1  # no\n# header\n", "x = 1  # no\n# header\n"),
        ("\ufeff# a\nx = 1", "x = 1"),
        ("# a\n    x = 1", "    x = 1"),
        ("", ""),
    ],
)
def test_what_is_compared(text: str, compared: str) -> None:
    assert comparable_texts(pl.Series([text]), PARAMS) == [compared.encode()]


def test_runs_give_the_same_bytes(world: World) -> None:
    first = {name: run(world, folder=name).digest for name in ("one", "two")}
    assert first["one"] == first["two"]
    small = world.folder("documents", world.keys[0])
    again = [minhash.annotate(small, world.folder("again"), params=PARAMS, config_digest="").digest for _ in range(2)]
    assert again[0] == again[1]


def test_partitions_do_not_matter(world: World, tmp_path: Path) -> None:
    one = make_world(tmp_path / "one", ORIGINS, num_prefixes=1).annotate()
    columns = ("of", "jaccard", "cluster_size")
    many, whole = by_path(world, run(world)), by_path(one, run(one))
    assert {p: [r[c] for c in columns] for p, r in many.items()} == {
        p: [r[c] for c in columns] for p, r in whole.items()
    }


def test_signatures_have_the_configured_width(world: World) -> None:
    run(world, replace(PARAMS, num_permutations=64, num_bands=8, rows_per_band=8), "narrow")
    frame = world.read("minhash", MINHASH)
    assert frame["signature"].bin.size().drop_nulls().unique().to_list() == [256]
    run(world)


def test_sidecars_of_other_documents_are_refused(world: World, tmp_path: Path) -> None:
    run(world)
    broken = World(tmp_path / "broken", num_prefixes=4)
    shutil.copytree(world.root, broken.root)
    first, second = broken.keys[:2]
    shutil.rmtree(broken.folder("exact_dup", first))
    shutil.copytree(broken.folder("exact_dup", second), broken.folder("exact_dup", first))
    with pytest.raises(CorpusError, match="out of step"):
        run(broken)


def test_signatures_of_other_documents_are_refused(world: World) -> None:
    run(world)
    with pytest.raises(CorpusError, match="out of step"):
        near_dup.annotate(
            world.partitions("documents"), world.partitions("minhash")[::-1], {}, world.folder("swapped"),
            partitions=world.keys, params=replace(PARAMS, keep_order=()), config_digest="",
        )  # fmt: skip


def test_versions_of_the_sketch_do_not_mix(world: World) -> None:
    run(world)
    manifest = world.folder("minhash", world.keys[0]) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["metadata"]["algorithm_version"] += 1
    del content["seal"]
    manifest.write_text(json.dumps(content))
    with pytest.raises(CorpusError, match="versions"):
        near_dup.annotate(
            world.partitions("documents"), world.partitions("minhash"), {}, world.folder("mixed"),
            partitions=world.keys, params=replace(PARAMS, keep_order=()), config_digest="",
        )  # fmt: skip
    assert not world.folder("mixed").exists()


def test_unknown_columns_and_settings_are_named(world: World) -> None:
    with pytest.raises(ConfigError, match="did you mean 'license_type'"):
        run(world, replace(PARAMS, keep_order=("licence_type",)))
    with pytest.raises(ConfigError, match="num_bands 50 x rows_per_band 6 exceeds num_permutations 256"):
        resolve({"near_dup": {"num_bands": 50}}, preset="tiny")
    with pytest.raises(ConfigError, match="expected 'words' or 'stack_v2'"):
        resolve({"near_dup": {"tokens": "letters"}}, preset="tiny")


def test_everything_read_is_recorded(world: World) -> None:
    artifact = run(world)
    names = ("documents", "minhash", "license", "language", "exact_dup")
    expected = {f"{n}/{key}": open_artifact(world.folder(n, key)).digest for n in names for key in world.keys}
    assert dict(artifact.inputs) == expected
    assert pl.read_parquet_schema(artifact.path / artifact.files[0].path) == NEAR_DUP.polars
    assert EXACT_DUP.key == NEAR_DUP.key


def test_partitions_without_any_text(tmp_path: Path) -> None:
    world = make_world(tmp_path, {"https://example.org/nul": {"a.py": b"x = 1\0\n"}}).annotate()
    frame = pl.concat(pl.read_parquet(path) for path in sorted(world.folder("near_dup").glob("*.parquet")))
    assert frame.height == 1
    assert frame["cluster_id"].null_count() == 1
    assert open_artifact(world.folder("near_dup")).metadata["num_duplicates"] == 0
