"""Writes docs/data.md from the code: every asset with its checks, configuration and columns. `make docs` runs it."""

import dataclasses
import sys
from collections.abc import Iterator
from typing import Any

from minicode_assets.config import ASSET_SECTIONS, Config
from minicode_assets.config.meanings import field_meanings
from minicode_assets.config.sources import SOURCE_SECTIONS
from minicode_assets.defs.stage import PARTITIONED, Stage
from minicode_model.config import is_operational

HEADER = """# Data: every artefact

Made from the code by `make docs`; a test holds the two together. One name everywhere: the heading below is the asset
key, the folder below the data folder, and the section of the configuration.
"""


def reference(stages: list[Stage]) -> str:
    """The page as Markdown."""
    parts = [HEADER]
    group = ""
    for stage in stages:
        if stage.group != group:
            group = stage.group
            parts.append(f"\n# Group {group}\n")
        parts.append("\n".join(_asset(stage)))
    parts.append("\n# Schedules, sensors, freshness\n\n" + "\n".join(_section("automation")))
    return "\n".join(parts).rstrip() + "\n"


def _asset(stage: Stage) -> Iterator[str]:
    yield f"## {stage.name}\n\n{stage.description}\n"
    yield f"Reads {', '.join(f'`{name}`' for name in stage.deps) or 'this machine'}. " + (
        "Partitioned by prefix of sha1_git.\n" if stage.name in PARTITIONED else "Whole.\n"
    )
    yield "Checks, each blocking:\n\n" + "\n".join(f"- `{name}`: {text}" for name, text in stage.checks.items()) + "\n"
    if stage.warnings:
        yield "Warnings:\n\n" + "\n".join(f"- `{name}`: {text}" for name, text in stage.warnings.items()) + "\n"
    for section in {**ASSET_SECTIONS, **SOURCE_SECTIONS}[stage.name]:
        yield from _section(section)
    if stage.table:
        yield "| column | type | meaning |\n| --- | --- | --- |"
        yield from (f"| `{c.name}` | {c.dtype} | {c.meaning} |" for c in stage.table.columns)
        yield ""


def _section(name: str) -> Iterator[str]:
    """A configuration section: key, default, and the text under the field in config/."""
    section: Any = getattr(Config(), name)
    meanings = field_meanings(type(section))
    yield f"Configuration `[{name}]`:\n\n| key | default | meaning |\n| --- | --- | --- |"
    for field in dataclasses.fields(section):
        default = getattr(section, field.name)
        shown = list(default) if isinstance(default, tuple) else default
        aside = " *Says how to run: moving it makes nothing stale.*" if is_operational(field) else ""
        yield f"| `{field.name}` | `{shown}` | {meanings[field.name]}{aside} |"
    yield ""


if __name__ == "__main__":
    from minicode_assets.definitions import ALL_STAGES

    sys.stdout.write(reference(ALL_STAGES))
