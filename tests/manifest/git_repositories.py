"""Git repositories of our own making, and what `git ls-tree -r` says about them."""

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}


def git(folder, *arguments, stdin=b""):
    """Standard output of a git command."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, check=True, env=ENVIRONMENT).stdout


def put(folder, **files):
    """Write files given as path (with `__` for a slash) to text, and commit everything."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_py", ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "--allow-empty", "-m", "change")


def initialised(folder, branch):
    git(folder.parent, "init", "-q", f"--initial-branch={branch}", folder)
    return folder


def merged(folder):
    """Default branch neither main nor master; renames, a merge, an octopus merge, tags of tags, an empty tree."""
    initialised(folder, "trunk")
    put(folder, src__app_py="a = 1\n", LICENSE="MIT\n")
    for number in range(3):
        git(folder, "checkout", "-q", "-b", f"topic{number}", "trunk")
        put(folder, **{f"src__topic{number}_py": f"n = {number}\n"})
    git(folder, "checkout", "-q", "trunk")
    git(folder, "mv", "src/app.py", "src/renamed.py")
    put(folder, doc__readme="hello\n")
    git(folder, "merge", "-q", "--no-edit", "topic0")
    git(folder, "merge", "-q", "--no-edit", "topic1", "topic2")
    git(folder, "tag", "-a", "-m", "one", "v1", "topic0")
    git(folder, "tag", "-a", "-m", "a tag of a tag", "v1-again", "v1")
    empty = git(folder, "commit-tree", "-m", "nothing", git(folder, "mktree").decode().strip()).decode().strip()
    git(folder, "branch", "empty", empty)
    return folder


def odd(folder):
    """Names and modes that tools forget: bytes, cases, symlinks, executables, submodules, git's sort order."""
    initialised(folder, "main")
    names = (
        b"caf\xe9.py",
        b"new\nline.py",
        b"\xc3\xa9.py",
        b"a.b",
        b"a-b",
        b"a/inner.py",
        b"a0",
        b"Readme",
        b"readme/x",
        b"a/readme",
    )
    for name in names:
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name)
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link.py").symlink_to("a/inner.py")
    (folder / "module").mkdir()
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{'ab' * 20},module")
    put(folder, deep__er__and__deeper__still_py="x\n", vendor__lib__code_py="y\n")
    return folder


def listed(folder, revision):
    """(path, perms, sha1_git) of `git ls-tree -r`, in its order, without submodules."""
    found = []
    for line in git(folder, "ls-tree", "-r", "-z", "--full-tree", revision).split(b"\0")[:-1]:
        about, path = line.split(b"\t", 1)
        mode, kind, target = about.split()
        if kind == b"blob":
            found.append((path, int(mode, 8), bytes.fromhex(target.decode())))
    return found
