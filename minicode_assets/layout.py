"""The path of every artefact, in flow order: a folder is named after its asset, a partition is a folder inside it.

archive/                       graph/<table>/*.parquet (an export), content/<sha1> (gzip)
swh_<table>/                   canonical tables
branch_heads/ file_manifest/ contents/
blobs/<partition>/             bytes by sha1_git
notebooks/ documentation/ commits/ ...   other sources: <prefix partition>.parquet, below a file or day where they
                               come in such
documents/<partition>/         text rows
license_files/ language/ license/ heuristics/ lint/ pii/ malware/ quality/ exact_dup/ minhash/ contamination/
                               <partition>/: sidecars
near_dup/                      part-<partition>.parquet: a sidecar made of all partitions at once
benchmarks/                    texts of evaluation problems
quality_model/                 a classifier and its report
redact/ reformat/ llm_rewrite/ <partition>/: what the corpus gets instead of some documents' texts
corpus/                        train/, validation/, decisions/, funnel
search_index/                  hashes of the corpus, a folder a corpus file
tokenizer/                     the SentencePiece model
encoded_documents/<partition>/ the tokens of each document
token_shards/ checkpoint/ evaluation/ benchmark_scores/ leaderboard/ report/
training_logs/<checkpoint>/    metrics.csv with speeds and TensorBoard's files of the last training
history/                       one file an evaluated checkpoint
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths below one data folder.

    Attributes:
        root: The data folder, absolute.
    """

    root: Path

    def asset(self, name: str, partition: str | None = None) -> Path:
        """The folder of an asset, or of one of its partitions."""
        return self.root / name / partition if partition else self.root / name

    @property
    def export(self) -> Path:
        """The embedded export: one folder a table."""
        return self.asset("archive") / "graph"

    @property
    def content(self) -> Path:
        """The embedded content bucket: gzip files named by sha1 (hex)."""
        return self.asset("archive") / "content"

    def mirror(self, dataset: str) -> Path:
        """The mirror of a published export; no artefact: it grows file by file and is verified as it does."""
        return self.root / "mirror" / dataset

    @property
    def history(self) -> Path:
        """One file an evaluated checkpoint; no artefact: it only grows, and the leaderboard is made of it."""
        return self.root / "history"

    def training_logs(self, checkpoint: str) -> Path:
        """What a training is watched by; no artefact: it holds times, and grows while training goes on."""
        return self.root / "training_logs" / checkpoint

    @property
    def work(self) -> Path:
        """Scratch of resumable stages (training states, journals); no artefact."""
        return self.root / ".work"


def partition_keys(num_prefixes: int) -> list[str]:
    """Keys of the prefix partitions, e.g. `00-of-04`: part 0 of 4 equal cuts of the sha1_git space."""
    return [f"{index:02d}-of-{num_prefixes:02d}" for index in range(num_prefixes)]


def partition_range(key: str) -> tuple[bytes, bytes]:
    """First and last two-byte-or-less prefix of a partition key: inclusive lower, exclusive upper first byte.

    Returns:
        (lower, upper): contents with lower <= sha1_git < upper belong to the partition; upper is b"" for the last.
    """
    index, _, count = key.partition("-of-")
    step = 256 // int(count)
    lower, upper = int(index) * step, (int(index) + 1) * step
    return bytes([lower]), bytes([upper]) if upper < 256 else b""


def other_partitions(root: Path, num_prefixes: int) -> list[Path]:
    """Folders of prefix partitions that were made with another number of them."""
    found = sorted(root.glob("*/[0-9][0-9]-of-[0-9][0-9]"))
    return [path for path in found if path.name not in partition_keys(num_prefixes)]
