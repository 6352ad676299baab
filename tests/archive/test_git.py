"""git is the oracle: every id, tree, parent and ref of an odd repository equals what git itself says."""

import gzip
import hashlib
import os
import shutil
import subprocess
import zlib

import pytest
from repositories import commit, run_git

from minicode_assets.archive.git import add_repository, open_repository, origin_url, repository_state
from minicode_assets.archive.graph import Graph, measure_tree
from minicode_assets.errors import ArchiveError
from minicode_assets.swhid import Branch, object_id, snapshot_body, tree_entries

NO_LIMIT = 10**9


def objects_of(folder):
    """What git says is reachable: id (hex) to kind."""
    listed = run_git(folder, "rev-list", "--objects", "--no-object-names", "--all")
    checked = run_git(folder, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=listed + b"\n")
    return dict(line.split() for line in checked.decode().splitlines())


def ids(objects):
    return {identifier.hex() for identifier in objects}


def of_kind(objects, kind):
    return {identifier for identifier, found in objects.items() if found == kind}


@pytest.fixture
def odd(graph, odd_repository):
    add_repository(graph, odd_repository, max_bytes=NO_LIMIT)
    return graph


def test_every_object_id_is_git_s(odd, odd_repository):
    expected = objects_of(odd_repository)
    assert ids(odd.contents) | ids(odd.skipped_contents) == of_kind(expected, "blob")
    assert ids(odd.directories) == of_kind(expected, "tree")
    assert ids(odd.revisions) == of_kind(expected, "commit")
    assert ids(odd.releases) == of_kind(expected, "tag")
    assert [len(of_kind(expected, kind)) > 2 for kind in ("blob", "tree", "commit", "tag")] == [True] * 4


def test_stored_contents_are_gzip_of_git_s_blobs_named_by_sha1(odd, odd_repository):
    names = {path.name for path in odd.content_folder.iterdir()}
    assert names == {content.sha1.hex() for content in odd.contents.values()}
    for identifier, content in odd.contents.items():
        blob = gzip.decompress((odd.content_folder / content.sha1.hex()).read_bytes())
        assert blob == subprocess_blob(odd_repository, identifier)
        assert hashlib.sha1(blob).digest() == content.sha1
        assert hashlib.sha256(blob).digest() == content.sha256
        assert hashlib.blake2s(blob).digest() == content.blake2s256
        assert len(blob) == content.length


def subprocess_blob(folder, identifier):
    return subprocess.run(
        ["git", "cat-file", "blob", identifier.hex()], cwd=folder, capture_output=True, check=True
    ).stdout


def test_a_long_content_is_listed_and_not_stored(odd, odd_repository):
    identifier = run_git(odd_repository, "rev-parse", "trunk:large.bin").decode()
    assert ids(odd.skipped_contents) == {identifier}
    content = odd.skipped_contents[bytes.fromhex(identifier)]
    assert content.sha1 == hashlib.sha1(bytes(range(256)) * 80).digest()
    assert not (odd.content_folder / content.sha1.hex()).exists()


def test_tree_entries_are_those_of_git_ls_tree(odd, odd_repository):
    for identifier, body in odd.directories.items():
        listed = run_git(odd_repository, "ls-tree", "-z", identifier.hex())
        expected = []
        for line in listed.split(b"\0")[:-1]:
            fields, name = line.split(b"\t", 1)
            mode, _, target = fields.split(b" ")
            # ls-tree shows the group-writable files of old histories as plain ones; the id covers what is stored
            stored = 0o100664 if name == b"old.py" else int(mode, 8)
            expected.append((stored, name, target.decode()))
        assert [(entry.mode, entry.name, entry.target.hex()) for entry in tree_entries(body)] == expected


def test_revisions_are_those_of_git_log(odd, odd_repository):
    log = run_git(odd_repository, "log", "--all", "--format=%H|%T|%P|%at|%ct|%an <%ae>", "--no-show-signature")
    checked = 0
    for line in log.decode("latin-1").splitlines():
        identifier, tree, parents, author_time, committer_time, author = line.split("|")
        revision = odd.revisions[bytes.fromhex(identifier)]
        assert revision.directory.hex() == tree
        assert [parent.hex() for parent in revision.parents] == parents.split()
        if author.startswith("Ada"):
            assert (revision.author.seconds, revision.committer.seconds) == (int(author_time), int(committer_time))
            assert (revision.author.offset_minutes, revision.committer.offset_minutes) == (330, -450)
            assert revision.author.person == author.encode()
            checked += 1
    assert checked >= 8
    assert sorted(len(revision.parents) for revision in odd.revisions.values())[-1] == 3


def test_a_commit_with_a_signature_and_a_date_beyond_all_calendars(odd, odd_repository):
    revision = odd.revisions[bytes.fromhex(run_git(odd_repository, "rev-parse", "odd-commit").decode())]
    assert revision.message == b"caf\xe9"
    assert revision.committer == (b"B <b@x>", None, 0)
    assert len(revision.parents) == 1


def test_releases(odd, odd_repository):
    found = {release.name: release for release in odd.releases.values()}
    inner = bytes.fromhex(run_git(odd_repository, "rev-parse", "refs/tags/v1").decode())
    assert set(found) == {b"v1", b"nested", b"treetag"}
    assert (found[b"nested"].target, found[b"nested"].target_type) == (inner, "release")
    assert found[b"v1"].target_type == "revision"
    assert found[b"treetag"].target_type == "directory"
    assert found[b"v1"].message == b"v1\n"
    assert found[b"v1"].tagger == (b"Bob <bob@example.org>", 1700000100, -450)


def test_the_snapshot_is_git_s_refs_and_its_id_that_of_the_manifest(odd, odd_repository):
    kinds = {"commit": "revision", "tag": "release", "tree": "directory", "blob": "content"}
    expected = {
        b"HEAD": Branch("alias", b"refs/heads/trunk"),
        b"refs/heads/alias": Branch("alias", b"refs/heads/trunk"),
    }
    for line in run_git(odd_repository, "show-ref").splitlines():
        identifier, name = line.split(b" ", 1)
        kind = run_git(odd_repository, "cat-file", "-t", identifier.decode()).decode()
        expected.setdefault(name, Branch(kinds[kind], bytes.fromhex(identifier.decode())))
    (origin,) = odd.origins
    assert odd.snapshots[origin.snapshot] == expected
    assert origin.snapshot == object_id("snapshot", snapshot_body(expected))
    assert b"refs/heads/latin-\xe9" in expected


def test_figures_of_the_head(odd, odd_repository):
    (origin,) = odd.origins
    listed = run_git(odd_repository, "ls-tree", "-r", "-l", "-z", "HEAD").split(b"\0")[:-1]
    files = [line for line in listed if b" commit " not in line.split(b"\t")[0]]
    python = sum(int(line.split(b"\t")[0].split()[3]) for line in files if line.endswith(b".py"))
    assert measure_tree(odd, origin.root) == (len(files), python)


def test_a_bare_mirror_and_a_linked_work_tree_give_the_same_snapshot(graph, odd, odd_repository, tmp_path):
    snapshot = odd.origins[0].snapshot
    run_git(tmp_path, "clone", "--quiet", "--mirror", odd_repository, "mirror.git")
    mirror = open_repository(tmp_path / "mirror.git")
    # clone --mirror resolves symbolic refs other than HEAD
    resolved = {**mirror.branches, b"refs/heads/alias": Branch("alias", b"refs/heads/trunk")}
    assert object_id("snapshot", snapshot_body(resolved)) == snapshot
    shutil.copytree(odd_repository, tmp_path / "odd", symlinks=True)
    run_git(tmp_path / "odd", "worktree", "add", "--quiet", "--detach", tmp_path / "linked", "trunk~1")
    linked = open_repository(tmp_path / "linked")
    detached = bytes.fromhex(run_git(odd_repository, "rev-parse", "trunk~1").decode())
    assert linked.branches[b"HEAD"] == Branch("revision", detached)


def test_packing_changes_nothing(odd, odd_repository, tmp_path):
    shutil.copytree(odd_repository, tmp_path / "odd", symlinks=True)
    run_git(tmp_path / "odd", "gc", "--quiet", "--aggressive", "--prune=now")
    (tmp_path / "packed").mkdir()
    packed = Graph(tmp_path / "packed", 10_000, 1)
    add_repository(packed, tmp_path / "odd", max_bytes=NO_LIMIT)
    assert packed.directories == odd.directories
    assert packed.revisions == odd.revisions
    assert packed.contents == odd.contents
    assert packed.origins == odd.origins


def test_a_detached_head_that_no_branch_reaches(graph, tmp_path):
    run_git(tmp_path, "init", "--quiet", "r")
    commit(tmp_path / "r", b"a.py", b"1\n", "one")
    run_git(tmp_path / "r", "checkout", "--quiet", "--detach")
    head = commit(tmp_path / "r", b"b.py", b"2\n", "two")
    add_repository(graph, tmp_path / "r", max_bytes=NO_LIMIT)
    assert head in ids(graph.revisions)
    assert graph.snapshots[graph.origins[0].snapshot][b"HEAD"] == Branch("revision", bytes.fromhex(head))


def test_a_repository_without_commits_is_an_empty_snapshot(graph, tmp_path):
    run_git(tmp_path, "init", "--quiet", "r")
    add_repository(graph, tmp_path / "r", max_bytes=NO_LIMIT)
    assert graph.origins[0].snapshot.hex() == "1a8893e6a86f444e8be8e7bda6cb34fb1735a00e"


def test_git_variables_of_a_calling_hook_are_not_obeyed(graph, odd_repository, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "elsewhere"))
    add_repository(graph, odd_repository, max_bytes=NO_LIMIT)
    assert graph.revisions


def test_replaced_and_grafted_commits_are_read_as_they_were_made(graph, small):
    head = run_git(small, "rev-parse", "HEAD").decode()
    other = run_git(small, "commit-tree", "-m", "another history", "HEAD^{tree}").decode()
    run_git(small, "replace", head, other)
    (small / ".git/info").mkdir(exist_ok=True)
    (small / ".git/info/grafts").write_text(f"{head}\n")  # says: HEAD has no parent
    add_repository(graph, small, max_bytes=NO_LIMIT)
    revision = graph.revisions[bytes.fromhex(head)]
    assert (revision.message, len(revision.parents)) == (b"two\n", 1)
    assert set(revision.parents) <= set(graph.revisions)


def test_state_changes_with_a_ref(odd_repository, tmp_path):
    shutil.copytree(odd_repository, tmp_path / "odd", symlinks=True)
    before = repository_state(tmp_path / "odd")
    assert before == repository_state(odd_repository)
    run_git(tmp_path / "odd", "update-ref", "refs/heads/new", "trunk")
    assert repository_state(tmp_path / "odd") != before


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        (None, "file:///project"),
        ("https://forge.example/a/b.git", "https://forge.example/a/b.git"),
        ("https://me:ghp_secret@forge.example/a/b", "https://forge.example/a/b"),
        ("https://ghp_secret@forge.example/a/b?token=x#y", "https://forge.example/a/b"),
        ("ssh://git:pw@forge.example:22/a/b", "ssh://git@forge.example:22/a/b"),
        ("git@forge.example:a/b.git", "git@forge.example:a/b.git"),
        ("/home/me/other.git", "file:///other"),
        ("../other/.git", "file:///other"),
        ("file:///home/me/other", "file:///other"),
    ],
)
def test_origin_url_tells_neither_secrets_nor_paths(tmp_path, remote, expected):
    assert origin_url(tmp_path / "project", remote) == expected


def test_origin_url_of_a_bare_repository_with_an_odd_name(tmp_path):
    assert origin_url(tmp_path / os.fsdecode(b"my caf\xe9.git"), None) == "file:///my%20caf%E9"


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "small"
    run_git(tmp_path, "init", "--quiet", "--initial-branch=trunk", folder)
    commit(folder, b"a.py", b"a = 1\n", "one")
    commit(folder, b"b/c.py", b"c = 1\n", "two")
    return folder


def loose_object(folder, name):
    identifier = run_git(folder, "rev-parse", name).decode()
    path = folder / ".git" / "objects" / identifier[:2] / identifier[2:]
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("name", ["HEAD", "HEAD~1", "HEAD^{tree}", "HEAD:b", "HEAD:b/c.py"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "garbage", "other content"])
def test_damaged_objects_name_the_repository(graph, small, name, damage):
    path = loose_object(small, name)
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "garbage":
        path.write_bytes(b"\0" * 50)
    else:
        path.write_bytes(zlib.compress(b"blob 9\0other = 1"))
    with pytest.raises(ArchiveError, match="small: git can't read the repository") as caught:
        add_repository(graph, small, max_bytes=NO_LIMIT)
    assert "fsck" in caught.value.hint
    assert not graph.origins


def test_a_blob_whose_bytes_do_not_match_its_id(graph, small):
    path = loose_object(small, "HEAD:b/c.py")
    path.write_bytes(zlib.compress(b"blob 6\0c = 2\n"))
    with pytest.raises(ArchiveError, match=r"small: git can't read.*hash"):
        add_repository(graph, small, max_bytes=NO_LIMIT)


def test_a_truncated_pack(graph, small):
    run_git(small, "gc", "--quiet")
    (pack,) = (small / ".git/objects/pack").glob("*.pack")
    pack.chmod(0o644)
    pack.write_bytes(pack.read_bytes()[:-60])
    with pytest.raises(ArchiveError, match="small: git can't read"):
        add_repository(graph, small, max_bytes=NO_LIMIT)


@pytest.mark.parametrize("target", ["ab" * 20, "00" * 20, "nonsense"])
def test_a_ref_to_nowhere(graph, small, target):
    (small / ".git/refs/heads/bad").write_text(f"{target}\n")
    with pytest.raises(ArchiveError, match="small: git can't read"):
        add_repository(graph, small, max_bytes=NO_LIMIT)


def test_a_shallow_clone(graph, small, tmp_path):
    run_git(tmp_path, "clone", "--quiet", "--depth=1", small.as_uri(), "shallow")
    with pytest.raises(ArchiveError, match="shallow") as caught:
        add_repository(graph, tmp_path / "shallow", max_bytes=NO_LIMIT)
    assert "--unshallow" in caught.value.hint


def test_a_partial_clone(graph, small, tmp_path):
    run_git(small, "config", "uploadpack.allowFilter", "true")
    run_git(tmp_path, "clone", "--quiet", "--bare", "--filter=blob:none", small.as_uri(), "partial")
    with pytest.raises(ArchiveError, match="partial clone"):
        add_repository(graph, tmp_path / "partial", max_bytes=NO_LIMIT)


def test_sha256_ids(graph, tmp_path):
    run_git(tmp_path, "init", "--quiet", "--object-format=sha256", "r")
    with pytest.raises(ArchiveError, match="object format found sha256"):
        add_repository(graph, tmp_path / "r", max_bytes=NO_LIMIT)


def test_too_large(graph, small):
    with pytest.raises(ArchiveError, match="small: objects exceed 100 bytes") as caught:
        add_repository(graph, small, max_bytes=100)
    assert "max_repository_bytes" in caught.value.hint


@pytest.mark.parametrize("kind", ["absent", "a folder", "a file"])
def test_no_repository(graph, tmp_path, kind):
    path = tmp_path / "thing"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a file":
        path.write_text("x")
    with pytest.raises(ArchiveError, match="expected a git repository"):
        add_repository(graph, path, max_bytes=NO_LIMIT)


def test_two_repositories_with_one_origin_url(graph, small, tmp_path):
    add_repository(graph, small, max_bytes=NO_LIMIT)
    shutil.copytree(small, tmp_path / "elsewhere" / "small")
    with pytest.raises(ArchiveError, match=r"origin file:///small: found twice"):
        add_repository(graph, tmp_path / "elsewhere" / "small", max_bytes=NO_LIMIT)
