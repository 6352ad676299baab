"""The fetch_plan artefact: which contents are worth a request, in which order, and how long that takes."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.blobs.opt_out import OptOut, is_opted_out, load_opt_out
from minicode_assets.blobs.vault_plan import FOLDER as VAULT_FOLDER
from minicode_assets.blobs.vault_plan import plan_vault
from minicode_assets.config import Blobs
from minicode_assets.errors import CorruptArtifactError, MissingArtifactError
from minicode_assets.manifest.paths import folder_of, lower_names
from minicode_assets.parquet import scan_table, write_parquet
from minicode_assets.schemas import BLOBS, CONTENTS, FETCH_PLAN, FILE_MANIFEST, ORIGIN_LICENSES, VAULT_FILES
from minicode_model.artifact import Artifact, open_artifact, write_artifact

RULES = ("other_file", "opted_out", "too_long", "too_short", "license", "vendored", "sampled_out")
"""Why a content is not fetched: the first that applies, in this order. Licence files pass the last four."""
LICENSE_PRIORITY, PYTHON_PRIORITY, OTHER_PRIORITY = 0, 1, 2
TOKEN_FACTOR = 10
"""A token multiplies every limit of the web API. Source: software_heritage.md 3."""


def plan_fetch(
    contents: Path,
    file_manifest: Path,
    folder: Path,
    *,
    params: Blobs,
    config_digest: str,
    license_types: Sequence[str],
    vendored: bool = False,
    opt_out: Path | None = None,
    origin_licenses: Path | None = None,
    branch_heads: Path | None = None,
    store: Sequence[Path] = (),
    others: Sequence[str] = (),
) -> Artifact:
    """After this, `folder` says of each distinct content whether it is fetched, in which order, or which rule saves it.

    Licence files come first. Then, in the order of their ids, the Python files that can survive curation: at one place
    at least, which is not opted out, the licence verdict must allow their use and the path must not be vendored (unless
    those are wanted). The order of ids is a random one, so a run that is cut short leaves a fair sample.

    Args:
        contents: The contents artefact.
        file_manifest: The file_manifest artefact.
        folder: The artefact folder.
        params: The `blobs` section.
        config_digest: Digest of the sections that shape the asset.
        license_types: Verdicts that allow a file's use.
        vendored: Whether files in vendored folders are fetched too.
        opt_out: The opt_out artefact; None when nobody has any wish.
        origin_licenses: The origin_licenses artefact. None: the verdicts are not known, all are fetched.
        branch_heads: The branch_heads artefact; where the vault is a source, it chooses root directories by it.
        store: Folders of finished blobs and license_blobs partitions; what they have verified costs no request.
        others: Files that are no Python and are wanted all the same, see [other_files]. They come last; where there is
            a limit, those whose ids end in the least bytes, so that a larger limit keeps all that a smaller one has.

    Returns:
        The artefact; schema FETCH_PLAN, and `vault/` (schema VAULT_FILES), what comes in whole directories. Metadata:
        num_files, num_contents, num_licenses, num_wanted, num_in_store, num_vault_directories, num_requests,
        wanted_bytes; `rules` (rule, num_contents, bytes, requests_saved) in order, after `duplicates`, with `in_store`
        and `vault` last; `estimated_s` by source.

    Raises:
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
    """
    read = {"contents": contents, "file_manifest": file_manifest, "opt_out": opt_out}
    read |= {"origin_licenses": origin_licenses, "branch_heads": branch_heads}
    inputs = {name: open_artifact(path).digest for name, path in read.items() if path}
    files = _with_license(scan_table(file_manifest, FILE_MANIFEST, verify=False), origin_licenses, license_types)
    wishes, kinds = load_opt_out(opt_out) if opt_out else OptOut(), read_others(others)
    files = files.with_columns(usable=~is_opted_out(files, wishes), other=_kind(kinds))
    plan = _planned(contents, files, dict(kinds.values()), params, vendored=vendored)
    none = pl.DataFrame(None, VAULT_FILES.polars)
    vault = plan_vault(files, plan, branch_heads, params=params) if branch_heads else none
    with write_artifact(folder, name=FETCH_PLAN.name, config_digest=config_digest, inputs=inputs) as writer:
        write_parquet(plan.select(FETCH_PLAN.polars.names()), writer.path / "part-00000.parquet", FETCH_PLAN)
        (writer.path / VAULT_FOLDER).mkdir()
        write_parquet(vault, writer.path / VAULT_FOLDER / "part-00000.parquet", VAULT_FILES)
        writer.metadata = _figures(plan, _stored(store), vault, params) | {"num_rows": plan.height}
    return open_artifact(folder, verify=False)


def _planned(
    contents: Path, files: pl.LazyFrame, limits: Mapping[str, int], params: Blobs, *, vendored: bool
) -> pl.DataFrame:
    """Each distinct content with its rule and priority, by id."""
    verdicts = _verdicts(files, vendored=vendored)
    table = scan_table(contents, CONTENTS, verify=False).join(verdicts, on="sha1_git", how="left")
    rules = table.with_columns(rule=_rule(params)).with_columns(rule=_sampled(limits))
    return rules.with_columns(priority=_priority()).sort("sha1_git").collect()


def api_seconds(num_requests: int, params: Blobs, *, factor: int = 1) -> float:
    """How long the web API's limit makes this many requests last, from an unused quota; see limits.py.

    Args:
        num_requests: Requests.
        params: The `blobs` section.
        factor: What the limit is multiplied by: `TOKEN_FACTOR` with a token.
    """
    return limited_seconds(
        num_requests, params.api_limit * factor, window_s=params.api_window_s, burst_fraction=params.api_burst_fraction
    )


def limited_seconds(num_requests: int, limit: int, *, window_s: float, burst_fraction: float) -> float:
    """How long a limit a window makes this many requests last, from an unused quota; see limits.py."""
    if not num_requests:
        return 0.0
    full_windows = (num_requests - 1) // limit
    rest = num_requests - full_windows * limit
    paced = max(0, rest - max(1, int(burst_fraction * limit)))
    return full_windows * window_s + paced * window_s / limit


def _with_license(files: pl.LazyFrame, origin_licenses: Path | None, license_types: Sequence[str]) -> pl.LazyFrame:
    """The files with `allowed`: whether the verdict of their folder is one of `license_types`."""
    if not origin_licenses:
        return files.with_columns(allowed=pl.lit(value=True))
    verdicts = scan_table(origin_licenses, ORIGIN_LICENSES, verify=False).select(
        "origin_url", "revision", "folder", allowed=pl.col("license_type").is_in(license_types)
    )
    joined = files.with_columns(folder=folder_of()).join(verdicts, on=["origin_url", "revision", "folder"], how="left")
    return joined.with_columns(pl.col("allowed").fill_null(value=False))


def _verdicts(files: pl.LazyFrame, *, vendored: bool) -> pl.LazyFrame:
    """Per sha1_git: opted_out and skipped (every file is), allowed and unvendored (a file that isn't opted out is)."""
    allowed = pl.col("usable") & pl.col("allowed")
    return (
        files.filter(pl.col("is_python") | pl.col("is_license") | pl.col("other").is_not_null())
        .group_by("sha1_git")
        .agg(
            other=pl.col("other").min(),
            opted_out=~pl.col("usable").any(),
            skipped=(pl.col("status") == "skipped").all(),
            allowed=allowed.any(),
            unvendored=(allowed & (~pl.col("is_vendored") | vendored)).any(),
        )
    )


def _rule(params: Blobs) -> pl.Expr:
    """The first rule that leaves a content out; null when it is fetched."""
    python_only = ~pl.col("is_license")
    applies = {
        "other_file": ~(pl.col("is_python") | pl.col("is_license") | pl.col("other").is_not_null()),
        "opted_out": pl.col("opted_out"),
        "too_long": (pl.col("length") > params.max_length_bytes) | pl.col("skipped"),  # by the archive itself
        "too_short": python_only & (pl.col("length") < params.min_length_bytes),
        "license": python_only & ~pl.col("allowed"),
        "vendored": python_only & ~pl.col("unvendored"),
    }
    assert (*applies, "sampled_out") == RULES
    return pl.coalesce(pl.when(condition).then(pl.lit(rule)) for rule, condition in applies.items())


def read_others(others: Sequence[str]) -> dict[str, tuple[str, int]]:
    """[other_files] wanted as suffix to (kind, bytes at most; 0 is no limit)."""
    found = (re.fullmatch(r"(.+)=(\w+):(\d+)", value) for value in others)
    return {match[1]: (match[2], int(match[3])) for match in found if match}


def _kind(kinds: Mapping[str, tuple[str, int]]) -> pl.Expr:
    """The kind of a file that is wanted although it is no Python, by its name in lower case; null for all others."""
    name = lower_names()
    regular = (pl.col("kind") != "symlink") & ~pl.col("is_python")
    found = pl.coalesce([pl.lit(None, pl.String)] + [
        pl.when(name.str.ends_with(suffix)).then(pl.lit(kind)) for suffix, (kind, _) in kinds.items()
    ])  # fmt: skip
    return pl.when(regular).then(found)


def _sampled(limits: Mapping[str, int]) -> pl.Expr:
    """`rule`, and `sampled_out` for the contents of a kind beyond its limit, in the order of the ends of their ids."""
    limited = {kind: limit for kind, limit in limits.items() if limit}
    if not limited:
        return pl.col("rule")
    other = pl.col("rule").is_null() & ~pl.col("is_python") & ~pl.col("is_license")
    length = pl.when(other).then("length").otherwise(0).fill_null(0)
    so_far = length.cum_sum().over("other", order_by=pl.col("sha1_git").bin.tail(8))
    limit = pl.col("other").replace_strict(limited, default=None, return_dtype=pl.Int64)
    return pl.when(other & (so_far > limit)).then(pl.lit("sampled_out")).otherwise("rule")


def _priority() -> pl.Expr:
    order = (
        pl.when("is_license").then(pl.lit(LICENSE_PRIORITY)).when("is_python").then(pl.lit(PYTHON_PRIORITY))
        .otherwise(pl.lit(OTHER_PRIORITY))
    )  # fmt: skip
    return pl.when(pl.col("rule").is_null()).then(order).cast(pl.Int64)


def _stored(store: Sequence[Path]) -> pl.DataFrame:
    """sha1_git of each verified blob of the partitions that exist."""
    found = [pl.DataFrame(schema={"sha1_git": pl.Binary})]
    for folder in store:
        try:
            rows = scan_table(folder, BLOBS, pattern="part-*.parquet", verify=False)
        except (MissingArtifactError, CorruptArtifactError):
            continue  # a damaged partition is mended when it is fetched: it must not hold up the plan
        found.append(rows.filter(pl.col("status") == "verified").select("sha1_git").collect())
    return pl.concat(found)


def _figures(plan: pl.DataFrame, stored: pl.DataFrame, vault: pl.DataFrame, params: Blobs) -> dict[str, Any]:
    wanted = plan.filter(pl.col("priority").is_not_null())
    in_store = wanted.join(stored, on="sha1_git", how="semi")
    num_requests = wanted.height - in_store.height
    num_files = int(plan["num_files"].sum())
    rules = [{"rule": "duplicates", "num_contents": 0, "bytes": 0, "requests_saved": num_files - plan.height}]
    for rule in RULES:
        left_out = plan.filter(pl.col("rule") == rule)
        rules.append(_saved(rule, left_out))
    rules.append(_saved("in_store", in_store))
    tarballs = vault.join(stored, on="sha1_git", how="anti")
    cooked = wanted.join(tarballs, on="sha1_git", how="semi")
    num_roots = tarballs["directory"].n_unique()
    saved_by_vault = cooked.height - num_roots * params.vault_requests
    rules.append(_saved("vault", cooked) | {"requests_saved": saved_by_vault})
    return {
        "num_files": num_files,
        "num_contents": plan.height,
        "num_licenses": wanted.filter(pl.col("priority") == LICENSE_PRIORITY).height,
        "num_wanted": wanted.height,
        "wanted_bytes": int(wanted["length"].sum()),
        "num_in_store": in_store.height,
        "num_vault_directories": num_roots,
        "num_requests": num_requests - saved_by_vault,
        "rules": rules,
        "estimated_s": _estimates(num_requests, num_roots, num_requests - cooked.height, params),
    }


def _estimates(num_blobs: int, num_roots: int, num_others: int, params: Blobs) -> dict[str, float]:
    """Seconds by source: for all that is not here yet; with the vault, its tarballs and then the rest by the API."""
    cooking_s = limited_seconds(
        num_roots, params.vault_limit, window_s=params.api_window_s, burst_fraction=params.api_burst_fraction
    )
    return {
        "local": 0.0,
        "s3": num_blobs / params.s3_blobs_per_s,
        "api": api_seconds(num_blobs, params),
        "api_with_token": api_seconds(num_blobs, params, factor=TOKEN_FACTOR),
        **({"vault_and_api": cooking_s + api_seconds(num_others, params)} if "vault" in params.backends else {}),
    }


def _saved(rule: str, contents: pl.DataFrame) -> dict[str, Any]:
    total = int(contents["length"].sum())
    return {"rule": rule, "num_contents": contents.height, "bytes": total, "requests_saved": contents.height}
