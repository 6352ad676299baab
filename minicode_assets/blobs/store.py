"""The blobs artefact: the bytes of one partition's contents, each verified against sha1, sha1_git and length."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from minicode_assets.blobs.backends import Absent, Answer, Backend, Wanted
from minicode_assets.blobs.journal import Journal
from minicode_assets.blobs.ledger import STATUSES, Ledger
from minicode_assets.blobs.opt_out import is_opted_out, load_opt_out
from minicode_assets.blobs.progress import Observe, Progress
from minicode_assets.blobs.reuse import reuse_blobs
from minicode_assets.blobs.rows import Rows
from minicode_assets.blobs.seal import seal
from minicode_assets.config import Blobs
from minicode_assets.layout import partition_range
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import BLOBS, CONTENTS, FETCH_PLAN, FILE_MANIFEST, LICENSE_BLOBS
from minicode_assets.swhid import content_ids
from minicode_model.artifact import Artifact, digest_of, open_artifact


def fetch_partition(
    contents: Path,
    backend: Backend,
    folder: Path,
    *,
    partition: str,
    params: Blobs,
    config_digest: str,
    plan: Path | None = None,
    store: Sequence[Path] = (),
    observe: Observe | None = None,
) -> Artifact:
    """After this, `folder` holds one row for each wanted content of the partition, with its bytes or a problem.

    Wanted are Python and licence files that are not longer than `params.max_length_bytes`, licence files first; with
    a plan, what the plan wants, in its order. A content without verified bytes is a row that says why; it is counted,
    and never aborts the run. A run that was killed resumes from its journal, and asks a remote source for nothing that
    was verified before: in this run, in the artefact that it replaces, or in those of another number of partitions.

    Args:
        contents: The contents artefact.
        backend: Where bytes come from; `chain.Chain` for several sources.
        folder: The artefact folder of this partition.
        partition: A key such as `00-of-04`.
        params: The `blobs` section.
        config_digest: Digest of the sections that shape the asset.
        plan: The fetch_plan artefact, which honours the opt-out list; None fetches every Python and licence file.
        store: Other artefacts with verified blobs, of which none is asked for again.
        observe: Gets the figures of a fetch under way, now and then.

    Returns:
        The artefact; schema BLOBS, rows sorted by sha1_git, and `quarantine/` (schema QUARANTINE) where bodies did not
        match their ids. Metadata: partition, num_rows, num_<status>, num_too_long (not fetched), verified_bytes,
        verified_fraction (null when nothing was wanted).

    Raises:
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written, or another run is fetching this partition.
        BlobError: The source refuses to go on.
    """
    inputs = {"contents": open_artifact(contents).digest} | ({"fetch_plan": open_artifact(plan).digest} if plan else {})
    rows, num_too_long = _wanted_rows(contents, plan, partition, params)
    return fetch_rows(
        rows,
        backend,
        folder,
        name=BLOBS.name,
        params=params,
        config_digest=config_digest,
        inputs=inputs,
        metadata={"partition": partition, "num_too_long": num_too_long},
        store=store,
        observe=observe,
    )


def fetch_licenses(
    contents: Path,
    file_manifest: Path,
    backend: Backend,
    folder: Path,
    *,
    partition: str,
    params: Blobs,
    config_digest: str,
    opt_out: Path | None = None,
    observe: Observe | None = None,
) -> Artifact:
    """After this, `folder` holds the partition's licence files as `fetch_partition` would, before there is a plan.

    Wanted are licence files that are not too long, with one place at least that is not opted out.

    Args:
        contents: The contents artefact.
        file_manifest: The file_manifest artefact, which says where each content lies.
        backend: Where bytes come from.
        folder: The artefact folder of this partition.
        partition: A key such as `00-of-04`.
        params: The `blobs` section.
        config_digest: Digest of the sections that shape the asset.
        opt_out: The opt_out artefact; None when nobody has any wish.
        observe: Gets the figures of a fetch under way, now and then.

    Returns:
        The artefact; schema LICENSE_BLOBS, the rest as in `fetch_partition`.

    Raises:
        MissingArtifactError, CorruptArtifactError, StorageError, BlobError: As in `fetch_partition`.
    """
    inputs = {"contents": open_artifact(contents).digest}
    named = scan_table(contents, CONTENTS, verify=False).filter("is_license", in_partition("sha1_git", partition))
    if opt_out:
        inputs |= {"file_manifest": open_artifact(file_manifest).digest, "opt_out": open_artifact(opt_out).digest}
        files = scan_table(file_manifest, FILE_MANIFEST, verify=False).filter(in_partition("sha1_git", partition))
        places = files.filter(~is_opted_out(files, load_opt_out(opt_out)))
        named = named.join(places, on="sha1_git", how="semi")
    rows, num_too_long = _short_rows(named, params.max_length_bytes)
    return fetch_rows(
        rows,
        backend,
        folder,
        name=LICENSE_BLOBS.name,
        params=params,
        config_digest=config_digest,
        inputs=inputs,
        metadata={"partition": partition, "num_too_long": num_too_long},
        observe=observe,
    )


def fetch_rows(
    rows: Rows,
    backend: Backend,
    folder: Path,
    *,
    name: str,
    params: Blobs,
    config_digest: str,
    inputs: Mapping[str, str],
    metadata: Mapping[str, Any],
    store: Sequence[Path] = (),
    observe: Observe | None = None,
) -> Artifact:
    """Fetch the given contents into the artefact `name` at `folder`; see `fetch_partition`.

    Args:
        rows: The wanted contents.
        backend: Where bytes come from.
        folder: The artefact folder; the journal lies beside it.
        name: Asset key.
        params: The `blobs` section.
        config_digest: Digest of the sections that shape the asset.
        inputs: Digest of each input artefact, by name.
        metadata: More figures for the manifest.
        store: Other artefacts with verified blobs.
        observe: Gets the figures of a fetch under way, now and then.
    """
    with Journal(folder.parent / f".journal-{folder.name}") as journal:
        ledger = Ledger(journal, rows, run=digest_of([inputs, config_digest]))
        if backend.is_remote:
            reuse_blobs(folder, rows, ledger, store=store)
        progress = Progress(folder.name, rows, ledger, backend, observe)
        _fetch_rounds(backend, rows, ledger, progress, params.max_attempts)
        artifact = seal(folder, rows, ledger, name=name, config_digest=config_digest, inputs=inputs, metadata=metadata)
        journal.remove()
    return artifact


def in_partition(column: str, partition: str) -> pl.Expr:
    """True where a 20-byte id column lies in a partition."""
    lower, upper = partition_range(partition)
    inside = pl.col(column) >= pl.lit(lower)
    return inside & (pl.col(column) < pl.lit(upper)) if upper else inside


def verify_blob(body: bytes, *, sha1_git: bytes, sha1: bytes, length: int) -> str:
    """What differs between the bytes and their ids, or an empty string when all three match."""
    if len(body) != length:
        return f"length found {len(body)}, expected {length}"
    found_sha1_git, found_sha1 = content_ids(body)
    if found_sha1 != sha1:
        return f"sha1 found {found_sha1.hex()}, expected {sha1.hex()}"
    if found_sha1_git != sha1_git:
        return f"sha1_git found {found_sha1_git.hex()}, expected {sha1_git.hex()}"
    return ""


def _wanted_rows(contents: Path, plan: Path | None, partition: str, params: Blobs) -> tuple[Rows, int]:
    """The wanted contents, and how many were left out for their length."""
    if not plan:
        source = scan_table(contents, CONTENTS, verify=False)
        named = source.filter(in_partition("sha1_git", partition) & (pl.col("is_python") | pl.col("is_license")))
        return _short_rows(named, params.max_length_bytes)
    planned = scan_table(plan, FETCH_PLAN, verify=False).filter(in_partition("sha1_git", partition))
    too_long = planned.filter(pl.col("rule") == "too_long").select(pl.len()).collect().item()
    return _rows(planned.filter(pl.col("priority").is_not_null())), too_long


def _short_rows(named: pl.LazyFrame, max_length_bytes: int) -> tuple[Rows, int]:
    """As `_wanted_rows`, of rows of CONTENTS."""
    short = pl.col("length") <= max_length_bytes
    too_long = named.filter(~short).select(pl.len()).collect().item()
    return _rows(named.filter(short).with_columns(priority=(~pl.col("is_license")).cast(pl.Int64))), too_long


def _rows(chosen: pl.LazyFrame) -> Rows:
    return Rows.of_frame(chosen.select("sha1_git", "sha1", "length", pl.col("priority").cast(pl.Int8)).collect())


def _fetch_rounds(backend: Backend, rows: Rows, ledger: Ledger, progress: Progress, max_attempts: int) -> None:
    """Ask for what is unknown; what failed in a way that may pass is asked for again, `max_attempts` times in all."""
    order = np.argsort(rows.priority, kind="stable")
    for attempt in range(1, max_attempts + 1):
        open_ranks = order[ledger.is_open[order]]
        if not len(open_ranks):
            return
        for answer in backend.fetch(rows.wanted(open_ranks)):
            _enter(ledger, answer, last=attempt == max_attempts)
            progress.tell()


def _enter(ledger: Ledger, answer: Answer, *, last: bool) -> None:
    """Judge an answer; what may be better the next time is entered only in the last round."""
    wanted, found, source = answer
    if isinstance(found, bytes):
        problem = verify_blob(found, sha1_git=wanted.sha1_git, sha1=wanted.sha1, length=wanted.length)
        if not problem:
            ledger.enter_blob(wanted, found)
        elif last:
            ledger.enter_verdict(wanted, "mismatch", f"{source}: {problem}", found)
    else:
        _enter_absent(ledger, wanted, found, source, last=last)


def _enter_absent(ledger: Ledger, wanted: Wanted, found: Absent, source: str, *, last: bool) -> None:
    passing = found.status in ("retry_later", "damaged")
    if last or not passing:
        status = "unreachable" if found.status == "retry_later" else found.status
        assert status in STATUSES
        ledger.enter_verdict(wanted, status, f"{source}: {found.problem}", None)
