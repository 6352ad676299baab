"""The manifest as a plain recursion gives it: slow, short, and the oracle of the walk."""

import stat

from canonical import DIRECTORY, SUBMODULE

EMPTY = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")


def form(entry):
    """dir, rev or file by mode, else by type."""
    mode = stat.S_IFMT(entry["perms"] or 0)
    if mode == DIRECTORY or (mode == 0 and entry["type"] == "dir"):
        return "dir"
    return "rev" if mode == SUBMODULE or (mode == 0 and entry["type"] == "rev") else "file"


def valid_entries(directories, entries, directory):
    """Entries of a directory that a work tree can hold; of two of one name, the one with the lower target and mode."""
    listed = [entries[number] for number in directories[directory] if number in entries]
    named = [e for e in listed if e["name"] not in (b"", b".", b"..") and b"/" not in e["name"]]
    first = {}
    for entry in sorted(named, key=lambda e: (e["target"], e["perms"] or 0, form(e))):
        first.setdefault((entry["name"], form(entry) == "dir"), entry)
    return list(first.values())


def reachable(directories, entries, start):
    """Directories below a directory, itself included only if it contains itself."""
    seen, pending = set(), [start]
    while pending:
        for entry in valid_entries(directories, entries, pending.pop()):
            if form(entry) == "dir" and entry["target"] in directories and entry["target"] not in seen:
                seen.add(entry["target"])
                pending.append(entry["target"])
    return seen


def files_below(directories, entries, root, max_depth, path=b"", depth=0):
    """(path, perms, sha1_git) of every file, unsorted."""
    for entry in valid_entries(directories, entries, root):
        kind, target = form(entry), entry["target"]
        if kind == "file":
            yield path + entry["name"], entry["perms"] or 0, target
        elif kind == "dir" and target in directories and depth < max_depth:
            cyclic = target == root or root in reachable(directories, entries, target)
            if not cyclic:
                yield from files_below(directories, entries, target, max_depth, path + entry["name"] + b"/", depth + 1)
