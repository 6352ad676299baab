"""Group blobs: the verified bytes of every content that a later stage reads."""

from pathlib import Path

from minicode_assets.blobs.backends import LocalBackend
from minicode_assets.blobs.store import fetch_partition
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.schemas import BLOBS


def blobs(run: StageRun) -> Outcome:
    """Fetch and verify one partition."""
    params = run.config.blobs
    folder = run.layout.content if params.content_folder == "embedded" else Path(params.content_folder)
    artifact = fetch_partition(
        run.layout.asset("contents"),
        LocalBackend(folder),
        run.folder,
        partition=run.partition,
        params=params,
        config_digest=run.config_digest,
    )
    figures = {name: artifact.metadata[name] for name in ("num_rows", "num_verified", "num_missing", "num_mismatch")}
    unverified = figures["num_rows"] - figures["num_verified"]
    return Outcome(
        artifact,
        {
            "no_mismatch": (figures["num_mismatch"] == 0, figures),
            "nearly_all_verified": (unverified <= 0.02 * figures["num_rows"], figures),
        },
    )


STAGES = [
    Stage(
        name="blobs",
        group="blobs",
        compute=blobs,
        deps=("contents",),
        description="The bytes of Python and licence files, each checked against its sha1, sha1_git and length.",
        checks={
            "no_mismatch": "No blob's bytes differ from its ids.",
            "nearly_all_verified": "At most 2 % of the wanted blobs are missing.",
        },
        table=BLOBS,
    )
]
