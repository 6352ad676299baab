"""Documentation under test: links lead somewhere, commands exist, configuration examples resolve."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from minicode_assets.cli import build_parser
from minicode_assets.config import resolve
from minicode_assets.definitions import ALL_STAGES
from minicode_assets.defs.reference import field_meanings, reference

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_data_reference_is_current() -> None:
    assert (ROOT / "docs" / "data.md").read_text() == reference(ALL_STAGES), "run `make docs`"


def test_every_configuration_field_has_a_meaning() -> None:
    from minicode_assets.config import Config

    for name, section in vars(Config()).items():
        if name not in ("preset", "curation", "phases"):
            assert set(field_meanings(type(section))) == set(vars(section)), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"(?:`|^)make ([a-z-]+)(?=[`\s])", text, re.MULTILINE):
        assert target in targets, f"make {target}"
    known = set(build_parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr, arg-type]
    for command in re.findall(r"(?:`|/bin/|^)minicode ([a-z]+)", text, re.MULTILINE):
        assert command in known, f"minicode {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configuration_examples_resolve(page: Path) -> None:
    for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL):
        example = tomllib.loads(block)
        if "tables" in example:
            assert "content_folder" in example["blobs"]
        resolve(example, preset="tiny")


def test_help_lists_every_target() -> None:
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert all(f"make {target} " in text for target in phony[1].split())
