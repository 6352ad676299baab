"""Group blobs: which contents are worth a request, and their verified bytes."""

import os
from pathlib import Path

import polars as pl

from minicode_assets.blobs.backends import Backend
from minicode_assets.blobs.chain import BUNDLES, open_chain
from minicode_assets.blobs.check import missing_reasons, rehash_sample
from minicode_assets.blobs.plan import plan_fetch
from minicode_assets.blobs.purge import purge_blobs
from minicode_assets.blobs.store import fetch_partition
from minicode_assets.blobs.vault import clear_bundles
from minicode_assets.blobs.vault_plan import read_vault_files
from minicode_assets.defs.limits import MAY_PASS, NETWORK
from minicode_assets.defs.pictures import frame_table, rows_table
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.layout import partition_keys
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import BLOBS, FETCH_PLAN
from minicode_model.artifact import Artifact

TOKEN_VARIABLE = "SWH_TOKEN"  # noqa: S105
"""Environment variable with the Software Heritage API token; it is passed on and never stored."""
NUM_REHASHED = 200


def fetch_plan(run: StageRun) -> Outcome:
    """Say of each content whether it is fetched, and which rule saves its request."""
    artifact = plan_fetch(
        run.layout.asset("contents"),
        run.layout.asset("file_manifest"),
        run.folder,
        params=run.config.blobs,
        config_digest=run.config_digest,
        license_types=run.config.fetch_plan.license_types,
        vendored=run.config.fetch_plan.vendored,
        others=run.config.other_files.wanted,
        opt_out=run.layout.asset("opt_out"),
        origin_licenses=run.layout.asset("origin_licenses"),
        branch_heads=run.layout.asset("branch_heads"),
        store=[*run.partitions("license_blobs"), *run.partitions("blobs")],
    )
    plan = scan_table(run.folder, FETCH_PLAN).collect()
    undecided = plan.filter(pl.col("priority").is_null() == pl.col("rule").is_null()).height
    wanted = plan["priority"].count()
    rules = [tuple(rule.values()) for rule in artifact.metadata["rules"]]
    return Outcome(
        artifact,
        {
            "wanted_or_explained": (
                undecided == 0 and wanted > 0,
                {"contents": plan.height, "wanted": wanted, "undecided": undecided},
            )
        },
        {
            "requests_saved": rows_table(["rule", "contents", "bytes", "requests saved"], rules),
            "estimated_seconds": rows_table(["source", "s"], list(artifact.metadata["estimated_s"].items())),
        },
    )


def blobs(run: StageRun) -> Outcome:
    """Fetch and verify one partition."""
    plan = run.layout.asset("fetch_plan")
    backend = source_of(run, vault_files=read_vault_files(plan))
    artifact = fetch_partition(
        run.layout.asset("contents"),
        backend,
        run.folder,
        partition=run.partition,
        params=run.config.blobs,
        config_digest=run.config_digest,
        plan=plan,
        store=[run.input("license_blobs")],
        observe=run.observe,
    )
    clear_bundles(run.layout.work / BUNDLES, run.partitions("blobs"), plan)
    keys = partition_keys(run.config.partitions.num_prefixes)
    purge_blobs(run.layout.asset("blobs"), plan, keys=keys)
    return fetched(artifact, backend)


def source_of(run: StageRun, *, vault_files: pl.DataFrame | None = None) -> Backend:
    """The configured sources; see `open_chain`."""
    params = run.config.blobs
    return open_chain(
        params,
        content_folder=run.layout.content if params.content_folder == "embedded" else Path(params.content_folder),
        work=run.layout.work,
        token=api_token(),
        vault_files=vault_files,
    )


def api_token() -> str | None:
    """The token that the environment holds; None without one."""
    return os.environ.get(TOKEN_VARIABLE) or None


CHECKS = {
    "no_mismatch": "No blob's bytes differ from its ids.",
    "nearly_all_verified": "At most 2 % of the wanted blobs are missing; it says which reasons they have.",
    "sample_rehashes": "A sample of the stored blobs, hashed again, has its ids.",
}
"""What `fetched` checks."""


def fetched(artifact: Artifact, backend: Backend) -> Outcome:
    """The outcome of a partition of blobs."""
    figures = {name: artifact.metadata[name] for name in ("num_rows", "num_verified", "num_missing", "num_mismatch")}
    unverified = figures["num_rows"] - figures["num_verified"]
    sample = rehash_sample(artifact.path, num_blobs=NUM_REHASHED, seed=0)
    reasons = frame_table(missing_reasons(artifact.path))
    return Outcome(
        artifact,
        {
            "no_mismatch": (figures["num_mismatch"] == 0, figures),
            "nearly_all_verified": (unverified <= 0.02 * figures["num_rows"], {**figures, "reasons": reasons}),
            "sample_rehashes": (sample["num_wrong"] == 0, sample),
        },
        {"missing": reasons, "source": backend.name, **backend.figures()},
    )


STAGES = [
    Stage(
        name="fetch_plan",
        group="blobs",
        compute=fetch_plan,
        deps=("branch_heads", "contents", "file_manifest", "opt_out", "origin_licenses", "license_blobs"),
        description="For each distinct content: whether it is fetched and in which order, or which rule saves its "
        "request; with the time that each source would need.",
        checks={"wanted_or_explained": "Every content is wanted, or names the rule that leaves it out."},
        table=FETCH_PLAN,
        kinds=("polars",),
        max_age="max_plan_age_h",
        all_partitions=("license_blobs",),
    ),
    Stage(
        name="blobs",
        group="blobs",
        compute=blobs,
        deps=("archive", "contents", "fetch_plan", "license_blobs"),
        description="The bytes of what the plan wants, each checked against its sha1, sha1_git and length.",
        checks=CHECKS,
        table=BLOBS,
        pool=NETWORK,
        retry_policy=MAY_PASS,
    ),
]
