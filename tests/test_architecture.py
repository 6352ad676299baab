"""The house rules that a machine can check: who may import whom, and what must not load early."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "lightning", "transformers", "matplotlib"}
TORCH_FREE = {"config", "ranges", "errors", "artifact", "tokenizer", "fim", "tensors", "shards"}
STAGES = ["archive", "tables", "manifest", "blobs", "sources", "corpus", "tokens"]
"""Flow order of the library's folders: a folder imports from itself and from those before it."""
BANNED_NAMES = {"utils", "helpers", "common", "manager", "process", "data", "info", "handle"}


def modules() -> list[Path]:
    return sorted(p for package in ("minicode_assets", "minicode_model") for p in (ROOT / package).rglob("*.py"))


def imports(path: Path, *, module_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if module_level else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_module_obeys_the_house(path: Path) -> None:
    name, found = name_of(path), imports(path)
    roots = {module.split(".")[0] for module in found}
    edge = name.startswith("minicode_assets/defs/") or name == "minicode_assets/definitions.py"
    assert edge or "dagster" not in roots, "only defs/ and definitions.py import dagster"
    if name.startswith("minicode_model/"):
        assert "minicode_assets" not in roots, "minicode_model never imports minicode_assets"
    else:
        assert not HEAVY & {m.split(".")[0] for m in imports(path, module_level=True)}, "heavy import when loading"
    assert path.stem not in BANNED_NAMES
    assert "__future__" not in roots
    assert len(path.read_text().splitlines()) <= 400, "a module past 400 lines is two modules"


@pytest.mark.parametrize("path", [p for p in modules() if "minicode_assets" in name_of(p)], ids=name_of)
def test_imports_point_upstream(path: Path) -> None:
    parts = path.relative_to(ROOT).parts
    if parts[1] not in STAGES:
        return
    later = STAGES[STAGES.index(parts[1]) + 1 :]
    for module in imports(path):
        pieces = module.split(".")
        assert not (pieces[0] == "minicode_assets" and len(pieces) > 1 and pieces[1] in later), f"imports {module}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_curation_needs_no_torch(path: Path) -> None:
    if not name_of(path).startswith("minicode_assets/"):
        return
    for module in imports(path, module_level=True):
        pieces = module.split(".")
        if pieces[0] == "minicode_model" and len(pieces) > 1:
            torch_free = pieces[1] in TORCH_FREE or pieces[1:3] == ["evaluation", "problems"]
            assert torch_free, f"imports {module} when loading"


def test_definitions_load_without_heavy_imports() -> None:
    code = f"import sys, minicode_assets.definitions; print(sorted(set({sorted(HEAVY)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_readme_tree_is_true() -> None:
    tree = (ROOT / "README.md").read_text().split("## The tree", 1)[1].split("```")[1]
    listed = [line.split()[0] for line in tree.splitlines() if line and not line.startswith(" ")]
    missing = [name for name in listed if not (ROOT / name).exists()]
    assert not missing
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    tops = {name.split("/")[0] for name in tracked.splitlines()} - {".gitignore"}
    assert {name.split("/")[0] for name in listed} >= {top for top in tops if not top.startswith(".")}


def test_names_of_test_files_are_unique() -> None:
    """Without packages pytest imports them by their names alone."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
