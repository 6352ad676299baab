"""Small archives for the curation tests: files in, the real stages' artefacts out."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from minicode_assets.blobs.backends import LocalBackend
from minicode_assets.blobs.store import fetch_partition
from minicode_assets.config import Config
from minicode_assets.corpus.annotate import (
    contamination,
    exact_dup,
    heuristics,
    language,
    license_files,
    malware,
    minhash,
    near_dup,
    pii,
    quality,
)
from minicode_assets.corpus.annotate import license as license_annotator
from minicode_assets.corpus.benchmarks import build_benchmarks
from minicode_assets.corpus.quality_model import SIGNALS, build_quality_model
from minicode_assets.corpus.rewrite.llm import rewrite_partition
from minicode_assets.corpus.rewrite.recheck import Recheck
from minicode_assets.corpus.rewrite.redact import redact_partition
from minicode_assets.corpus.rewrite.reformat import reformat_partition
from minicode_assets.corpus.select import SIDECARS, build_corpus
from minicode_assets.layout import partition_keys
from minicode_assets.manifest.paths import is_license, is_python
from minicode_assets.parquet import read_table, write_table
from minicode_assets.schemas import CONTENTS, DOCUMENTS, FILE_MANIFEST, Table
from minicode_assets.sources.swh import build_documents
from minicode_assets.swhid import content_ids, object_id
from minicode_model.artifact import Artifact

Origins = Mapping[str, Mapping[str | bytes, bytes]]
MIT_METADATA = b"Metadata-Version: 2.4\nName: thing\nLicense-Expression: MIT\n"


@dataclass
class World:
    """The artefacts of one small archive below `root`, in as many partitions as asked for."""

    root: Path
    config: Config = field(default_factory=Config)
    num_prefixes: int = 2

    @property
    def keys(self) -> list[str]:
        return partition_keys(self.num_prefixes)

    def folder(self, name: str, key: str | None = None) -> Path:
        return self.root / name / key if key else self.root / name

    def partitions(self, name: str) -> list[Path]:
        return [self.folder(name, key) for key in self.keys]

    def read(self, name: str, table: Table) -> pl.DataFrame:
        """All partitions of an artefact, in order."""
        return pl.concat([read_table(path, table) for path in self.partitions(name)])

    def change(self, section: str, **values: object) -> "World":
        changed = replace(getattr(self.config, section), **values)  # type: ignore[type-var]
        return replace(self, config=replace(self.config, **{section: changed}))

    def fetch(self) -> "World":
        for key in self.keys:
            fetch_partition(
                self.folder("contents"), LocalBackend(self.folder("content")), self.folder("blobs", key),
                partition=key, params=self.config.blobs, config_digest="",
            )  # fmt: skip
        return self

    def documents(self) -> "World":
        self.fetch()
        for key in self.keys:
            build_documents(
                self.folder("file_manifest"), self.folder("blobs", key), self.folder("documents", key),
                partition=key, params=self.config.documents, config_digest="",
            )  # fmt: skip
        return self

    def licenses(self) -> "World":
        """Documents, what their licence files say and the verdict on each document."""
        self.documents()
        for key in self.keys:
            license_files.detect_partition(
                self.folder("blobs", key), self.folder("contents"), self.folder("license_files", key),
                partition=key, params=self.config.license_files, config_digest="", cache=self.folder("scancode"),
            )  # fmt: skip
        for key in self.keys:
            license_annotator.annotate(
                self.folder("documents", key), self.folder("file_manifest"), self.partitions("license_files"),
                self.folder("license", key), params=self.config.license, config_digest="",
            )  # fmt: skip
        return self

    def annotate(self) -> "World":
        """Documents and all sidecars."""
        self.licenses()
        build_benchmarks(self.folder("benchmarks"), params=self.config.benchmarks, config_digest="")
        for key in self.keys:
            self.sidecars(key)
        self.near_duplicates()
        self.qualities()
        return self

    def sidecars(self, key: str) -> None:
        documents, config = self.folder("documents", key), self.config
        language.annotate(documents, self.folder("language", key), params=config.language, config_digest="")
        heuristics.annotate(documents, self.folder("heuristics", key), params=config.heuristics, config_digest="")
        malware.annotate(documents, self.folder("malware", key), params=config.malware, config_digest="")
        pii.annotate(documents, self.folder("pii", key), params=config.pii, config_digest="")
        self.change_texts(key)
        exact_dup.annotate(
            documents, {name: self.folder(name, key) for name in ("license", "language")},
            self.folder("exact_dup", key), params=config.exact_dup, config_digest="",
        )  # fmt: skip
        minhash.annotate(documents, self.folder("minhash", key), params=config.near_dup, config_digest="")
        contamination.annotate(
            documents, self.folder("contamination", key), benchmarks=self.folder("benchmarks"),
            params=config.contamination, config_digest="",
        )  # fmt: skip

    def change_texts(self, key: str) -> None:
        documents, redacted = self.folder("documents", key), self.folder("redact", key)
        redact_partition(documents, self.folder("pii", key), redacted, config_digest="")
        reformat_partition(
            documents, redacted, self.folder("reformat", key), params=self.config.reformat, config_digest=""
        )
        rewrite_partition(
            documents, self.folder("reformat", key), self.folder("llm_rewrite", key), cache=self.root / "answers",
            line_length=88, params=self.config.llm_rewrite, config_digest="",
            rules=Recheck(self.folder("benchmarks"), self.config.pii, self.config.contamination, self.config.malware),
        )  # fmt: skip

    def qualities(self) -> None:
        params = self.config.quality_model
        build_quality_model(
            self.partitions("documents"), {name: self.partitions(name) for name in SIGNALS},
            self.folder("quality_model"), params=params, config_digest="",
        )  # fmt: skip
        for key in self.keys:
            quality.annotate(
                self.folder("documents", key), self.folder("quality", key), model=self.folder("quality_model"),
                params=params, config_digest="",
            )  # fmt: skip

    def near_duplicates(self) -> Artifact:
        names = ("license", "language", "exact_dup")
        return near_dup.annotate(
            self.partitions("documents"), self.partitions("minhash"), {name: self.partitions(name) for name in names},
            self.folder("near_dup"), partitions=self.keys, params=self.config.near_dup, config_digest="",
        )  # fmt: skip

    def corpus(self) -> Artifact:
        """The corpus of the sidecars that are there."""
        return build_corpus(
            self.partitions("documents"), {name: self.partitions(name) for name in SIDECARS}, self.folder("near_dup"),
            self.folder("corpus"), params=self.config.corpus, config_digest="",
            changed_texts=self.partitions("llm_rewrite"),
        )  # fmt: skip


def make_world(root: Path, origins: Origins, *, num_prefixes: int = 2) -> World:
    """Write the manifest, the contents table and the content folder of these files; nothing else."""
    rows = []
    contents = root / "content"
    contents.mkdir(parents=True)
    for url, files in origins.items():
        revision = object_id("commit", url.encode())
        for name, content in files.items():
            path = name if isinstance(name, bytes) else name.encode()
            sha1_git, sha1 = content_ids(content)
            (contents / sha1.hex()).write_bytes(gzip.compress(content, mtime=0))
            rows.append((url, object_id("snapshot", url.encode()), revision, path, sha1_git, sha1, len(content)))
    write_manifest(root, rows)
    return World(root, num_prefixes=num_prefixes)


def write_manifest(root: Path, rows: list[tuple[object, ...]]) -> None:
    columns = ["origin_url", "snapshot", "revision", "path", "sha1_git", "sha1", "length"]
    frame = pl.DataFrame(rows, schema={name: FILE_MANIFEST.polars[name] for name in columns}, orient="row")
    names = pl.Series("name", [path.rpartition(b"/")[2] for path in frame["path"]], dtype=pl.Binary)
    readable = pl.Series([name.decode(errors="replace").encode() for name in names], dtype=pl.Binary)
    frame = frame.with_columns(
        names,
        is_python(readable).alias("is_python"),
        is_license(readable).alias("is_license"),
        anchor=pl.lit("rev"),
        kind=pl.lit("file"),
        perms=pl.lit(0o100644, dtype=pl.Int32),
        status=pl.lit("present"),
        is_vendored=pl.lit(False),
    ).sort("origin_url", "revision", "path")
    write_table(root / "file_manifest", frame.select(FILE_MANIFEST.polars.names()), FILE_MANIFEST,
                config_digest="", inputs={})  # fmt: skip
    contents = (
        frame.group_by("sha1_git")
        .agg(pl.col("sha1", "length").first(), pl.len().cast(pl.Int64).alias("num_files"),
             pl.col("is_python", "is_license").any())
        .sort("sha1_git")
    )  # fmt: skip
    write_table(root / "contents", contents.select(CONTENTS.polars.names()), CONTENTS, config_digest="", inputs={})


def documents_of(texts: Mapping[str, str | None], folder: Path) -> Path:
    """A documents artefact with these texts by path, of one origin, without any archive behind it."""
    rows = [
        {
            "document_id": hashlib.blake2b(path.encode(), digest_size=16).hexdigest(),
            "source": "swh",
            "swhid": f"swh:1:cnt:{content_ids((text or '').encode())[0].hex()};path=/{path}",
            "sha1_git": content_ids((text or "").encode())[0],
            "origin_url": "https://example.org/one",
            "revision": bytes(20),
            "path": path,
            "length_bytes": len((text or "").encode()),
            "encoding": None if text is None else "utf-8",
            "status": "missing" if text is None else "ok",
            "text": text,
        }
        for path, text in texts.items()
    ]
    frame = pl.DataFrame(rows, schema=DOCUMENTS.polars).sort("sha1_git", "path")
    write_table(folder, frame, DOCUMENTS, config_digest="", inputs={})
    return folder
