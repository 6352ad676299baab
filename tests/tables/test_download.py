"""The mirror against real servers on loopback: web servers with and without ranges, and moto's S3 server."""

import functools
import http.server
import shutil
import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from exports import tables_2019, tables_2021, write_export

from minicode_assets.config import Tables
from minicode_assets.errors import ConfigError, StorageError, TableError
from minicode_assets.schemas import CANONICAL
from minicode_assets.sources import history
from minicode_assets.tables.download import check_terms, mirror_export
from minicode_assets.tables.generations import detect
from minicode_assets.tables.normalise import normalise_table
from minicode_assets.tables.places import export_path
from tests.s3_server import put, s3_server

NAME = "2019-01-28-popular-3k-python"


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Serves folders and byte ranges, notes what was asked, and can break a connection in the middle."""

    asked: list[tuple[str, str]]
    break_after: dict[str, int]

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        self.asked.append((self.path, self.headers.get("Range", "")))
        if not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        until = self.break_after.pop(self.path, len(content))
        self.wfile.write(content[start:until])


class Plain(http.server.SimpleHTTPRequestHandler):
    """The standard library's server: no ranges."""

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """A function that serves a folder and returns the URL; servers end with the test."""
    servers = []

    def start(folder, handler):
        bound = functools.partial(handler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def published(tmp_path):
    """A folder of published exports that holds one, with a table and columns that nobody needs."""
    folder = tmp_path / "published"
    tables = tables_2019()
    tables["revision"]["message"] = [b"hello"]
    tables["person"] = {"id": [1]}
    tables["revision_history"] = {"id": [b"1" * 20], "parent_id": [b"2" * 20], "parent_rank": [0]}
    write_export(folder / NAME / "parquet", tables)
    (folder / NAME / "parquet" / "content" / "_SUCCESS").touch()
    return folder


@pytest.fixture
def server():
    """A handler class of this test's own."""
    return type("Server", (Ranges,), {"asked": [], "break_after": {}})


def canonical(export, out):
    return [normalise_table(export, table, out / table, config_digest="", inputs={}).digest for table in CANONICAL]


def test_the_mirror_holds_what_is_needed_and_normalises_to_the_same(published, serve, server, tmp_path):
    params = Tables(remote=serve(published, server))
    mirror = mirror_export(tmp_path / "mirror", params=params)
    assert mirror.generation == "2019-01-28"
    assert mirror.num_files == mirror.num_fetched == 13
    assert not (tmp_path / "mirror" / "person").exists()
    kept = pq.ParquetFile(tmp_path / "mirror" / "revision" / "0.parquet").schema_arrow.names
    assert kept == ["id", "directory", "date", "committer_date", "type"]
    original = published / NAME / "parquet"
    assert canonical(tmp_path / "mirror", tmp_path / "one") == canonical(original, tmp_path / "two")


def test_a_second_call_fetches_nothing(published, serve, server, tmp_path):
    params = Tables(remote=serve(published, server))
    mirror_export(tmp_path / "mirror", params=params)
    server.asked.clear()
    assert mirror_export(tmp_path / "mirror", params=params).num_fetched == 0
    assert [path for path, _ in server.asked if path.endswith(".parquet")] == []


def test_all_columns_on_demand(published, serve, server, tmp_path):
    mirror_export(tmp_path / "mirror", params=Tables(remote=serve(published, server), all_columns=True))
    copy, original = (
        folder / "revision" / "0.parquet" for folder in (tmp_path / "mirror", published / NAME / "parquet")
    )
    assert copy.read_bytes() == original.read_bytes()


def test_columns_that_are_wanted_later_are_fetched_then(published, serve, server, tmp_path):
    """The messages and parents of revisions, for the commits; what has more than is wanted stays."""
    params, mirror = Tables(remote=serve(published, server)), tmp_path / "mirror"
    mirror_export(mirror, params=params)
    assert not (mirror / "revision_history").exists()
    assert mirror_export(mirror, params=params, also=history.SOURCES).num_fetched == 2
    assert pq.read_table(mirror / "revision" / "0.parquet")["message"].to_pylist() == [b"hello"]
    assert pq.read_table(mirror / "revision_history" / "0.parquet").num_rows == 1
    for also in (history.SOURCES, {}):
        assert mirror_export(mirror, params=params, also=also).num_fetched == 0
    assert canonical(mirror, tmp_path / "one") == canonical(published / NAME / "parquet", tmp_path / "two")
    (published / NAME / "parquet" / "revision_history" / "0.parquet").unlink()
    with pytest.raises(TableError, match="revision_history: found no file"):
        mirror_export(tmp_path / "other", params=params, also=history.SOURCES)


def test_a_broken_connection_goes_on_where_it_stopped(published, serve, server, tmp_path):
    path = f"/{NAME}/parquet/content/0.parquet"
    server.break_after[path] = 100
    mirror_export(tmp_path / "mirror", params=Tables(remote=serve(published, server)))
    assert [found for asked, found in server.asked if asked == path] == ["bytes=0-", "bytes=100-"]


def test_a_killed_run_goes_on_where_it_stopped(published, serve, server, tmp_path):
    original = published / NAME / "parquet" / "content" / "0.parquet"
    partial = tmp_path / "mirror" / "content" / ".partial-0.parquet"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(original.read_bytes()[:77])
    mirror_export(tmp_path / "mirror", params=Tables(remote=serve(published, server)), tables=("content",))
    assert (f"/{NAME}/parquet/content/0.parquet", "bytes=77-") in server.asked
    assert pq.read_table(tmp_path / "mirror" / "content" / "0.parquet").num_rows == 1


def test_a_server_without_ranges_is_read_from_the_beginning(published, serve, tmp_path):
    original = published / NAME / "parquet" / "content" / "0.parquet"
    partial = tmp_path / "mirror" / "content" / ".partial-0.parquet"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(original.read_bytes()[:77])
    params = Tables(remote=serve(published, Plain), all_columns=True)
    mirror_export(tmp_path / "mirror", params=params, tables=("content",))
    assert (tmp_path / "mirror" / "content" / "0.parquet").read_bytes() == original.read_bytes()


def test_a_file_that_shrank_afterwards_is_fetched_again(published, serve, server, tmp_path):
    params = Tables(remote=serve(published, server))
    mirror_export(tmp_path / "mirror", params=params)
    (tmp_path / "mirror" / "content" / "0.parquet").write_bytes(b"PAR1")
    assert mirror_export(tmp_path / "mirror", params=params).num_fetched == 1


def test_a_damaged_file_is_an_error_and_is_not_kept(published, serve, server, tmp_path):
    (published / NAME / "parquet" / "content" / "0.parquet").write_bytes(b"x" * 1000)
    with pytest.raises(TableError, match=r"content/.*footer"):
        mirror_export(tmp_path / "mirror", params=Tables(remote=serve(published, server)))
    assert not (tmp_path / "mirror" / "content" / "0.parquet").exists()
    assert not list((tmp_path / "mirror" / "content").glob(".partial*"))


def test_a_server_that_always_breaks_is_an_error_that_says_how_to_go_on(published, serve, server, tmp_path):
    url = serve(published, server)
    server.break_after = type("Always", (dict,), {"pop": lambda self, path, full: 50 if "content/" in path else full})()
    with pytest.raises(TableError, match=r"2 tries failed(.|\n)*run again"):
        mirror_export(tmp_path / "mirror", params=Tables(remote=url, num_attempts=2))


def test_absent_exports_and_tables_are_errors(published, serve, server, tmp_path):
    url = serve(published, server)
    with pytest.raises(TableError, match="found nothing, expected a parquet/ or orc/"):
        mirror_export(tmp_path / "mirror", params=Tables(remote=url, dataset="2030-01-01"))
    shutil.rmtree(published / NAME / "parquet" / "content")
    with pytest.raises(TableError, match="expected the table 'content'"):
        mirror_export(tmp_path / "mirror", params=Tables(remote=url))
    with pytest.raises(TableError, match="can't be listed"):
        mirror_export(tmp_path / "mirror", params=Tables(remote="http://127.0.0.1:9"))


def test_the_disk_is_looked_at_first(published, serve, server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="found 100 bytes free"):
        mirror_export(tmp_path / "mirror", params=Tables(remote=serve(published, server)))
    assert not list((tmp_path / "mirror").rglob("*.parquet"))


@pytest.mark.parametrize("remote", [Tables().remote, "https://annex.softwareheritage.org/public/dataset/graph"])
def test_the_real_archive_is_not_asked_before_its_terms_are_accepted(remote, tmp_path):
    with pytest.raises(ConfigError, match=r"bulk-access-terms(.|\n)*accept_terms = true"):
        mirror_export(tmp_path / "mirror", params=Tables(remote=remote))
    assert not (tmp_path / "mirror").exists()
    check_terms(Tables(remote=remote, accept_terms=True))
    check_terms(Tables(s3_endpoint="http://127.0.0.1:9000"))


def test_a_remote_of_another_kind_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"\[tables\] remote"):
        mirror_export(tmp_path, params=Tables(remote="ftp://x"))


@pytest.mark.slow
@pytest.mark.parametrize(("tables", "suffix"), [(tables_2019, "parquet"), (tables_2021, "orc")])
def test_an_s3_server(tmp_path, tables, suffix):
    """moto's server speaks S3 over HTTP; the client is the one that the real bucket is read with."""
    export = write_export(tmp_path / "export", tables(), suffix=suffix)
    with s3_server("softwareheritage") as endpoint:
        for path in export.rglob("*.*"):
            key = f"graph/{suffix}-{NAME}/{suffix}/{path.relative_to(export).as_posix()}"
            put(endpoint, "softwareheritage", key, path.read_bytes())
        params = Tables(s3_endpoint=endpoint, dataset=f"{suffix}-{NAME}")
        mirror = mirror_export(tmp_path / "mirror", params=params)
        assert mirror.num_fetched == len(list(export.rglob(f"*.{suffix}")))
        assert mirror_export(tmp_path / "mirror", params=params).num_fetched == 0
        assert canonical(tmp_path / "mirror", tmp_path / "one") == canonical(export, tmp_path / "two")
        in_place = export_path(f"{params.remote}/{params.dataset}/{suffix}", params)
        assert canonical(in_place, tmp_path / "three") == canonical(export, tmp_path / "two")
        with pytest.raises(TableError, match="found no folder, expected one folder a table"):
            detect(export_path("s3://softwareheritage/nowhere", params))
