"""A git repository with everything odd that git allows, made by git itself."""

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_AUTHOR_DATE": "1700000000 +0530",
    "GIT_COMMITTER_NAME": "Bob",
    "GIT_COMMITTER_EMAIL": "bob@example.org",
    "GIT_COMMITTER_DATE": "1700000100 -0730",
}


def run_git(folder, *arguments, stdin=b""):
    """Standard output of one git command, stripped."""
    return subprocess.run(
        ["git", *arguments], cwd=folder, input=stdin, capture_output=True, check=True, env=ENVIRONMENT
    ).stdout.rstrip(b"\n")


def commit(folder, name, content, message):
    """Write one file and commit everything; returns the commit's id (hex)."""
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    run_git(folder, "add", "--all")
    run_git(folder, "commit", "--quiet", "--message", message)
    return run_git(folder, "rev-parse", "HEAD").decode()


def make_odd_repository(folder):
    """A work tree whose history has all that git allows and most tools forget."""
    run_git(folder.parent, "init", "--quiet", "--initial-branch=trunk", folder)
    first = commit(folder, b"src/app.py", b"print('one')\n", "first")
    _odd_files(folder)
    second = commit(folder, b"Readme", b"file\n", "odd files")
    run_git(folder, "mv", "src/app.py", "src/renamed.py")
    commit(folder, b"src/other.py", b"x = 1\n", "rename")
    for number in range(3):
        run_git(folder, "checkout", "--quiet", "-b", f"topic{number}", first)
        commit(folder, f"topic{number}.py".encode(), b"n = %d\n" % number, f"topic {number}")
    run_git(folder, "checkout", "--quiet", "trunk")
    run_git(folder, "merge", "--quiet", "--no-edit", "topic0")
    run_git(folder, "merge", "--quiet", "--no-edit", "topic1", "topic2")  # octopus: three parents
    _odd_refs(folder, second)
    _odd_objects(folder)


def _odd_files(folder):
    (folder / "readme").mkdir()
    (folder / "readme" / "lower.py").write_bytes(b"pass\n")  # a folder that differs from a file by case only
    (folder / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/app.py")
    (folder / "broken").symlink_to("nowhere")
    for name in (b"caf\xe9.py", b"new\nline.py", b"\xc3\xa9.py", b"a.b", b"a-b", b"a/inner.py"):
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"# " + name.replace(b"\n", b" ") + b"\n")
    (folder / "empty.py").write_bytes(b"")
    (folder / "large.bin").write_bytes(bytes(range(256)) * 80)
    (folder / "vendored").mkdir()  # an empty folder, else `git add` takes the submodule for deleted
    run_git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'ab' * 20},vendored")


def _odd_refs(folder, second):
    run_git(folder, "tag", "light", second)
    run_git(folder, "tag", "--annotate", "--message", "v1", "v1", second)
    run_git(folder, "tag", "--annotate", "--message", "tag of a tag", "nested", "v1")
    run_git(folder, "tag", "--annotate", "--message", "a tree", "treetag", f"{second}^{{tree}}")
    run_git(folder, "tag", "blobtag", f"{second}:Readme")
    run_git(folder, "update-ref", b"refs/heads/latin-\xe9", second)
    run_git(folder, "symbolic-ref", "refs/heads/alias", "refs/heads/trunk")
    run_git(folder, "symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/gone")  # git ignores it


def _odd_objects(folder):
    tree = run_git(folder, "mktree").decode()
    empty = run_git(folder, "commit-tree", "-m", "empty tree", tree).decode()
    run_git(folder, "update-ref", "refs/heads/empty", empty)
    raw = (
        f"tree {tree}\nparent {empty}\nauthor  <> 0 +0000\ncommitter B <b@x> 99999999999999 +0000\n"
        "encoding latin-1\ngpgsig -----BEGIN-----\n author not a header\n -----END-----\n\ncaf\u00e9"
    ).encode("latin-1")
    odd = run_git(folder, "hash-object", "-w", "-t", "commit", "--literally", "--stdin", stdin=raw).decode()
    run_git(folder, "update-ref", "refs/heads/odd-commit", odd)
    old_mode = b"100664 old.py\0" + bytes.fromhex(run_git(folder, "hash-object", "src/other.py").decode())
    old = run_git(folder, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=old_mode).decode()
    run_git(folder, "update-ref", "refs/misc/old-mode", old)
    run_git(folder, "hash-object", "-w", "--stdin", stdin=b"no ref reaches this")
