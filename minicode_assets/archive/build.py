"""The embedded archive: a small, real Software Heritage out of what is on this machine."""

import hashlib
import json
import logging
import platform
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from minicode_assets.archive import standard_library
from minicode_assets.archive.distributions import Installed, python_bytes, wanted_distributions
from minicode_assets.archive.files import Skipped, add_files, size_of
from minicode_assets.archive.git import add_repository, repository_state
from minicode_assets.archive.graph import Graph, Origin, Revision, Signature, measure_tree
from minicode_assets.archive.tables_2019 import tables_2019
from minicode_assets.archive.tables_2021 import tables_2021
from minicode_assets.archive.write import write_orc, write_parquet
from minicode_assets.config import Archive
from minicode_assets.errors import ArchiveError
from minicode_assets.swhid import Branch
from minicode_model.artifact import Artifact, digest_of, open_artifact, write_artifact

ARCHIVE_FORMAT = 1
"""Raised whenever the same sources give another archive."""
VISIT_SECONDS = 1_548_633_600
"""Date of every visit and of every synthetic revision: 2019-01-28, the day of the layout's export. What is installed
has no date that two machines agree on. Unit: seconds since 1970."""
_SIGNATURE = Signature(b"minicode archive <archive@minicode.invalid>", VISIT_SECONDS, 0)

logger = logging.getLogger("minicode.archive")


def build_archive(folder: Path, *, params: Archive, config_digest: str) -> Artifact:
    """Archive the standard library, installed distributions and local git repositories into an artefact folder.

    The folder holds `graph/<table>/`, an export in layout `params.layout`, and `content/<sha1 hex>`, one gzip file a
    blob, as in Software Heritage's public bucket. The same sources and parameters give the same bytes.

    Args:
        folder: The artefact folder to create or replace.
        params: Which sources, how much of them, which layout.
        config_digest: Digest of the configuration section.

    Returns:
        The artefact `archive`. Its metadata: num_origins, num_snapshots, num_revisions, num_releases,
        num_directories, num_contents, num_skipped_contents, python_bytes; fingerprint; origins (url, kind, files,
        python_bytes each); left_out (distributions that were not taken, with reasons); not_installed (requirements);
        skipped (files that could not be read: origin, path, reason).

    Raises:
        ArchiveError: No source, nothing in the sources, a repository git can't read, two origins with one URL.
        StorageError: The folder can't be written.
    """
    before = fingerprint(params)
    with write_artifact(folder, name="archive", config_digest=config_digest, inputs={}) as writer:
        content = writer.path / "content"
        content.mkdir()
        graph = Graph(content, params.max_content_bytes, params.gzip_level)
        notes = _add_sources(graph, params)
        if not graph.contents:
            raise ArchiveError(
                "[archive]: the sources hold no content at all",
                hint="set standard_library = true, or name distributions or git_repositories in [archive]",
            )
        _write_graph(writer.path / "graph", graph, params.layout)
        writer.metadata = {**_figures(graph), **notes, "fingerprint": before}
    logger.info("archive: %d origins, %d contents", len(graph.origins), len(graph.contents))
    return open_artifact(folder, verify=False)


def fingerprint(params: Archive) -> str:
    """Digest (hex) of what `build_archive` would read, from names, versions, sizes and git refs only.

    A file that was edited without a change of size goes unseen; package managers don't do that.

    Raises:
        ArchiveError: A root distribution is not installed, or git can't read a repository.
    """
    distributions, absent = wanted_distributions(params.distributions)
    return digest_of(
        {
            "format": [ARCHIVE_FORMAT, platform.python_version(), pa.__version__, zlib.ZLIB_RUNTIME_VERSION],
            "params": json.loads(json.dumps(vars(params))),
            "standard_library": _listing(standard_library.files()) if params.standard_library else None,
            "distributions": {found.url: _listing(_files_of(found)) for found in distributions},
            "not_installed": absent,
            "git_repositories": [repository_state(Path(path)) for path in params.git_repositories],
        }
    )


def _listing(files: Mapping[bytes, Path]) -> str:
    running = hashlib.sha256()
    for name in sorted(files):
        running.update(b"%b\0%d\0" % (name, size_of(files[name])))
    return running.hexdigest()


def _files_of(distribution: Installed) -> dict[bytes, Path]:
    try:
        return distribution.files()
    except ArchiveError:
        return {}


def _add_sources(graph: Graph, params: Archive) -> dict[str, Any]:
    skipped: list[Skipped] = []
    taken_bytes = 0
    if params.standard_library:
        files = standard_library.files()
        taken_bytes = python_bytes(files)
        url = standard_library.origin_url()
        if b"LICENSE" not in files:
            skipped.append(Skipped(url, "LICENSE", "this Python has no licence file where they are kept"))
        _add_release(graph, url, "tar", platform.python_version(), files, skipped)
    distributions, absent = wanted_distributions(params.distributions)
    left_out = _add_distributions(graph, params, distributions, taken_bytes, skipped)
    for path in params.git_repositories:
        add_repository(graph, Path(path), max_bytes=params.max_repository_bytes)
    for reason, count in sorted(Counter(note.reason for note in skipped).items()):
        logger.warning("archive: %d file(s) skipped: %s", count, reason)
    return {
        "left_out": [{"origin": url, "reason": reason} for url, reason in sorted(left_out.items())],
        "not_installed": absent,
        "skipped": [note._asdict() for note in skipped],
    }


def _add_distributions(
    graph: Graph, params: Archive, distributions: list[Installed], taken_bytes: int, skipped: list[Skipped]
) -> dict[str, str]:
    """Take distributions in order of name while they fit; say why of the others (origin URL to reason)."""
    left_out = {}
    for found in distributions:
        try:
            files = found.files()
        except ArchiveError as error:
            left_out[found.url] = error.what
            continue
        size = python_bytes(files)
        if size > params.max_distribution_bytes:
            left_out[found.url] = (
                f"{size} bytes of Python exceed max_distribution_bytes {params.max_distribution_bytes}"
            )
        elif taken_bytes + size > params.max_python_bytes:
            left_out[found.url] = f"{size} bytes of Python no longer fit in max_python_bytes {params.max_python_bytes}"
        else:
            taken_bytes += size
            _add_release(graph, found.url, "pypi", found.version, files, skipped)
    return left_out


def _add_release(
    graph: Graph, url: str, kind: str, version: str, paths: Mapping[bytes, Path], skipped: list[Skipped]
) -> None:
    """Add one released source tree, as Software Heritage's PyPI loader does: `releases/<version>` and a HEAD alias."""
    root = graph.add_tree(add_files(graph, url, paths, skipped))
    message = f"{url}\n".encode()
    revision = graph.add_revision(Revision(root, (), _SIGNATURE, _SIGNATURE, "tar", message))
    branch = f"releases/{version}".encode()
    snapshot = graph.add_snapshot({branch: Branch("revision", revision), b"HEAD": Branch("alias", branch)})
    graph.add_origin(Origin(url, kind, snapshot, root))
    logger.info("archived %s: %d files", url, len(paths))


def _write_graph(folder: Path, graph: Graph, layout: str) -> None:
    if layout == "2019-01-28":
        for name, table in tables_2019(graph, VISIT_SECONDS):
            write_parquet(folder / name / "0.parquet", table)
    else:
        for name, table in tables_2021(graph, VISIT_SECONDS):
            write_orc(folder / name / f"{name}-0.orc", table)


def _figures(graph: Graph) -> dict[str, Any]:
    origins = []
    for origin in sorted(graph.origins):
        files, size = measure_tree(graph, origin.root) if origin.root else (0, 0)
        origins.append({"url": origin.url, "kind": origin.kind, "files": files, "python_bytes": size})
    return {
        "num_origins": len(graph.origins),
        "num_snapshots": len(graph.snapshots),
        "num_revisions": len(graph.revisions),
        "num_releases": len(graph.releases),
        "num_directories": len(graph.directories),
        "num_contents": len(graph.contents),
        "num_skipped_contents": len(graph.skipped_contents),
        "python_bytes": sum(origin["python_bytes"] for origin in origins),
        "origins": origins,
    }
