"""The fetch_plan artefact: which contents are worth a request, in which order, and how long that takes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.blobs.opt_out import OptOut, is_opted_out, read_opt_out
from minicode_assets.config import Blobs
from minicode_assets.errors import MissingArtifactError
from minicode_assets.parquet import scan_table, write_table
from minicode_assets.schemas import BLOBS, CONTENTS, FETCH_PLAN, FILE_MANIFEST
from minicode_model.artifact import Artifact, open_artifact, sha256_of

RULES = ("other_file", "opted_out", "too_long", "too_short", "license", "vendored")
"""Why a content is not fetched: the first that applies, in this order. Licence files pass the last three."""
LICENSE_PRIORITY, PYTHON_PRIORITY = 0, 1


def plan_fetch(
    contents: Path,
    file_manifest: Path,
    folder: Path,
    *,
    params: Blobs,
    config_digest: str,
    allowed_origins: pl.DataFrame | None = None,
    store: Sequence[Path] = (),
) -> Artifact:
    """After this, `folder` says of each distinct content whether it is fetched, in which order, or which rule saves it.

    Licence files come first. Then, in the order of their ids, the Python files that can survive curation: one origin
    at least must allow their use, one path at least must not be vendored, one file at least must not be opted out. The
    order of ids is a random one, so a run that is cut short leaves a fair sample.

    Args:
        contents: The contents artefact.
        file_manifest: The file_manifest artefact.
        folder: The artefact folder.
        params: The `blobs` section.
        config_digest: Digest of the sections that shape the asset.
        allowed_origins: Column origin_url: origins whose licence verdict allows their use. None: not known yet, all
            are fetched.
        store: Folders of finished blobs partitions; what they have verified costs no request.

    Returns:
        The artefact; schema FETCH_PLAN. Metadata: num_files, num_contents, num_wanted, num_in_store, num_requests,
        wanted_bytes; `rules` (rule, num_contents, bytes, requests_saved) in order, after `duplicates`, with
        `in_store` last; `estimated_s` by source.

    Raises:
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        BlobError: The opt-out list can't be read.
    """
    inputs = {"contents": open_artifact(contents).digest, "file_manifest": open_artifact(file_manifest).digest}
    opt_out = OptOut()
    if params.opt_out:
        opt_out = read_opt_out(Path(params.opt_out))
        inputs["opt_out"] = sha256_of(Path(params.opt_out))
    files = scan_table(file_manifest, FILE_MANIFEST, verify=False)
    verdicts = _verdicts(files, opt_out, allowed_origins)
    table = scan_table(contents, CONTENTS, verify=False).join(verdicts, on="sha1_git", how="left")
    plan = table.with_columns(rule=_rule(params)).with_columns(priority=_priority()).sort("sha1_git").collect()
    metadata = _figures(plan, _stored(store), params)
    return write_table(
        folder, plan.select(FETCH_PLAN.polars.names()), FETCH_PLAN,
        config_digest=config_digest, inputs=inputs, metadata=metadata,
    )  # fmt: skip


def api_seconds(num_requests: int, params: Blobs) -> float:
    """How long the web API's limit makes this many requests last, from an unused quota; see limits.py."""
    if not num_requests:
        return 0.0
    limit = params.api_limit
    full_windows = (num_requests - 1) // limit
    rest = num_requests - full_windows * limit
    paced = max(0, rest - max(1, int(params.api_burst_fraction * limit)))
    return full_windows * params.api_window_s + paced * params.api_window_s / limit


def _verdicts(files: pl.LazyFrame, opt_out: OptOut, allowed_origins: pl.DataFrame | None) -> pl.LazyFrame:
    """Per sha1_git: opted_out (every file is), allowed and unvendored (a file that isn't opted out is)."""
    named = files.filter(pl.col("is_python") | pl.col("is_license"))
    allowed = pl.lit(value=True)
    if allowed_origins is not None:
        allowed = pl.col("origin_url").is_in(allowed_origins["origin_url"].implode())
    usable = ~is_opted_out(named, opt_out)
    return named.group_by("sha1_git").agg(
        opted_out=~usable.any(),
        allowed=(usable & allowed).any(),
        unvendored=(usable & allowed & ~pl.col("is_vendored")).any(),
    )


def _rule(params: Blobs) -> pl.Expr:
    """The first rule that leaves a content out; null when it is fetched."""
    python_only = ~pl.col("is_license")
    applies = {
        "other_file": ~(pl.col("is_python") | pl.col("is_license")),
        "opted_out": pl.col("opted_out"),
        "too_long": pl.col("length") > params.max_length_bytes,
        "too_short": python_only & (pl.col("length") < params.min_length_bytes),
        "license": python_only & ~pl.col("allowed"),
        "vendored": python_only & ~pl.col("unvendored"),
    }
    assert tuple(applies) == RULES
    return pl.coalesce(pl.when(condition).then(pl.lit(rule)) for rule, condition in applies.items())


def _priority() -> pl.Expr:
    order = pl.when(pl.col("is_license")).then(pl.lit(LICENSE_PRIORITY)).otherwise(pl.lit(PYTHON_PRIORITY))
    return pl.when(pl.col("rule").is_null()).then(order).cast(pl.Int64)


def _stored(store: Sequence[Path]) -> pl.DataFrame:
    """sha1_git of each verified blob of the partitions that exist."""
    found = [pl.DataFrame(schema={"sha1_git": pl.Binary})]
    for folder in store:
        try:
            rows = scan_table(folder, BLOBS, pattern="part-*.parquet", verify=False)
        except MissingArtifactError:
            continue
        found.append(rows.filter(pl.col("status") == "verified").select("sha1_git").collect())
    return pl.concat(found)


def _figures(plan: pl.DataFrame, stored: pl.DataFrame, params: Blobs) -> dict[str, Any]:
    wanted = plan.filter(pl.col("priority").is_not_null())
    in_store = wanted.join(stored, on="sha1_git", how="semi")
    num_requests = wanted.height - in_store.height
    num_files = int(plan["num_files"].sum())
    rules = [{"rule": "duplicates", "num_contents": 0, "bytes": 0, "requests_saved": num_files - plan.height}]
    for rule in RULES:
        left_out = plan.filter(pl.col("rule") == rule)
        rules.append(_saved(rule, left_out))
    rules.append(_saved("in_store", in_store))
    return {
        "num_files": num_files,
        "num_contents": plan.height,
        "num_licenses": wanted.filter(pl.col("priority") == LICENSE_PRIORITY).height,
        "num_wanted": wanted.height,
        "wanted_bytes": int(wanted["length"].sum()),
        "num_in_store": in_store.height,
        "num_requests": num_requests,
        "rules": rules,
        "estimated_s": {
            "local": 0.0,
            "s3": num_requests / params.s3_blobs_per_s,
            "api": api_seconds(num_requests, params),
        },
    }


def _saved(rule: str, contents: pl.DataFrame) -> dict[str, Any]:
    total = int(contents["length"].sum())
    return {"rule": rule, "num_contents": contents.height, "bytes": total, "requests_saved": contents.height}
