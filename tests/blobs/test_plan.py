"""The fetch plan against a plain Python reading of its rules, the opt-out list, and an honest estimate."""

import fnmatch
import hashlib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minicode_assets.blobs.opt_out import build_opt_out, is_opted_out, read_opt_out
from minicode_assets.blobs.plan import RULES, api_seconds, plan_fetch
from minicode_assets.config import Blobs, load
from minicode_assets.errors import BlobError
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import CONTENTS, FETCH_PLAN, FILE_MANIFEST, ORIGIN_LICENSES
from tests.blobs.archive_server import ArchiveServer, make_contents
from tests.blobs.tables import api, fetch, read_blobs, write_contents
from tests.blobs.test_limits import Simulated, simulate
from tests.blobs.test_store import Scripted, bodies_of

Row = tuple[str, bytes, str, int, bool]
"""A file: origin, path, name of the content, length, vendored."""


def digest(name: str) -> bytes:
    return hashlib.sha1(name.encode()).digest()


def kind_of(path: bytes) -> tuple[bool, bool]:
    return path.endswith(b".py"), b"LICENSE" in path


def write_world(folder: Path, files: list[Row]) -> tuple[Path, Path]:
    """(contents, file_manifest) of files; lengths are the content's."""
    lengths = {name: length for _, _, name, length, _ in files}
    manifest = [
        (origin, digest("snp" + origin), digest("rev" + origin), "rev", path, path.rpartition(b"/")[2], "file", 33188,
         digest(name), digest("sha1" + name), lengths[name], "skipped" if b"skipped" in path else "present",
         *kind_of(path), vendored)
        for origin, path, name, _, vendored in files
    ]  # fmt: skip
    frame = pl.DataFrame(manifest, schema=FILE_MANIFEST.polars, orient="row")
    write_table(folder / "file_manifest", frame, FILE_MANIFEST, config_digest="", inputs={})
    contents = frame.group_by("sha1_git").agg(
        pl.first("sha1", "length"), num_files=pl.len().cast(pl.Int64), is_python=pl.any("is_python"),
        is_license=pl.any("is_license"),
    ).sort("sha1_git").select(CONTENTS.polars.names())  # fmt: skip
    write_table(folder / "contents", contents, CONTENTS, config_digest="", inputs={})
    return folder / "contents", folder / "file_manifest"


def write_verdicts(folder: Path, files: list[Row], verdicts: dict[str, str]) -> Path:
    """origin_licenses of files: each folder has its origin's verdict, no_license unless named."""
    keys = sorted({(origin, path.rpartition(b"/")[0]) for origin, path, _, _, _ in files})
    rows = [
        {"origin_url": origin, "revision": digest("rev" + origin), "folder": below,
         "license_type": verdicts.get(origin, "no_license")}
        for origin, below in keys
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema=ORIGIN_LICENSES.polars)
    write_table(folder / "origin_licenses", frame, ORIGIN_LICENSES, config_digest="", inputs={})
    return folder / "origin_licenses"


WORLD: list[Row] = [
    ("https://a.example/r", b"LICENSE", "mit", 1000, False),
    ("https://b.example/r", b"LICENSE", "mit", 1000, False),
    ("https://a.example/r", b"a.py", "a", 500, False),
    ("https://a.example/r", b"copy/a.py", "a", 500, False),
    ("https://a.example/r", b"README.md", "readme", 100, False),
    ("https://a.example/r", b"huge.py", "huge", 5_000, False),
    ("https://a.example/r", b"tiny.py", "tiny", 3, False),
    ("https://b.example/r", b"b.py", "b", 500, False),
    ("https://a.example/r", b"vendor/v.py", "v", 500, True),
    ("https://b.example/r", b"lib/w.py", "w", 500, False),
    ("https://a.example/r", b"vendor/w.py", "w", 500, True),
    ("https://gone.example/r", b"g.py", "g", 500, False),
    ("https://gone.example/r", b"a.py", "a", 500, False),
    ("https://a.example/r", b"named.py", "named", 500, False),
    ("https://a.example/r", b"secret/\xff.py", "secret", 500, False),
]
OPT_OUT = f"""# wishes
origin https://gone.example/*
swhid swh:1:cnt:{digest("named").hex()}
path secret/*

"""


def test_every_rule(tmp_path: Path) -> None:
    (tmp_path / "opt_out").write_text(OPT_OUT)
    params = Blobs(max_length_bytes=2000, min_length_bytes=10)
    wishes = build_opt_out(tmp_path / "wishes", file=str(tmp_path / "opt_out"), config_digest="").path
    inputs = write_world(tmp_path, WORLD)
    verdicts = {"https://a.example/r": "permissive", "https://gone.example/r": "permissive"}
    artifact = plan_fetch(
        *inputs, tmp_path / "plan", params=params, config_digest="", license_types=["permissive"], opt_out=wishes,
        origin_licenses=write_verdicts(tmp_path, WORLD, verdicts),
    )  # fmt: skip
    plan = read_table(artifact.path, FETCH_PLAN)
    names = {digest(name): name for _, _, name, _, _ in WORLD}
    found = {names[sha1_git]: (priority, rule) for sha1_git, _, _, priority, rule in plan.iter_rows()}
    assert found == {
        "mit": (0, None), "a": (1, None),
        "readme": (None, "other_file"), "huge": (None, "too_long"), "tiny": (None, "too_short"),
        "b": (None, "license"), "w": (None, "vendored"), "v": (None, "vendored"),
        "g": (None, "opted_out"), "named": (None, "opted_out"), "secret": (None, "opted_out"),
    }  # fmt: skip
    figures = artifact.metadata
    rules = {rule["rule"]: rule for rule in figures["rules"]}
    assert list(rules) == ["duplicates", *RULES, "in_store", "vault"]
    assert rules["duplicates"]["requests_saved"] == 15 - 11
    assert rules["vendored"] == {"rule": "vendored", "num_contents": 2, "bytes": 1000, "requests_saved": 2}
    assert (figures["num_wanted"], figures["num_licenses"], figures["wanted_bytes"]) == (2, 1, 1500)
    assert sum(rule["requests_saved"] for rule in figures["rules"]) + figures["num_requests"] == figures["num_files"]


def test_what_the_archive_never_stored_is_not_asked_for(tmp_path: Path) -> None:
    files: list[Row] = [
        ("https://a.example/r", b"skipped/a.py", "a", 500, False), ("https://a.example/r", b"b.py", "b", 500, False),
        ("https://a.example/r", b"skipped/c.py", "c", 500, False), ("https://a.example/r", b"c.py", "c", 500, False),
    ]  # fmt: skip
    inputs = write_world(tmp_path, files)
    plan = read_table(
        plan_fetch(*inputs, tmp_path / "plan", params=Blobs(), config_digest="", license_types=[]).path, FETCH_PLAN
    )
    rules = dict(plan.select("sha1_git", "rule").iter_rows())
    assert rules == {digest("a"): "too_long", digest("b"): None, digest("c"): None}


def test_without_verdicts_every_origin_is_fetched(tmp_path: Path) -> None:
    artifact = plan_fetch(
        *write_world(tmp_path, WORLD), tmp_path / "plan", params=Blobs(), config_digest="", license_types=[]
    )
    rules = {rule["rule"]: rule["num_contents"] for rule in artifact.metadata["rules"]}
    assert (rules["license"], rules["vendored"], rules["opted_out"]) == (0, 1, 0)


def test_vendored_files_are_fetched_where_they_are_kept(tmp_path: Path) -> None:
    assert [
        load(overrides={"curation": name}).fetch_plan.vendored for name in ("default", "stack_v2", "opencoder")
    ] == [0, 0, 1]
    artifact = plan_fetch(
        *write_world(tmp_path, WORLD), tmp_path / "plan", params=Blobs(), config_digest="", license_types=[],
        vendored=True,
    )  # fmt: skip
    assert next(rule for rule in artifact.metadata["rules"] if rule["rule"] == "vendored")["num_contents"] == 0


def test_partition_fetches_what_the_plan_wants_and_the_store_saves_requests(tmp_path: Path) -> None:
    contents = make_contents(40)
    table = write_contents(tmp_path / "contents", contents)
    rows = [
        ("https://a.example", b"LICENSE%d" % n if n % 10 == 0 else b"%d.py" % n, stored, n % 7 == 1)
        for n, stored in enumerate(contents)
    ]
    manifest = pl.DataFrame(
        [
            (origin, bytes(20), bytes(20), "rev", path, path, "file", 33188, *stored.ids, len(stored.body), "present",
             *kind_of(path), vendored)
            for origin, path, stored, vendored in rows
        ],
        schema=FILE_MANIFEST.polars, orient="row",
    )  # fmt: skip
    write_table(tmp_path / "file_manifest", manifest, FILE_MANIFEST, config_digest="", inputs={})
    inputs = (table, tmp_path / "file_manifest")
    plan = plan_fetch(*inputs, tmp_path / "plan", params=Blobs(), config_digest="", license_types=[])
    source = Scripted(bodies_of(contents))
    artifact = fetch(table, source, tmp_path / "p", plan=plan.path)
    assert artifact.metadata["num_rows"] == plan.metadata["num_wanted"] == len(source.asked)
    assert artifact.inputs["fetch_plan"] == plan.digest
    assert not {contents[n].ids[0] for n in (1, 8)} & set(read_blobs(artifact.path)["sha1_git"])
    again = plan_fetch(
        *inputs, tmp_path / "again", params=Blobs(), config_digest="", license_types=[], store=[tmp_path / "p"]
    )
    assert again.metadata["num_requests"] == 0
    assert again.metadata["estimated_s"]["api"] == 0
    assert again.digest == plan.digest


@given(requests=st.integers(1, 400), limit=st.integers(1, 60), burst=st.floats(0, 1))
@example(requests=2, limit=1, burst=0.0)
@settings(max_examples=15)
def test_estimate_is_what_the_simulated_run_takes(
    tmp_path_factory: pytest.TempPathFactory, requests: int, limit: int, burst: float
) -> None:
    path = tmp_path_factory.mktemp("log") / "log.sqlite"
    done = simulate(path, blobs=requests, limit=limit, workers=2, burst=burst)
    estimate = api_seconds(requests, Blobs(api_limit=limit, api_burst_fraction=burst))
    answers_s = 2 * (requests // limit + 1) + 0.7 * requests
    assert estimate <= done.seconds + 1e-6
    assert done.seconds <= estimate + answers_s


def test_estimate_of_a_real_fetch_on_a_simulated_clock(tmp_path: Path) -> None:
    """The estimate, the backend, the limiter and the archive's server: one fetch, within 1 %."""
    contents = make_contents(150)
    table = write_contents(tmp_path / "contents", contents)
    clock = Simulated()
    with ArchiveServer(contents, limit=40, now=clock.now) as server:
        started = clock.time
        fetch(table, api(server, tmp_path / "log.sqlite", clock=clock, connections=1, limit=40), tmp_path / "p")
    estimate = api_seconds(150, Blobs(api_limit=40, api_burst_fraction=0.3))
    assert clock.time - started == pytest.approx(estimate, rel=0.01)
    assert server.log.num_refused == 0
    assert server.num_requests == 150


GLOBS = st.lists(st.sampled_from(["*", "?", "a", "b", "/", ".", "[", "(", "\\"]), min_size=1, max_size=6).map("".join)
GLOBS = GLOBS.map(lambda glob: glob.strip("/")).filter(bool)


@given(glob=GLOBS, path=st.text("ab/.[(\\", min_size=1, max_size=6))
@settings(max_examples=100)
def test_globs_are_fnmatch_without_brackets(tmp_path_factory: pytest.TempPathFactory, glob: str, path: str) -> None:
    file = tmp_path_factory.mktemp("list") / "opt_out"
    file.write_text(f"path {glob}\n")
    expected = fnmatch.fnmatchcase(path, glob.replace("[", "[[]"))
    assert read_opt_out(file).covers_path(path.encode()) == expected


@pytest.mark.parametrize(
    ("wish", "covered"),
    [
        ("origin https://github.com/alice/one", "alice/one alice/one/ alice/one.git Alice/One"),
        ("origin https://github.com/alice/one.git", "alice/one alice/one/ alice/one.git Alice/One"),
        ("origin https://github.com/alice/*", "alice/one alice/one/ alice/one.git Alice/One alice/two"),
        ("owner alice", "alice/one alice/one/ alice/one.git Alice/One alice/two"),
        ("owner GitHub.com/Alice", "alice/one alice/one/ alice/one.git Alice/One alice/two"),
        ("origin http://www.github.com/alice/one/", "alice/one alice/one/ alice/one.git Alice/One"),
        ("origin git@github.com:alice/one.git", "alice/one alice/one/ alice/one.git Alice/One"),
        ("origin\tssh://git@github.com/alice/%6fne", "alice/one alice/one/ alice/one.git Alice/One"),
        ("\ufeffowner  alice", "alice/one alice/one/ alice/one.git Alice/One alice/two"),
        ("owner gitlab.com/alice", ""),
        ("owner ali", ""),
        ("origin https://github.com/alice/on", ""),
    ],
)
def test_origins_and_owners_as_people_write_them(tmp_path: Path, wish: str, covered: str) -> None:
    (tmp_path / "list").write_text(wish)
    opt_out = read_opt_out(tmp_path / "list")
    repositories = ["alice/one", "alice/one/", "alice/one.git", "Alice/One", "alice/two", "alicea/one", "bob/alice"]
    found = [name for name in repositories if opt_out.covers_origin(f"https://github.com/{name}")]
    assert found == covered.split()


@pytest.mark.parametrize(
    "url",
    ["git@github.com:Alice/one.git", "ssh://git@github.com:22/alice/one", "http://alice@www.github.com/alice/one"],
)
def test_an_origin_is_found_however_its_address_is_written(tmp_path: Path, url: str) -> None:
    (tmp_path / "list").write_text("owner github.com/alice\n")
    assert read_opt_out(tmp_path / "list").covers_origin(url)


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ("/src/a.py", "src/a.py"),
        ("src/", "src/b/a.py"),
        ("caf\u00e9/*", "cafe\u0301/a.py"),
        ("cafe\u0301/", "caf\u00e9/a.py"),
    ],
)
def test_paths_as_people_write_them(tmp_path: Path, wish: str, path: str) -> None:
    (tmp_path / "list").write_text(f"path {wish}\n", encoding="utf-8")
    assert read_opt_out(tmp_path / "list").covers_path(path.encode())


def test_an_owner_is_no_glob(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("owner ali*\n")
    with pytest.raises(BlobError, match=r"line 1: found 'owner ali\*'"):
        read_opt_out(tmp_path / "list")


def test_a_list_with_other_comments_and_order_is_the_same_artefact(tmp_path: Path) -> None:
    texts = ["# one\nowner a\npath b\npath b\n", "path b\n\n# two\nowner A\n", "owner a\n"]
    digests = []
    for number, text in enumerate(texts):
        (tmp_path / "list").write_text(text)
        folder = tmp_path / str(number)
        digests.append(build_opt_out(folder, file=str(tmp_path / "list"), config_digest="").digest)
    assert digests[0] == digests[1] != digests[2]


def test_opt_out_by_each_kind_of_id(tmp_path: Path) -> None:
    _, manifest = write_world(tmp_path, WORLD)
    files = pl.scan_parquet(manifest / "*.parquet")
    everything = {
        f"snp:{digest('snphttps://b.example/r').hex()}": 3,
        f"rev:{digest('revhttps://b.example/r').hex()}": 3,
        f"ori:{digest('https://b.example/r').hex()}": 3,
        f"cnt:{digest('w').hex()}": 2,
        f"cnt:{digest('w').hex()};origin=https://b.example/r;path=/lib/w.py": 2,
    }
    for swhid, count in everything.items():
        (tmp_path / "list").write_text(f"swhid swh:1:{swhid}\n")
        covered = files.filter(is_opted_out(files, read_opt_out(tmp_path / "list"))).collect()
        assert covered.height == count, swhid


@pytest.mark.parametrize(
    "line",
    ["origins x", "owner a/b/c", "owner", "origin", "path ", "swhid swh:1:dir:" + 40 * "0", "swhid swh:1:cnt:00", "x"],
)
def test_a_wish_that_cannot_be_read_stops(tmp_path: Path, line: str) -> None:
    (tmp_path / "list").write_text(f"# first\n{line}\n")
    with pytest.raises(BlobError, match="line 2"):
        read_opt_out(tmp_path / "list")
    with pytest.raises(BlobError, match="can't read the opt-out list"):
        read_opt_out(tmp_path / "absent")
