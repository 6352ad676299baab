"""The license sidecar: which licence holds for each document, and which files say so.

The logic is The Stack v2's, with package metadata in the place of GitHub's own licence field (curation.md 2.1):

1. What another source states of its record decides alone; else the SPDX tags in the file's own head do, or in the
   file of its name with `.license` behind (REUSE), and one that names no known licence is restrictive. A restrictive
   notice in the head (`under the terms of the GNU General Public License`, `License: GPL`) counts beside a tag that
   gives no choice, and beside all that follows.
2. The origin's licence: a License-Expression (PEP 639) in its package metadata decides for the origin, and so does a
   licence name that one of its licence files confirms; else the licence files at the root and the metadata count
   together. (So a font's licence in `LICENSE.external` does not change the licence of the code.)
3. The nearest licence files up the path from the document, below the root, are added.
4. Permissive when at least one expression is permissive and nothing restrictive remains after ignorable ones are
   removed; nothing found, or only ignorable expressions: no_license; else non_permissive. A file that is named like a
   licence and can't be recognised is restrictive, unless metadata declares the licence.
"""

import functools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import polars as pl

from minicode_assets.config import License
from minicode_assets.corpus.annotate.license_names import named_license
from minicode_assets.corpus.annotate.license_statements import noticed_in
from minicode_assets.corpus.annotate.license_texts import normalise
from minicode_assets.corpus.annotate.sidecar import read_documents, write_sidecar
from minicode_assets.corpus.annotate.spdx import UNRECOGNISED, Verdict, canonical, conjunction, judge
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import FILE_MANIFEST, LICENSE, LICENSE_FILES
from minicode_assets.sources.swh import readable_path
from minicode_model.artifact import Artifact

_METADATA_FOLDER = re.compile(r"^(?P<base>(?:.*/)?)[^/]+\.(?:dist-info|egg-info)(?:/.*)?$")
_LICENSES_FOLDER = re.compile(r"(?i)(?:^|/)licen[cs]es?$")
_LICENSE_NAME = re.compile(r"(?i)^(?:un)?licen[cs]e|^copying|licen[cs]e(?:\.(?:txt|md|rst))?$")
_SIDECAR = re.compile(r"(?i).\.\w+\.license$")
_TAG = (
    r"(?im)^(?:[ \t]*#[^\n\"'`]*?|[ \t]*(?://|/?\*+|;|--|\"{3}|'{3})?[ \t]*)"
    r"\bSPDX-License-Identifier[ \t]*:[ \t]*[A-Za-z0-9.+()/, -]{1,300}"
)
"""In a comment, or at the head of a line: what stands inside of a literal is what the program writes."""
_NOTICE_WORDS = (
    r"(?i)licen|gpl|general public|commercial|proprietary|internal use|unauthori|lizenz|лицензия|许可证|ライセンス"
)
_HEAD_CHARACTERS = 4000


class Evidence(NamedTuple):
    """One licence file: its path, what it states (null: not recognised), by which rule, and the score 0..1."""

    path: str
    expression: str | None
    rule: str | None
    score: float | None


class Assigned(NamedTuple):
    """A document's licence: the columns of the sidecar after document_id."""

    license_type: str
    expression: str | None
    rule: str | None
    evidence: str | None
    score: float | None


NOTHING = Assigned("no_license", None, None, None, None)


@dataclass
class Tree:
    """The licence evidence of one revision, by the folder that it covers ("" is the root), or by the file."""

    folders: dict[str, list[Evidence]] = field(default_factory=lambda: defaultdict(list))
    files: dict[str, Evidence] = field(default_factory=dict)
    distributions: dict[str, dict[str, bool]] = field(default_factory=lambda: defaultdict(dict))

    def above(self, folder: str) -> list[Evidence]:
        """Evidence of the nearest folder at or above this one that has some, the root left out."""
        while folder:
            if folder in self.folders:
                return self.folders[folder]
            folder = folder.rpartition("/")[0]
        return []


def annotate(
    documents: Path,
    file_manifest: Path,
    license_files: Sequence[Path],
    folder: Path,
    *,
    params: License,
    config_digest: str,
) -> Artifact:
    """After this, `folder` holds each document's licence verdict with its evidence.

    Args:
        documents: One partition of the documents.
        file_manifest: The manifest, which says where each licence file lies.
        license_files: All partitions of the license_files artefact.
        folder: The artefact folder of this partition.
        params: The `license` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact; schema LICENSE, the documents' rows in order. Metadata: num_by_type, num_by_rule.

    Raises:
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "origin_url", "revision", "path", "declared_license"])
    heads = read_documents(documents, ["text"])["text"].str.head(_HEAD_CHARACTERS)
    tags, notices = scan_tags(heads), scan_notices(heads)
    trees = read_trees(file_manifest, license_files, frame["origin_url"].unique())
    assign = functools.cache(functools.partial(assign_license, params=params))
    rows = []
    for (document_id, origin_url, revision, path, declared), expression, notice in zip(
        frame.iter_rows(), tags, notices, strict=True
    ):
        tree = trees.get((origin_url, revision), Tree())
        assigned = assign(*_evidence(tree, path, declared=declared, tag=expression, notice=notice))
        rows.append((document_id, *assigned))
    sidecar = pl.DataFrame(rows, schema=LICENSE.polars, orient="row")
    return write_sidecar(
        folder,
        sidecar,
        LICENSE,
        document_ids=frame["document_id"],
        config_digest=config_digest,
        inputs={
            "documents": documents,
            "file_manifest": file_manifest,
            **{f"license_files/{path.name}": path for path in license_files},
        },
        metadata={f"num_by_{name}": _count(sidecar[f"license_{name}"]) for name in ("type", "rule")},
    )


def scan_tags(heads: pl.Series) -> list[str | None]:
    """What the SPDX tags of each head ask for together; null without any.

    A tag that can't be read asks for something that nobody here knows, so it is no licence of the origin's either.
    """
    told = heads.str.extract_all(_TAG).to_list()
    return [
        conjunction([_named(line.rpartition(":")[2].strip()) for line in lines]) if lines else None for lines in told
    ]


def _named(tag: str) -> str:
    if expression := canonical(tag):
        return expression
    named = named_license(" ".join(normalise(tag)))
    return named.expression if named else UNRECOGNISED


def scan_notices(heads: pl.Series) -> list[str | None]:
    """The restrictive licences that the notes in each document's head put it under; null without any."""
    told = heads.str.contains(_NOTICE_WORDS).fill_null(value=False)
    limits = [noticed_in(head) if wanted else [] for head, wanted in zip(heads, told, strict=True)]
    return [conjunction(names) if names else None for names in limits]


def read_trees(file_manifest: Path, license_files: Sequence[Path], origins: pl.Series) -> dict[tuple[str, bytes], Tree]:
    """The licence evidence of the given origins, by (origin_url, revision); paths sorted within a folder."""
    known = pl.concat([scan_table(path, LICENSE_FILES) for path in license_files])
    rows = (
        scan_table(file_manifest, FILE_MANIFEST)
        .filter(pl.col("is_license") & pl.col("origin_url").is_in(origins.implode()))
        .join(known, on="sha1_git", how="inner")
        .sort("origin_url", "revision", "path")
        .select("origin_url", "revision", "path", "expression", "rule", "score")
        .collect()
    )
    trees: dict[tuple[str, bytes], Tree] = defaultdict(Tree)
    for origin_url, revision, raw_path, *told in rows.iter_rows():
        evidence = Evidence(readable_path(raw_path), *told)
        _add(trees[origin_url, revision], evidence)
    for tree in trees.values():
        _add_untold(tree)
    return dict(trees)


def _evidence(
    tree: Tree, path: str, *, declared: str | None, tag: str | None, notice: str | None
) -> tuple[tuple[Evidence, ...], tuple[Evidence, ...]]:
    """What tells a document's licence: that of its origin, or its own; and what counts beside it."""
    noticed = (Evidence(path, notice, "notice", 1.0),) if notice else ()
    if declared:
        return (Evidence(path, canonical(declared), "declared", 1.0),), ()
    if tag:
        return (Evidence(path, tag, "header", 1.0),), () if " OR " in tag else noticed
    if path in tree.files:
        return (tree.files[path],), ()
    return tuple(tree.folders.get("", ())), (*tree.above(path.rpartition("/")[0]), *noticed)


def _add(tree: Tree, evidence: Evidence) -> None:
    folder, _, name = evidence.path.rpartition("/")
    if _SIDECAR.search(name):
        tree.files[evidence.path.removesuffix(".license")] = evidence._replace(rule="header")
        return
    base = covered_folder(evidence.path)
    if _METADATA_FOLDER.match(folder):
        distribution = evidence.path[: evidence.path.index("-info") + 5]
        told = tree.distributions[base].get(distribution)
        tree.distributions[base][distribution] = told or evidence.expression is not None
    if evidence.expression is not None or _LICENSE_NAME.search(name):
        tree.folders[base].append(evidence)


def _add_untold(tree: Tree) -> None:
    """Of installed distributions side by side nothing says whose a file is: one without a licence is one for all."""
    for base, told in tree.distributions.items():
        untold = [Evidence(path, UNRECOGNISED, None, None) for path, known in told.items() if not known]
        tree.folders[base] += untold if len(told) > 1 else []


def covered_folder(path: str) -> str:
    """The folder whose files a licence file covers.

    Its own, except that `<name>.dist-info/...` and `licenses/...` cover the folder that they stand in.
    """
    parent = path.rpartition("/")[0]
    if match := _METADATA_FOLDER.match(parent):
        return match["base"].rstrip("/")
    while _LICENSES_FOLDER.search(parent):
        parent = parent.rpartition("/")[0]
    return parent


def assign_license(root: tuple[Evidence, ...], near: tuple[Evidence, ...], *, params: License) -> Assigned:
    """The verdict that evidence at the root and near the document gives together.

    Args:
        root: Evidence that covers the whole origin, or the document's own tag.
        near: Evidence of the nearest folder up the path.
        params: The `license` section.
    """
    chosen = [*_origin_evidence(root), *near]
    expressions = [evidence.expression or UNRECOGNISED for evidence in chosen]
    verdicts = _verdicts(expressions, frozenset(params.ignorable), params)
    lenient = _verdicts(expressions, frozenset((*params.ignorable, *params.ignorable_beside_permissive)), params)
    if max(lenient, default=None) is Verdict.PERMISSIVE:
        verdicts = lenient
    telling = [e for e, verdict in zip(chosen, verdicts, strict=True) if verdict is not Verdict.IGNORABLE]
    if not telling:
        return NOTHING
    return Assigned(
        "permissive" if max(verdicts) is Verdict.PERMISSIVE else "non_permissive",
        conjunction([evidence.expression or UNRECOGNISED for evidence in telling]),
        _rule(telling, near),
        "\n".join(evidence.path for evidence in telling),
        min(evidence.score or 0.0 for evidence in telling),
    )


def _verdicts(expressions: list[str], ignorable: frozenset[str], params: License) -> list[Verdict]:
    permissive = frozenset(params.permissive_categories)
    return [judge(text, ignorable=ignorable, permissive_categories=permissive) for text in expressions]


def _origin_evidence(root: tuple[Evidence, ...]) -> list[Evidence]:
    """The declared licence alone where it decides; else everything, unless unrecognised beside a declared licence."""
    expressions = [evidence for evidence in root if evidence.rule == "expression"]
    if expressions:
        return expressions
    declared = {evidence.expression for evidence in root if evidence.rule == "metadata"}
    confirmed = [evidence for evidence in root if evidence.expression in declared]
    if any(evidence.rule != "metadata" for evidence in confirmed):
        return confirmed
    return [evidence for evidence in root if evidence.expression or not declared]


def _rule(telling: list[Evidence], near: tuple[Evidence, ...]) -> str:
    if telling[0].rule in ("header", "declared"):
        return str(telling[0].rule)
    if any(evidence.rule == "notice" for evidence in telling):
        return "notice"
    if any(evidence in near for evidence in telling):
        return "ancestor"
    return "metadata" if any(evidence.rule in ("expression", "metadata") for evidence in telling) else "origin"


def _count(column: pl.Series) -> dict[str, int]:
    return dict(sorted(column.drop_nulls().value_counts().iter_rows()))
