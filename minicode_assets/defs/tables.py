"""Group tables: the embedded archive, and one asset a canonical Software Heritage table."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from minicode_assets.archive.build import build_archive
from minicode_assets.config import TABLES
from minicode_assets.defs.limits import MAY_PASS, NETWORK
from minicode_assets.defs.pictures import rows_table
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.manifest.checks import check_table
from minicode_assets.schemas import CANONICAL
from minicode_assets.tables.download import mirror_export
from minicode_assets.tables.normalise import normalise_table
from minicode_assets.tables.places import export_path
from minicode_assets.tables.read import Source
from minicode_model.artifact import open_artifact


def archive(run: StageRun) -> Outcome:
    """Archive what is installed on this machine."""
    artifact = build_archive(run.folder, params=run.config.archive, config_digest=run.config_digest)
    figures = artifact.metadata
    skipped = len(figures["skipped"])
    taken = sum(origin["files"] for origin in figures["origins"])
    origins = [(o["url"], o["kind"], o["files"], o["python_bytes"]) for o in figures["origins"]]
    return Outcome(
        artifact,
        {"reads_most_files": (skipped <= 0.01 * (taken + skipped), {"skipped": skipped, "taken": taken})},
        {"origins": rows_table(["origin", "kind", "files", "bytes of Python"], origins)},
    )


def export_of(run: StageRun, also: Mapping[str, Source] = MappingProxyType({})) -> tuple[Any, dict[str, str]]:
    """Where the export lies, and its digest; a published one is mirrored first, with what is wanted `also`."""
    params = run.config.tables
    if params.export == "embedded":
        return run.layout.export, {"archive": open_artifact(run.layout.asset("archive"), verify=False).digest}
    if params.export == "published":
        return mirror_export(run.layout.mirror(params.dataset), params=params, also=also).export, {}
    return export_path(params.export, params), {}


def table(run: StageRun) -> Outcome:
    """Normalise one table of the export."""
    name = run.name.removeprefix("swh_")
    export, inputs = export_of(run)
    artifact = normalise_table(export, name, run.folder, config_digest=run.config_digest, inputs=inputs)
    num_rows = artifact.metadata["num_rows"]
    required = name not in ("release", "skipped_content")
    return Outcome(artifact, {"has_rows": (num_rows > 0 or not required, {"rows": num_rows}), **check_table(artifact)})


STAGES = [
    Stage(
        name="archive",
        group="archive",
        compute=archive,
        deps=(),
        description="A small, real Software Heritage: the graph tables of an export and its content bucket, made of "
        "the Python standard library, the installed distributions and local git repositories. Every id is git's.",
        checks={"reads_most_files": "At most 1 % of the files found were unreadable."},
        kinds=("python", "git"),
    ),
    *[
        Stage(
            name=f"swh_{name}",
            group="tables",
            compute=table,
            deps=("archive",),
            description=f"The export's `{name}` table in canonical form, whatever generation the export is of.",
            checks={
                "has_rows": "The table has rows, where an export can't do without.",
                "within_declared_size": "No more rows than the footers of the export's files declare.",
            },
            table=CANONICAL[name],
            kinds=("polars",),
            pool=NETWORK,
            retry_policy=MAY_PASS,
        )
        for name in TABLES
    ],
]
