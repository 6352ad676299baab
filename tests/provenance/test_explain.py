"""A file's way is told with its evidence: plan, blob, signals with thresholds, the document that stands for it."""

from hashlib import sha256

import polars as pl
import pytest

from minicode_assets.corpus.annotate.minhash import comparable_texts
from minicode_assets.corpus.rewrite.answers import AXES
from minicode_assets.errors import CorpusError
from minicode_assets.layout import Layout
from minicode_assets.provenance.changes import tell_changes
from minicode_assets.provenance.explain import explain
from minicode_assets.schemas import DOCUMENTS
from minicode_assets.swhid import content_ids
from tests.corpus.test_select import module
from tests.corpus.worlds import MIT_METADATA, World, make_world

EDITED = module("a", 60).replace(b"compute_9(", b"changed_9(")
MAIL = module("mail") + b"\n# Copyright 2020 Bob\nOWNER = 'bob@builder.net'\n"
ORIGINS = {
    "https://example.org/a": {
        "a.dist-info/METADATA": MIT_METADATA,
        "a.py": module("a", 60),
        "copy.py": module("a", 60),
        "edited.py": EDITED,
        "short.py": b"answer = 42\n",
        "mail.py": MAIL,
        "pkg/README.md": b"# readme\n",
    },
    "https://example.org/gpl": {
        "COPYING": b"GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007\n",
        "copy.py": module("b"),
    },
    "https://example.org/b": {"METADATA": MIT_METADATA, "b.py": module("b")},
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_world(tmp_path_factory.mktemp("explain"), ORIGINS).change("partitions", num_prefixes=2).annotate()
    made.corpus()
    return made


def told(world: World, content: bytes) -> str:
    return explain(Layout(world.root), world.config, f"swh:1:cnt:{content_ids(content)[0].hex()}")


def test_thresholds_and_signals(world: World) -> None:
    text = told(world, b"answer = 42\n")
    assert "short.py (present; python)" in text
    assert "blob      verified" in text
    assert "license   permissive: MIT (rule " in text
    assert "from a.dist-info/METADATA)" in text
    assert "too_short: length_bytes 12; [corpus] min_length_bytes = 100" in text
    assert "few_lines: num_lines 1; [corpus] min_lines = 5" in text


def test_a_duplicate_names_the_one_that_stands_for_it(world: World) -> None:
    both = told(world, module("a", 60))
    edited = told(world, EDITED)
    kept = edited if "kept" in edited else both
    dropped = both if kept is edited else edited
    assert "near_duplicate: of swh:1:cnt:" in dropped
    shared, whole = _shingles(world, module("a", 60)), _shingles(world, EDITED)
    index = len(shared & whole) / len(shared | whole)
    assert f"Jaccard {index:.3f}" in dropped
    assert "exact_duplicate: of swh:1:cnt:" in both or both.count("near_duplicate: of") == 2


def _shingles(world: World, text: bytes) -> set[tuple[bytes, ...]]:
    (compared,) = comparable_texts(pl.Series([text.decode()]), world.config.near_dup)
    words = compared.replace(b"(", b" ").replace(b")", b" ").replace(b",", b" ").replace(b"=", b" ").split()
    words = [word.strip(b'.":') for word in words if word.strip(b'.":')]
    return {tuple(words[n : n + 5]) for n in range(len(words) - 4)}


def test_every_document_of_a_content_or_the_one_that_is_meant(world: World) -> None:
    text = told(world, module("b"))
    assert text.count("\ndocument  ") == 2
    assert (
        "license_non_permissive: license_type non_permissive, source swh; [corpus] license_types = permissive" in text
    )
    documents = world.read("documents", DOCUMENTS)
    (row,) = documents.filter(pl.col("path") == "b.py").iter_rows(named=True)
    one = explain(Layout(world.root), world.config, row["swhid"])
    assert one.count("\ndocument  ") == 1
    assert "outcome   kept, in " in one
    assert "tokens    none yet: " in one
    assert explain(Layout(world.root), world.config, row["document_id"]) == one


def test_what_was_no_document(world: World) -> None:
    assert "pkg/README.md (present; neither Python nor licence)" in told(world, b"# readme\n")
    for identifier, message in (
        ("swh:1:cnt:" + "0" * 40, "no file of the manifest"),
        ("README", "found no identifier"),
        ("swh:1:cnt:zz", "found no identifier"),
        ("f" * 32, "no document has the id"),
    ):
        with pytest.raises(CorpusError, match=message):
            explain(Layout(world.root), world.config, identifier)


def test_each_replaced_find_is_told(world: World) -> None:
    text = told(world, MAIL)
    start = MAIL.index(b"bob@")
    assert "\nchanges   redact: 1 find replaced\n" in text
    assert f"email, rule address, bytes {start} to {start + 15}: <EMAIL>" in text
    redacted = MAIL.replace(b"bob@builder.net", b"<EMAIL>")
    made = f"SHA-256 {sha256(redacted).hexdigest()}; made of SHA-256 {sha256(MAIL).hexdigest()}"
    assert f"\ncorpus    {len(redacted)} bytes, {made}" in text
    assert "\nchanges " not in told(world, module("b"))


def test_formatting_and_the_models_verdict_are_told() -> None:
    score = {"llm_status": "rejected", "score_fraction": 0.8, **dict.fromkeys(AXES, 8), "problem": "rewrite: no code"}
    header = {"kind": "copyright", "replacement": None}
    assert list(tell_changes(["reformat"], [header], [score])) == [
        "found and left: 1 copyright",
        "reformat: as ruff formats it",
        "llm_rewrite: rejected, score 0.80 (readability 8, modularity 8, clarity 8, reusability 8, educational 8): "
        "rewrite: no code",
    ]
    off = {"llm_status": "off", "score_fraction": None, "problem": None}
    assert list(tell_changes([], [], [off])) == []
