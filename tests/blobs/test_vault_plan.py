"""The vault inside the plan and the chain: used for a root directory only where it costs fewer requests."""

from pathlib import Path

import polars as pl
import pytest

from minicode_assets.blobs.chain import BUNDLES, open_chain
from minicode_assets.blobs.opt_out import build_opt_out
from minicode_assets.blobs.plan import plan_fetch
from minicode_assets.blobs.vault import clear_bundles
from minicode_assets.blobs.vault_plan import read_vault_files
from minicode_assets.config import Blobs
from minicode_assets.parquet import write_table
from minicode_assets.schemas import BRANCH_HEADS, CONTENTS, FILE_MANIFEST
from minicode_model.artifact import Artifact
from tests.blobs.archive_server import ArchiveServer, Stored, make_contents
from tests.blobs.tables import CONTACT, fetch, read_blobs
from tests.blobs.test_vault import tarball

BIG, SMALL, OPTED_OUT = (bytes([n]) * 20 for n in (1, 2, 3))


class Archive:
    """Three origins: 30 files, 3 files, and 30 files of which one is opted out."""

    def __init__(self, folder: Path, **fields: object) -> None:
        self.folder, self.contents = folder, make_contents(63)
        (folder / "wishes").write_text("path secret/*\n")
        build_opt_out(folder / "opt_out", file=str(folder / "wishes"), config_digest="")
        self.params = Blobs(
            backends=("vault", "api"), accept_terms=True, contact=CONTACT, api_burst_fraction=1.0, api_limit=1000,
            vault_poll_s=0.01, **fields,
        )  # type: ignore[arg-type]  # fmt: skip
        self.roots = {BIG: self.contents[:30], SMALL: self.contents[30:33], OPTED_OUT: self.contents[33:]}
        self.write()

    @staticmethod
    def path(root: bytes, number: int) -> bytes:
        return (b"secret/" if root == OPTED_OUT and number == 5 else b"src/") + b"%d.py" % number

    def write(self) -> None:
        rows = [
            (f"https://{root.hex()}.example", root, root, "rev", self.path(root, n), b"%d.py" % n, "file", 33188,
             *stored.ids, len(stored.body), "present", True, False, False)
            for root, files in self.roots.items() for n, stored in enumerate(files)
        ]  # fmt: skip
        manifest = pl.DataFrame(rows, schema=FILE_MANIFEST.polars, orient="row")
        heads = [{"origin_url": f"https://{r.hex()}.example", "revision": r, "directory": r} for r in self.roots]
        table = [(*stored.ids, len(stored.body), 1, True, False) for stored in self.contents]
        for frame, schema in (
            (manifest, FILE_MANIFEST),
            (pl.DataFrame(heads, schema=BRANCH_HEADS.polars), BRANCH_HEADS),
            (pl.DataFrame(table, schema=CONTENTS.polars, orient="row").sort("sha1_git"), CONTENTS),
        ):
            write_table(self.folder / schema.name, frame, schema, config_digest="", inputs={})

    def plan(self) -> Artifact:
        return plan_fetch(
            self.folder / "contents", self.folder / "file_manifest", self.folder / "fetch_plan", params=self.params,
            config_digest="", opt_out=self.folder / "opt_out", license_types=[],
            branch_heads=self.folder / "branch_heads",
        )  # fmt: skip

    def fetch(self, server: ArchiveServer) -> Artifact:
        params = Blobs(**{**vars(self.params), "api_url": f"{server.url}/api/1"})
        files = read_vault_files(self.folder / "fetch_plan")
        chain = open_chain(params, content_folder=self.folder, work=self.folder / "work", token=None, vault_files=files)
        return fetch(self.folder / "contents", chain, self.folder / "p", plan=self.folder / "fetch_plan")

    def bundle(self, root: bytes) -> bytes:
        return tarball(root, {self.path(root, n): stored.body for n, stored in enumerate(self.roots[root])})


def test_only_the_directory_that_saves_requests(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    plan = archive.plan()
    assert set(read_vault_files(plan.path)["directory"]) == {BIG}, "opted-out bytes come with no tarball"
    rules = {rule["rule"]: rule for rule in plan.metadata["rules"]}
    assert (rules["vault"]["num_contents"], rules["vault"]["requests_saved"]) == (30, 25)
    assert plan.metadata["num_requests"] == 5 + 3 + 29
    with ArchiveServer(archive.contents) as server:
        server.bundles[BIG.hex()] = archive.bundle(BIG)
        artifact = archive.fetch(server)
    assert artifact.metadata["num_verified"] == 62
    assert server.num_requests == plan.metadata["num_requests"], "the plan told the truth"
    bundles = tmp_path / "work" / BUNDLES
    assert list(bundles.glob("*.tar.gz"))
    clear_bundles(bundles, [artifact.path, tmp_path / "unfinished"], plan.path)
    assert bundles.exists(), "another partition may need them"
    clear_bundles(bundles, [artifact.path], plan.path)
    assert not bundles.exists()


@pytest.mark.parametrize("trouble", ["failed", "never"])
def test_the_api_has_what_the_vault_does_not_cook(tmp_path: Path, trouble: str) -> None:
    archive = Archive(tmp_path, vault_max_polls=3)
    archive.plan()
    with ArchiveServer(archive.contents) as server:
        server.looks_needed = 100 if trouble == "never" else 2
        artifact = archive.fetch(server)
    assert artifact.metadata["num_verified"] == 62
    assert set(read_blobs(artifact.path)["status"]) == {"verified"}


def test_without_the_vault_as_source_nothing_is_cooked(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.params = Blobs(**{**vars(archive.params), "backends": ("api",)})
    plan = archive.plan()
    assert read_vault_files(plan.path).is_empty()
    assert "vault_and_api" not in plan.metadata["estimated_s"]
    with ArchiveServer(archive.contents) as server:
        assert archive.fetch(server).metadata["num_verified"] == 62
    assert not [path for path in server.requests if "vault" in path]


def test_first_and_identical_plan(tmp_path: Path) -> None:
    """The store changes what a plan costs, not what it says."""
    archive = Archive(tmp_path)
    before = archive.plan().digest
    with ArchiveServer([Stored(c.body) for c in archive.contents]) as server:
        server.bundles[BIG.hex()] = archive.bundle(BIG)
        archive.fetch(server)
    assert archive.plan().digest == before
