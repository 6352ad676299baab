"""Nothing is lost between documents and corpus: every row is kept once or has every reason; splits share no origin."""

import hashlib
import shutil

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicode_assets.config import Config, Corpus, contradictions
from minicode_assets.corpus.benchmarks import build_benchmarks
from minicode_assets.corpus.funnel import funnel, samples
from minicode_assets.corpus.mix import held_out_origins
from minicode_assets.corpus.rules import rules
from minicode_assets.corpus.select import SIDECARS, build_corpus, drop_duplicates, drop_near_duplicates
from minicode_assets.errors import CorpusError, CorruptArtifactError
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import BENCHMARKS, CHANGED_TEXTS, CORPUS, DECISIONS, DOCUMENTS, FUNNEL, NEAR_DUP
from minicode_model.artifact import open_artifact, write_artifact
from tests.corpus.worlds import MIT_METADATA, make_world

GPL = b"GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007\n"


def module(name: str, lines: int = 12) -> bytes:
    """A small module like no other."""
    body = "".join(f"    total_{name}_{i} = compute_{i}(argument, {i})\n" for i in range(lines))
    return f'"""Module {name}."""\n\n\ndef run_{name}(argument):\n{body}    return argument\n'.encode()


ORIGINS = {
    "https://example.org/a": {
        "a.dist-info/METADATA": MIT_METADATA,
        **{f"a{i}.py": module(f"a{i}") for i in range(12)},
        "same.py": module("a0"),
        "same_with_mark.py": b"\xef\xbb\xbf" + module("a0"),
        "same_with_tabs.py": module("a0").replace(b"    ", b"\t"),
        "same_of_windows.py": module("a0").replace(b"\n", b"\r\n"),
        "tiny.py": b"x = 1\n",
        "short.py": b"answer = 42\n",
        "pkg/_vendor/six.py": module("six"),
        "made_pb2.py": module("made"),
        "old.py": b"print 'x'\n" + module("old"),
        "wide.py": module("wide") + b"x = '" + b"w " * 9000 + b"'\n",
        "nul.py": b"\0" + module("nul"),
        "bad_and_tiny.py": b"print 'x'\n",
    },
    "https://example.org/gpl": {"COPYING": GPL, "g.py": module("g"), "copy.py": module("a1")},
    "https://example.org/none": {"n.py": module("n")},
    "https://example.org/b": {"METADATA": MIT_METADATA, "b.py": module("b"), "same.py": module("a2")},
    "https://example.org/c": {"METADATA": MIT_METADATA, "c.py": module("c")},
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    world = make_world(tmp_path_factory.mktemp("select"), ORIGINS).change("corpus", validation_fraction=0.1).annotate()
    world.corpus()
    return world


def reasons_by_path(world):
    frame = read_table(world.folder("corpus"), DECISIONS, pattern="decisions/*.parquet")
    return {
        (row["origin_url"].rpartition("/")[2], row["path"]): row["drop_reasons"] for row in frame.iter_rows(named=True)
    }


def test_every_reason_is_told(built):
    reasons = reasons_by_path(built)
    dropped = {key: value for key, value in reasons.items() if value}
    assert dropped == {
        ("a", "a0.py"): ["exact_duplicate"],
        ("a", "same_with_mark.py"): ["exact_duplicate"],
        ("a", "same_with_tabs.py"): ["normalised_duplicate"],
        ("a", "same_of_windows.py"): ["normalised_duplicate"],
        ("a", "tiny.py"): ["too_short", "few_lines", "alphabetic"],
        ("a", "short.py"): ["too_short", "few_lines"],
        ("a", "pkg/_vendor/six.py"): ["vendored"],
        ("a", "made_pb2.py"): ["generated"],
        ("a", "old.py"): ["unparsable"],
        ("a", "wide.py"): ["mean_line_length", "max_line_length", *dropped[("a", "wide.py")][2:]],
        ("a", "nul.py"): ["text_nul"],
        ("a", "bad_and_tiny.py"): ["unparsable", "too_short", "few_lines"],
        ("gpl", "g.py"): ["license_non_permissive"],
        ("gpl", "copy.py"): ["license_non_permissive", "exact_duplicate"],
        ("none", "n.py"): ["license_no_license"],
        ("b", "same.py"): ["exact_duplicate"],
    }


def test_rows_are_conserved(built):
    corpus = built.folder("corpus")
    decisions = read_table(corpus, DECISIONS, pattern="decisions/*.parquet")
    documents = built.read("documents", DOCUMENTS)
    assert decisions["document_id"].to_list() == documents["document_id"].to_list()
    assert (decisions["kept"] == (decisions["drop_reasons"].list.len() == 0)).all()
    assert (decisions["kept"] == decisions["split"].is_not_null()).all()
    train, validation = (read_table(corpus, CORPUS, pattern=f"{split}/*.parquet") for split in ("train", "validation"))
    for split, frame in (("train", train), ("validation", validation)):
        assert set(frame["document_id"]) == set(decisions.filter(pl.col("split") == split)["document_id"])
    kept = pl.concat([train, validation])
    assert kept["text_sha256"].is_unique().all()
    assert kept.join(documents, on=["document_id", "text"]).height == kept.height
    assert not set(train["origin_url"]) & set(validation["origin_url"])
    assert validation.height > 0


def test_parts_are_sorted(built):
    for split in ("train", "validation"):
        for path in sorted((built.folder("corpus") / split).glob("*.parquet")):
            frame = pl.read_parquet(path)
            assert frame.equals(frame.sort("origin_url", "path", "document_id"))


def test_funnel_adds_up(built):
    table = read_table(built.folder("corpus"), FUNNEL, pattern="funnel.parquet")
    rows = {step: (documents, first) for step, documents, _, first, *_ in table.iter_rows()}
    assert rows["all"][0] - rows["kept"][0] == sum(first for _, first in rows.values())
    assert table["step"].to_list()[0] == "all"
    assert table["step"].to_list()[-4:] == ["exact_duplicate", "normalised_duplicate", "near_duplicate", "kept"]
    last = table.row(-1, named=True)
    assert (last["num_left"], last["bytes_left"]) == (last["num_documents"], last["length_bytes"])
    assert last["tokens_left"] == round(last["bytes_left"] / Corpus().bytes_per_token)
    assert table["num_left"].is_sorted(descending=True)
    assert rows["unparsable"] == (2, 2)
    assert rows["too_short"] == (3, 2)


def test_a_rerun_gives_the_same_digest(built):
    digest = open_artifact(built.folder("corpus")).digest
    assert built.corpus().digest == digest


def test_notice_and_swhids(built):
    corpus = built.folder("corpus")
    notice = (corpus / "NOTICE").read_text()
    assert "\nMIT\n  https://example.org/a (12 files)\n  https://example.org/b (1 files)\n" in notice
    assert "gpl" not in notice
    swhids = (corpus / "swhids.txt").read_text().splitlines()
    kept = pl.concat([read_table(corpus, CORPUS, pattern=f"{s}/*.parquet") for s in ("train", "validation")])
    assert swhids == sorted(kept["swhid"])


def test_moving_a_threshold_needs_no_annotator(built):
    moved = built.change("corpus", min_length_bytes=0, min_lines=0)
    moved.corpus()
    assert reasons_by_path(moved)["a", "short.py"] == []
    built.corpus()


def test_changed_texts_reach_the_corpus_with_their_parent(built, tmp_path):
    for key in built.keys:
        documents = read_table(built.folder("documents", key), DOCUMENTS)
        redacted = pl.when(pl.col("path") == "b.py").then(pl.lit("redacted = 1\n"))
        frame = documents.select(
            "document_id",
            text=redacted,
            changes=pl.when(pl.col("path") == "b.py").then(pl.lit(["pii"])).otherwise(pl.lit([], pl.List(pl.String))),
        )
        write_table(tmp_path / key, frame, CHANGED_TEXTS, config_digest="", inputs={})
    build_corpus(
        built.partitions("documents"), {name: built.partitions(name) for name in SIDECARS}, built.folder("near_dup"),
        tmp_path / "corpus", params=Corpus(validation_fraction=0.1), config_digest="",
        changed_texts=[tmp_path / key for key in built.keys],
    )  # fmt: skip
    kept = pl.concat(
        [read_table(tmp_path / "corpus", CORPUS, pattern=f"{s}/*.parquet") for s in ("train", "validation")]
    )
    (changed,) = kept.filter(pl.col("changes").list.len() > 0).iter_rows(named=True)
    assert (changed["path"], changed["text"], changed["length_bytes"]) == ("b.py", "redacted = 1\n", 13)
    assert changed["parent_sha256"] == hashlib.sha256(module("b")).digest()
    assert changed["text_sha256"] == hashlib.sha256(b"redacted = 1\n").digest()
    assert kept["parent_sha256"].count() == 1


def test_a_dropped_representative_lets_its_copy_live(tmp_path):
    files = {"METADATA": MIT_METADATA, "_vendor/x.py": module("x"), "other_pb2.py": module("x"), "z.py": module("x")}
    origins = {"https://example.org/a": files, "https://example.org/b": {"METADATA": MIT_METADATA, "b.py": module("b")}}
    world = make_world(tmp_path, origins).annotate()
    world.corpus()
    assert reasons_by_path(world)["a", "z.py"] == []
    assert reasons_by_path(world)["a", "other_pb2.py"] == ["generated", "exact_duplicate"]


def test_a_missing_signal_is_never_a_pass():
    rule = next(rule for rule in rules(Corpus()) if rule.name == "digits")
    frame = pl.DataFrame(
        {"status": ["ok", "ok", "ok", "nul"], "digit_fraction": [0.1, 0.9, None, None]},
        schema_overrides={"digit_fraction": pl.Float64},
    )
    assert frame.select(rule.reason).to_series().to_list() == [None, "digits", "digits_unmeasured", None]


BOOLEANS = ("parses", "is_generated", "is_vendored")


EVERY_RULE = rules(Corpus(min_quality_score=0.5))


@pytest.mark.parametrize("rule", [rule for rule in EVERY_RULE if "status" not in rule.drops.meta.root_names()],
                         ids=lambda rule: rule.name)  # fmt: skip
def test_every_rule_tells_when_its_signal_is_missing(rule):
    types = {name: pl.Boolean if name in BOOLEANS else pl.Float64 for name in rule.drops.meta.root_names()}
    strings = ("license_type", "language", "source", "document_id", "pii_status")
    types |= {name: pl.String for name in strings if name in types} | {"status": pl.String}
    types |= {name: pl.List(pl.String) for name in ("matches",) if name in types}
    frame = pl.DataFrame({name: ["ok" if name == "status" else None] for name in types}, schema=types)
    assert frame.select(rule.reason).to_series().to_list() == [f"{rule.name}_unmeasured"]


def test_text_without_digest_is_not_kept():
    decided = pl.DataFrame(
        {"document_id": ["a"], "origin_url": ["o"], "path": ["p"], "text_sha256": [None], "keep_rank": [None],
         "drop_reasons": [[]]},
        schema={"document_id": pl.String, "origin_url": pl.String, "path": pl.String, "text_sha256": pl.Binary,
                "keep_rank": pl.Int64, "drop_reasons": pl.List(pl.String)},
    )  # fmt: skip
    found = drop_duplicates(decided)
    assert found["kept"].to_list() == [False]
    assert found["drop_reasons"].to_list() == [["exact_duplicate_unmeasured"]]


def test_near_duplicates_keep_one_of_a_cluster_whose_representative_fell(tmp_path):
    """The representative is generated, so plain `duplicate_of is not null` would lose all three."""
    text = module("x", 60)
    files = {
        "METADATA": MIT_METADATA,
        **{f"edited{i}.py": text.replace(b"compute_9(", b"changed_%d(" % i) for i in range(3)},
        **{f"made{i}_pb2.py": text.replace(b"compute_8(", b"moved_%d(" % i) for i in range(6)},
    }
    origins = {"https://example.org/a": files, "https://example.org/b": {"METADATA": MIT_METADATA, "b.py": module("b")}}
    world = make_world(tmp_path, origins).annotate()
    world.corpus()
    reasons = reasons_by_path(world)
    edited = sorted(reasons["a", f"edited{i}.py"] for i in range(3))
    assert edited == [[], ["near_duplicate"], ["near_duplicate"]]
    assert all(reasons["a", f"made{i}_pb2.py"] == ["generated", "near_duplicate"] for i in range(6))
    clusters = read_table(world.folder("near_dup"), NEAR_DUP).filter(pl.col("cluster_size") == 9)
    best = clusters.filter(pl.col("keep_rank") == 0)["document_id"].item()
    paths = world.read("documents", DOCUMENTS).filter(pl.col("document_id") == best)["path"].to_list()
    assert "_pb2" in paths[0], "the case needs a representative that falls"
    off = world.change("corpus", drop_near_duplicates=False)
    off.corpus()
    assert [reasons_by_path(off)["a", f"edited{i}.py"] for i in range(3)] == [[], [], []]


DECIDED = {"document_id": pl.String, "cluster_id": pl.String, "cluster_rank": pl.Int64,
           "drop_reasons": pl.List(pl.String)}  # fmt: skip
REASONS = st.sampled_from([[], [], ["generated"], ["exact_duplicate"]])
CLUSTERED = st.lists(st.tuples(st.integers(0, 3), REASONS), max_size=20)


@given(CLUSTERED, st.randoms())
def test_the_best_survivor_of_each_cluster_is_kept(rows, random):
    ranks = [sum(cluster == before for before, _ in rows[:row]) for row, (cluster, _) in enumerate(rows)]
    table = [
        (f"d{row}", f"c{cluster}", rank, reasons)
        for row, ((cluster, reasons), rank) in enumerate(zip(rows, ranks, strict=True))
    ]
    best = {}
    for name, cluster, _, reasons in table:
        if not reasons:
            best.setdefault(cluster, name)
    expected = {
        name: reasons + ["near_duplicate"] * (cluster in best and best[cluster] != name
                                              and "exact_duplicate" not in reasons)
        for name, cluster, _, reasons in table
    }  # fmt: skip
    shuffled = random.sample(table, len(table))
    found = drop_near_duplicates(pl.DataFrame(shuffled, schema=DECIDED, orient="row"))
    assert found["document_id"].to_list() == [row[0] for row in shuffled]
    assert dict(found.select("document_id", "drop_reasons").iter_rows()) == expected
    assert set(found.filter("kept")["document_id"]) == set(best.values())


def test_a_document_that_was_not_compared_is_not_kept():
    frame = pl.DataFrame([("a", None, None, [])], schema=DECIDED, orient="row")
    found = drop_near_duplicates(frame)
    assert found["drop_reasons"].to_list() == [["near_duplicate_unmeasured"]]
    assert found["kept"].to_list() == [False]


def test_benchmark_problems_are_dropped(tmp_path):
    benchmarks = read_table(built_benchmarks(tmp_path), BENCHMARKS).filter(pl.col("task_id") == "HumanEval/32")
    prompt = benchmarks.filter(pl.col("kind") == "prompt")["text"][0]
    solution = benchmarks.filter(pl.col("kind") == "solution")["text"][0]
    files = {"METADATA": MIT_METADATA, "leak.py": (prompt + solution).encode(), "clean.py": module("clean")}
    origins = {"https://example.org/a": files, "https://example.org/b": {"METADATA": MIT_METADATA, "b.py": module("b")}}
    world = make_world(tmp_path / "world", origins).annotate()
    world.corpus()
    reasons = reasons_by_path(world)
    assert reasons["a", "leak.py"] == ["contaminated"]
    assert reasons["a", "clean.py"] == []


def built_benchmarks(root):
    return build_benchmarks(root / "benchmarks", params=Config().benchmarks, config_digest="").path


def test_without_benchmarks_nothing_passes_as_clean(tmp_path):
    """Every signal is null: the rule drops all, and the configuration says so before anything runs."""
    origins = {"https://example.org/a": {"METADATA": MIT_METADATA, "a.py": module("a")}}
    world = make_world(tmp_path, origins).change("benchmarks", files=()).annotate()
    with pytest.raises(CorpusError, match="contaminated_unmeasured 1"):
        world.corpus()
    assert contradictions(world.config) == [
        "[corpus] drop_contaminated needs [benchmarks] files: without any, nothing is looked for"
    ]
    off = world.change("corpus", drop_contaminated=False)
    assert contradictions(off.config) == []
    off.corpus()
    assert reasons_by_path(off)["a", "a.py"] == []


def test_out_of_step_sidecars_are_refused(built, tmp_path):
    swapped = {name: built.partitions(name) for name in SIDECARS}
    documents, near_dup = built.partitions("documents"), built.folder("near_dup")

    def build(near_dup):
        build_corpus(documents, swapped, near_dup, tmp_path / "corpus", params=Corpus(), config_digest="")

    shutil.copytree(near_dup, tmp_path / "near_dup")
    first, second = sorted((tmp_path / "near_dup").glob("part-*"))
    shutil.copy(first, second)
    with pytest.raises(CorruptArtifactError, match="near_dup"):
        build(tmp_path / "near_dup")
    with write_artifact(tmp_path / "crossed", name="near_dup", config_digest="", inputs={}) as crossed:
        for key, other in zip(built.keys, built.keys[::-1], strict=True):
            shutil.copy(near_dup / f"part-{key}.parquet", crossed.path / f"part-{other}.parquet")
    with pytest.raises(CorpusError, match="crossed, part 00-of-02: rows out of step"):
        build(tmp_path / "crossed")
    swapped["heuristics"] = swapped["heuristics"][::-1]
    with pytest.raises(CorpusError, match="rows out of step"):
        build(near_dup)
    del swapped["language"]
    with pytest.raises(CorpusError, match="sidecar language: found 0 partitions, expected 2"):
        build(near_dup)


def test_an_empty_corpus_is_an_error_with_reasons(tmp_path):
    world = make_world(tmp_path, {"https://example.org/none": {"n.py": module("n")}}).annotate()
    with pytest.raises(CorpusError, match=r"none of 1 documents is kept; reasons: license_no_license 1") as caught:
        world.corpus()
    assert "[corpus]" in caught.value.hint
    assert not world.folder("corpus").exists()


def test_samples_to_look_at(built):
    found = samples(built.folder("corpus"), built.partitions("documents"), "too_short", count=2)
    assert found.height == 2
    assert all("too_short" in reasons for reasons in found["drop_reasons"])
    assert set(found["text"]) <= {"x = 1\n", "answer = 42\n", "print 'x'\n"}
    kept = samples(built.folder("corpus"), built.partitions("documents"), "kept", count=100)
    assert kept["kept"].all()
    assert kept["document_id"].is_sorted()
    with pytest.raises(CorpusError, match="did you mean 'unparsable'"):
        samples(built.folder("corpus"), built.partitions("documents"), "unparseable", count=2)


ORIGIN_SIZES = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 1000), max_size=12)


@given(ORIGIN_SIZES, st.floats(0.01, 1.0), st.integers(0, 5))
def test_held_out_origins(sizes, fraction, seed):
    rows = [(url, part) for url, size in sizes.items() for part in (size, 0)]
    kept = pl.DataFrame(rows, schema={"origin_url": pl.String, "length_bytes": pl.Int64}, orient="row")
    chosen = held_out_origins(kept, validation_fraction=fraction, seed=seed)
    assert chosen == held_out_origins(kept.reverse(), validation_fraction=fraction, seed=seed)
    assert set(chosen) <= set(sizes)
    assert bool(chosen) == (len(sizes) >= 2)
    assert len(chosen) < max(len(sizes), 1)
    held = sum(sizes[url] for url in chosen)
    assert held <= fraction * sum(sizes.values()) or (len(chosen) == 1 and held == min(sizes.values()))


def test_a_huge_origin_is_passed_over():
    kept = pl.DataFrame({"origin_url": [f"o{i}" for i in range(40)], "length_bytes": [10**6] + [1000] * 39})
    for seed in range(20):
        chosen = held_out_origins(kept, validation_fraction=0.01, seed=seed)
        assert "o0" not in chosen
        assert len(chosen) == 10


def test_nothing_is_held_out_on_demand():
    kept = pl.DataFrame({"origin_url": ["a", "b"], "length_bytes": [1, 1]})
    assert held_out_origins(kept, validation_fraction=0.0, seed=1) == []


def test_funnel_of_nothing():
    empty = pl.DataFrame(schema=DECISIONS.polars)
    assert funnel(empty, ["a"], bytes_per_token=3.0)["num_documents"].to_list() == [0, 0, 0]
