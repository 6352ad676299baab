"""Group licenses: what is fetched and recognised before any Python file, so that requests go where they may be used."""

import polars as pl

from minicode_assets.blobs.opt_out import build_opt_out
from minicode_assets.blobs.store import fetch_licenses
from minicode_assets.corpus.annotate import license_files as license_files_detector
from minicode_assets.corpus.annotate.origin_licenses import judge_origins
from minicode_assets.defs.blobs import CHECKS, fetched, source_of
from minicode_assets.defs.limits import MAY_PASS, NETWORK
from minicode_assets.defs.pictures import bar_plot
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import LICENSE_BLOBS, LICENSE_FILES, OPT_OUT, ORIGIN_LICENSES


def opt_out(run: StageRun) -> Outcome:
    """Read the opt-out list."""
    artifact = build_opt_out(run.folder, file=run.config.opt_out.file, config_digest=run.config_digest)
    wishes = scan_table(run.folder, OPT_OUT).collect()
    return Outcome(artifact, {"distinct": (wishes.is_unique().all(), {"wishes": wishes.height})})


def license_blobs(run: StageRun) -> Outcome:
    """Fetch and verify one partition's licence files."""
    backend = source_of(run)
    artifact = fetch_licenses(
        run.layout.asset("contents"),
        run.layout.asset("file_manifest"),
        backend,
        run.folder,
        partition=run.partition,
        params=run.config.blobs,
        config_digest=run.config_digest,
        opt_out=run.layout.asset("opt_out"),
        observe=run.observe,
    )
    return fetched(artifact, backend)


def license_files(run: StageRun) -> Outcome:
    """Recognise the licence files of one partition."""
    artifact = license_files_detector.detect_partition(
        run.input("license_blobs"),
        run.layout.asset("contents"),
        run.folder,
        partition=run.partition,
        params=run.config.license_files,
        config_digest=run.config_digest,
        cache=run.layout.work / "scancode",
    )
    frame = scan_table(run.folder, LICENSE_FILES).collect()
    outside = frame.filter(~pl.col("score").is_between(0, 1)).height
    shares = frame.group_by(pl.col("expression").fill_null("not recognised")).len().sort("len", descending=True)
    return Outcome(
        artifact,
        {"scores_in_range": (outside == 0, {"rows": frame.height, "outside": outside})},
        {"licenses": bar_plot("Licence files by expression", "files", dict(shares.head(20).iter_rows()))},
    )


def origin_licenses(run: StageRun) -> Outcome:
    """Judge the folders of all origins by their licence files."""
    artifact = judge_origins(
        run.layout.asset("file_manifest"),
        run.partitions("license_files"),
        run.folder,
        params=run.config.license,
        config_digest=run.config_digest,
        all_folders=bool(run.config.other_files.wanted),
    )
    frame = scan_table(run.folder, ORIGIN_LICENSES).collect()
    once = frame.select("origin_url", "revision", "folder").is_unique().all()
    unproven = frame.filter((pl.col("license_type") != "no_license") & pl.col("license_evidence").is_null()).height
    return Outcome(
        artifact,
        {
            "verdicts_have_evidence": (
                once and unproven == 0,
                {"folders": frame.height, "unique": once, "without_evidence": unproven},
            )
        },
        {"verdicts": bar_plot("Folders by licence verdict", "folders", artifact.metadata["num_by_type"])},
    )


STAGES = [
    Stage(
        name="opt_out",
        group="licenses",
        compute=opt_out,
        deps=(),
        description="What its authors do not want used: never fetched, a row without text in the documents, and the "
        "reason `opted_out` at selection.",
        checks={"distinct": "No wish stands twice."},
        table=OPT_OUT,
        kinds=("polars",),
    ),
    Stage(
        name="license_blobs",
        group="licenses",
        compute=license_blobs,
        deps=("archive", "contents", "file_manifest", "opt_out"),
        description="The bytes of licence files and package metadata, fetched before anything else.",
        checks=CHECKS,
        table=LICENSE_BLOBS,
        pool=NETWORK,
        retry_policy=MAY_PASS,
    ),
    Stage(
        name="license_files",
        group="licenses",
        compute=license_files,
        deps=("license_blobs", "contents"),
        description="What licence each licence file and package metadata file states.",
        checks={"scores_in_range": "Every score is within 0..1."},
        table=LICENSE_FILES,
        kinds=("polars",),
    ),
    Stage(
        name="origin_licenses",
        group="licenses",
        compute=origin_licenses,
        deps=("file_manifest", "license_files"),
        description="The licence verdict of each folder with Python files, from its origin's licence files alone.",
        checks={"verdicts_have_evidence": "A folder has one verdict; one other than no_license names its evidence."},
        table=ORIGIN_LICENSES,
        kinds=("polars",),
        all_partitions=("license_files",),
    ),
]
