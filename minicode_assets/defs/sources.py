"""Sources of text beside the archive's Python files: each a group, switched on by its section."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Any

from minicode_assets.blobs.opt_out import load_opt_out
from minicode_assets.config import Config
from minicode_assets.config.hub import HUB_SECTIONS, HubDataset, HubSections
from minicode_assets.config.meanings import field_meanings
from minicode_assets.config.sources import reads_manifest
from minicode_assets.corpus.annotate.license_files import detect
from minicode_assets.defs.blobs import source_of
from minicode_assets.defs.fingerprints import FINGERPRINTS
from minicode_assets.defs.pictures import rows_table
from minicode_assets.defs.settings import project_folder
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.defs.tables import export_of
from minicode_assets.layout import partition_keys
from minicode_assets.schemas import CONVERSATION_EVENTS
from minicode_assets.sources import commits as commit_source
from minicode_assets.sources import documentation as documentation_source
from minicode_assets.sources import history as history_source
from minicode_assets.sources import hub
from minicode_assets.sources import markup as markup_source
from minicode_assets.sources import notebooks as notebook_source
from minicode_assets.sources.clones import Clones
from minicode_assets.sources.document import Document, write_documents
from minicode_assets.sources.files import Licensing
from minicode_assets.sources.gharchive import collect_day
from minicode_assets.sources.harvest import Harvest, seal_harvest, with_contents
from minicode_assets.sources.hub_maps import MAPPINGS
from minicode_assets.sources.issues import read_issues
from minicode_assets.sources.manifest_files import Manifest, manifest_files
from minicode_assets.sources.pull_requests import num_pulls, read_pull_requests
from minicode_assets.sources.threads import read_threads
from minicode_model.artifact import Artifact, open_artifact

HUB_TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105
"""Environment variable with the hub's token; it is passed on and never stored."""


def licensing(config: Config) -> Licensing:
    """How licence files and package metadata are understood: as those of the archive."""
    return lambda content: detect(content, params=config.license_files)[0]


def notebooks(run: StageRun) -> Outcome:
    """Read the notebooks of this machine."""
    params = run.config.notebooks
    files = notebook_source.local_notebooks(params, checkout=project_folder(), licensing=licensing(run.config))
    if params.manifest:
        files = chain(files, notebook_source.manifest_notebooks(manifest_of(run)))
    return local_outcome(run, notebook_source.read_notebooks(files, params))


def documentation(run: StageRun) -> Outcome:
    """Read the documentation of this machine."""
    params = run.config.documentation
    documents = documentation_source.read_documentation(params, licensing=licensing(run.config))
    if params.manifest:
        documents = chain(documents, documentation_source.read_manifest(manifest_of(run), params))
    return local_outcome(run, documents)


def markup(run: StageRun) -> Outcome:
    """Read data formats and markup of the manifest."""
    params, manifest = run.config.markup, manifest_of(run)
    files = manifest_files(manifest, markup_source.suffixes(params), lambda path: True)
    return source_outcome(run, markup_source.read_markup(files, params), inputs=manifest.inputs(), may_be_empty=True)


def manifest_of(run: StageRun) -> Manifest:
    """The artefacts that files of the manifest are read from."""
    return Manifest(run.layout.asset("file_manifest"), run.partitions("blobs"), run.layout.asset("opt_out"))


def commits(run: StageRun) -> Outcome:
    """Read the commits of local repositories."""
    documents = commit_source.read_commits(
        run.config.commits, checkout=project_folder(), licensing=licensing(run.config)
    )
    if not run.config.commits.history:
        return local_outcome(run, documents)
    tables = {name: run.layout.asset(name) for name in history_source.INPUTS}
    inputs = {name: open_artifact(folder).digest for name, folder in tables.items()}
    export, digests = export_of(run, history_source.SOURCES)
    past = history_source.read_history(
        export, tables, source_of(run), run.config.commits, wishes=load_opt_out(tables["opt_out"]),
        scratch=run.layout.work / run.name,
    )  # fmt: skip
    return local_outcome(run, chain(documents, past), inputs={**inputs, **digests})


def gharchive(run: StageRun) -> Outcome:
    """Collect one day of GitHub's events."""
    artifact = collect_day(
        run.folder, date.fromisoformat(run.partition), work=run.layout.work / run.name / run.partition,
        params=run.config.gharchive, config_digest=run.config_digest,
    )  # fmt: skip
    figures = {name: artifact.metadata[name] for name in ("missing_hours", "skipped")}
    skipped = sum(figures["skipped"].values())
    return Outcome(
        artifact,
        {"mostly_events": (skipped <= 0.01 * (artifact.metadata["num_rows"] + skipped), figures)},
        {"events": rows_table(["type", "events"], list(artifact.metadata["events_by_type"].items()))},
    )


def issues(run: StageRun) -> Outcome:
    """Put the events of all days together to issues."""
    days = run.partitions("gharchive")
    threads = read_threads(days, run.config.issues)
    found = read_issues(threads, run.config.issues, users=load_opt_out(run.layout.asset("opt_out")).users)
    return source_outcome(run, found, inputs=conversation_inputs(run), may_be_empty=False)


def conversation_inputs(run: StageRun) -> dict[str, str]:
    """Digests of what conversations are made of."""
    days = {f"gharchive/{day.name}": open_artifact(day, verify=False).digest for day in run.partitions("gharchive")}
    return {**days, "opt_out": open_artifact(run.layout.asset("opt_out")).digest}


def pull_requests(run: StageRun) -> Outcome:
    """Put the events of all days together to pull requests, with their files from local clones."""
    days, params = run.partitions("gharchive"), run.config.pull_requests
    users = load_opt_out(run.layout.asset("opt_out")).users
    before = FINGERPRINTS[run.name](run.config)
    found = read_pull_requests(
        read_threads(days, params, "pull"), Clones(params, licensing(run.config)), num_pulls(days), params, users=users
    )
    return source_outcome(run, found, inputs=conversation_inputs(run), metadata={"fingerprint": before})


def hub_dataset(run: StageRun) -> Outcome:
    """Read one file of a Hugging Face data set."""
    params: HubDataset = getattr(run.config, run.name)
    token = os.environ.get(HUB_TOKEN_VARIABLE) or None
    files = hub.list_files(params, run.layout.mirror(run.name), token=token)
    number = int(run.partition)
    if number >= len(files):
        return source_outcome(run, (), metadata={"file": "", "num_files": len(files)}, may_be_empty=True)
    file, web = files[number], hub.open_web(params, token)
    by_blob, opt_out = MAPPINGS[run.name].by_blob, run.layout.asset("opt_out")
    inputs = {"opt_out": open_artifact(opt_out).digest} if by_blob else {}
    key = [file.url, file.size, file.sha256, run.config_digest, inputs]
    harvest = Harvest(run.layout.work / run.name / run.partition, key)
    try:
        if not harvest.progress.is_done:
            found = hub.read_file(run.name, file, web, harvest.progress.place, params, harvest.count)
            if by_blob:
                wishes = load_opt_out(opt_out)
                found = with_contents(found, source_of(run), max_bytes=params.max_row_bytes, wishes=wishes)
            harvest.take(
                found, block_bytes=params.block_bytes, limit_rows=params.limit_rows, limit_bytes=params.limit_bytes
            )
    finally:
        web.close()
    artifact = seal_harvest(
        harvest,
        run.folder,
        name=run.name,
        keys=partition_keys(run.config.partitions.num_prefixes),
        config_digest=run.config_digest,
        inputs=inputs,
        metadata={"file": file.name, "url": file.url, "num_files": len(files), "next_row": harvest.progress.row},
    )
    return Outcome(artifact, checks_of(artifact, may_be_empty=False), {"records": records_table(artifact)})


def local_outcome(run: StageRun, documents: Iterable[Document], *, inputs: Mapping[str, str] | None = None) -> Outcome:
    """Write what was read on this machine, with the fingerprint of what there was to read."""
    before = FINGERPRINTS[run.name](run.config)
    if inputs is None:
        inputs = manifest_of(run).inputs() if reads_manifest(run.config, run.name) else {}
    return source_outcome(run, documents, inputs=inputs, metadata={"fingerprint": before}, may_be_empty=True)


def source_outcome(
    run: StageRun,
    documents: Iterable[Document],
    *,
    inputs: Mapping[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
    may_be_empty: bool = False,
) -> Outcome:
    """Write a source's documents and say what came of the records."""
    artifact = write_documents(
        run.folder, documents, name=run.name, keys=partition_keys(run.config.partitions.num_prefixes),
        block_bytes=getattr(run.config, run.name).block_bytes, config_digest=run.config_digest, inputs=inputs or {},
        metadata=metadata,
    )  # fmt: skip
    return Outcome(artifact, checks_of(artifact, may_be_empty), {"records": records_table(artifact)})


def checks_of(artifact: Artifact, may_be_empty: bool) -> dict[str, tuple[bool, Mapping[str, Any]]]:
    """Records were found, and most of them could be read."""
    statuses = artifact.metadata["statuses"]
    total = sum(statuses.values())
    broken = sum(statuses.get(name, 0) for name in ("malformed", "undecodable", "nul"))
    return {
        "has_records": (total > 0 or may_be_empty, {"records": total}),
        "mostly_readable": (broken <= 0.2 * total, statuses),
    }


def records_table(artifact: Artifact) -> Any:
    """Count by status, and texts and bytes by format."""
    rows = [(name, count, "") for name, count in artifact.metadata["statuses"].items()]
    rows += [(f"as {name}", f["documents"], f["bytes"]) for name, f in artifact.metadata["sources"].items()]
    return rows_table(["what", "records", "bytes of text"], rows)


CHECKS = {
    "has_records": "The source has records (this machine may have none).",
    "mostly_readable": "At most 20 % of the records are malformed.",
}


def source_stage(
    name: str, compute: Callable[[StageRun], Outcome], description: str, *, group: str = "", deps: Sequence[str] = ()
) -> Stage:
    """The declaration of a source that gives documents."""
    return Stage(
        name=name,
        group=group or name,
        compute=compute,
        deps=deps,
        description=description,
        checks=CHECKS,
        kinds=("parquet",),
    )


STAGES = [
    source_stage(
        "notebooks",
        notebooks,
        "Notebooks of installed packages and folders, as scripts and as triplets of text, code and output.",
    ),
    source_stage(
        "documentation",
        documentation,
        "Markdown, reStructuredText and HTML of installed packages and folders, with their long descriptions.",
    ),
    source_stage(
        "markup",
        markup,
        "Data formats and markup of the manifest, by StarCoder's filters: JSON, YAML, HTML, XML, or others.",
    ),
    Stage(
        name="gharchive",
        group="github",
        compute=gharchive,
        deps=(),
        description="GitHub's public events on issues and pull requests, as GHArchive has them, a partition a day.",
        checks={"mostly_events": "At most 1 % of the lines that matter are no events."},
        table=CONVERSATION_EVENTS,
    ),
    source_stage(
        "issues",
        issues,
        "Issues as conversations, put together from the events of all days, without bots and names.",
        group="github",
        deps=("gharchive", "opt_out"),
    ),
    source_stage(
        "pull_requests",
        pull_requests,
        "Pull requests with base files, diffs, comments and reviews, put together from the events of all days.",
        group="github",
        deps=("gharchive", "opt_out"),
    ),
    *(
        source_stage(
            name,
            hub_dataset,
            f"{meaning} From {HUB_SECTIONS[name].repository} on Hugging Face, a partition a file.",
            group="hub",
        )
        for name, meaning in field_meanings(HubSections).items()
    ),
    source_stage("commits", commits, "Commits of local repositories: a file before, the message, the file after."),
]
