"""Every number of the pipeline: one frozen dataclass a stage, with unit, meaning and source under each field.

The sections lie in the modules of this folder, in flow order: archive, tables, blobs, annotations, corpus, tokens; the
model's are in minicode_model/config.py. Values come from the code's default, then the preset's TOML (how large), then
the curation preset's (a top-level key `curation` chooses it), then overrides; `load` resolves them. An asset's code
version is the digest of its own sections (`ASSET_SECTIONS`); fields declared by `operational` don't count.
"""

import dataclasses
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from minicode_assets.config.annotations import (
    Annotators,
    Benchmarks,
    Contamination,
    Documents,
    ExactDup,
    Heuristics,
    Language,
    License,
    LicenseFiles,
    Lint,
    NearDup,
    OriginFacts,
    Pii,
    near_dup_problems,
    pii_problems,
)
from minicode_assets.config.archive import Archive, Partitions, archive_problems
from minicode_assets.config.automation import Automation, automation_problems
from minicode_assets.config.blobs import Blobs, FetchPlan, OptOut, OtherFiles, blobs_problems, fetch_what_is_kept
from minicode_assets.config.corpus import Corpus, SearchIndex, corpus_problems
from minicode_assets.config.files import content_digests
from minicode_assets.config.phases import PHASE_SECTIONS, Phase, build_phases, merge_tables
from minicode_assets.config.rewrite import LlmRewrite, Reformat, llm_problems
from minicode_assets.config.safety import Malware, QualityModel, malware_files, malware_problems, quality_problems
from minicode_assets.config.sources import SOURCE_SECTIONS, SourceSections, source_problems, wanted_files
from minicode_assets.config.tables import BranchHeads, FileManifest, Tables
from minicode_assets.config.tokens import EncodedDocuments, Tokenizer, TokenShards, shown_stars, tokens_problems
from minicode_assets.errors import ConfigError
from minicode_model.artifact import digest_of
from minicode_model.config import (
    BenchmarkScores,
    Checkpoint,
    Evaluation,
    Model,
    Sandbox,
    benchmark_problems,
    build_section,
    checkpoint_problems,
    model_problems,
    nearest,
    shaping_values,
)
from minicode_model.ranges import range_problems

__all__ = [
    "ASSET_SECTIONS",
    "TABLES",
    "Annotators",
    "Archive",
    "Automation",
    "Benchmarks",
    "Blobs",
    "BranchHeads",
    "Config",
    "Contamination",
    "Corpus",
    "Documents",
    "EncodedDocuments",
    "ExactDup",
    "FetchPlan",
    "FileManifest",
    "Heuristics",
    "Language",
    "License",
    "LicenseFiles",
    "Lint",
    "LlmRewrite",
    "Malware",
    "NearDup",
    "OptOut",
    "OriginFacts",
    "OtherFiles",
    "Partitions",
    "Phase",
    "Pii",
    "QualityModel",
    "Reformat",
    "SearchIndex",
    "Tables",
    "TokenShards",
    "Tokenizer",
    "asset_sections",
    "contradictions",
    "curation_names",
    "load",
    "preset_names",
    "resolve",
    "section_digest",
    "section_names",
    "shown_stars",
    "to_mapping",
]


@dataclass(frozen=True, kw_only=True)
class Config(SourceSections):
    """The resolved configuration of the whole pipeline; one section an artefact."""

    preset: str = "tiny"
    curation: str = "default"
    archive: Archive = field(default_factory=Archive)
    partitions: Partitions = field(default_factory=Partitions)
    tables: Tables = field(default_factory=Tables)
    branch_heads: BranchHeads = field(default_factory=BranchHeads)
    file_manifest: FileManifest = field(default_factory=FileManifest)
    opt_out: OptOut = field(default_factory=OptOut)
    blobs: Blobs = field(default_factory=Blobs)
    fetch_plan: FetchPlan = field(default_factory=FetchPlan)
    other_files: OtherFiles = field(default_factory=OtherFiles)
    documents: Documents = field(default_factory=Documents)
    license_files: LicenseFiles = field(default_factory=LicenseFiles)
    language: Language = field(default_factory=Language)
    license: License = field(default_factory=License)
    annotators: Annotators = field(default_factory=Annotators)
    heuristics: Heuristics = field(default_factory=Heuristics)
    lint: Lint = field(default_factory=Lint)
    origin_facts: OriginFacts = field(default_factory=OriginFacts)
    pii: Pii = field(default_factory=Pii)
    malware: Malware = field(default_factory=Malware)
    exact_dup: ExactDup = field(default_factory=ExactDup)
    near_dup: NearDup = field(default_factory=NearDup)
    benchmarks: Benchmarks = field(default_factory=Benchmarks)
    contamination: Contamination = field(default_factory=Contamination)
    quality_model: QualityModel = field(default_factory=QualityModel)
    reformat: Reformat = field(default_factory=Reformat)
    llm_rewrite: LlmRewrite = field(default_factory=LlmRewrite)
    corpus: Corpus = field(default_factory=Corpus)
    search_index: SearchIndex = field(default_factory=SearchIndex)
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    encoded_documents: EncodedDocuments = field(default_factory=EncodedDocuments)
    token_shards: TokenShards = field(default_factory=TokenShards)
    model: Model = field(default_factory=Model)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    evaluation: Evaluation = field(default_factory=Evaluation)
    automation: Automation = field(default_factory=Automation)
    benchmark_scores: BenchmarkScores = field(default_factory=BenchmarkScores)
    sandbox: Sandbox = field(default_factory=Sandbox)
    phases: tuple[Phase, ...] = ()


TABLES = (
    "origin",
    "origin_visit",
    "snapshot_branch",
    "revision",
    "release",
    "directory",
    "directory_entry",
    "content",
    "skipped_content",
)
"""The canonical Software Heritage tables that later stages read; asset `swh_<table>` each."""

ASSET_SECTIONS: dict[str, tuple[str, ...]] = {
    "archive": ("archive",),
    **{f"swh_{table}": ("tables",) for table in TABLES},
    "branch_heads": ("branch_heads",),
    "file_manifest": ("file_manifest",),
    "contents": (),
    "opt_out": ("opt_out",),
    "license_blobs": ("partitions", "blobs"),
    "license_files": ("partitions", "license_files"),
    "origin_licenses": ("license", "other_files"),
    "fetch_plan": ("blobs", "fetch_plan", "other_files"),
    "blobs": ("partitions", "blobs"),
    "documents": ("partitions", "documents"),
    "language": ("partitions", "language", "annotators"),
    "license": ("partitions", "license"),
    "heuristics": ("partitions", "heuristics", "annotators"),
    "lint": ("partitions", "lint"),
    "origin_facts": ("origin_facts",),
    "pii": ("partitions", "pii", "annotators"),
    "malware": ("partitions", "malware", "annotators"),
    "exact_dup": ("partitions", "exact_dup"),
    "minhash": ("partitions", "near_dup"),
    "near_dup": ("near_dup",),
    "benchmarks": ("benchmarks",),
    "contamination": ("partitions", "contamination"),
    "quality_model": ("quality_model",),
    "quality": ("partitions", "quality_model"),
    "redact": ("partitions",),
    "reformat": ("partitions", "reformat"),
    "llm_rewrite": ("partitions", "llm_rewrite", "reformat", "pii", "contamination", "malware"),
    "corpus": ("partitions", "corpus"),
    "search_index": ("near_dup", "search_index"),
    "tokenizer": ("tokenizer",),
    "encoded_documents": ("partitions", "encoded_documents"),
    "token_shards": ("token_shards",),
    "checkpoint": ("model", "checkpoint"),
    "evaluation": ("evaluation",),
    "benchmark_scores": ("benchmark_scores", "sandbox"),
    "leaderboard": (),
    "report": (),
}
"""Which sections shape which asset."""


def section_names() -> list[str]:
    """Names of all sections that are one table, in flow order; [phases] is a table of tables (config/phases.py)."""
    return [f.name for f in dataclasses.fields(Config) if f.name not in ("preset", "curation", "phases")]


def preset_names() -> list[str]:
    """Names of the presets that ship with the package: how large everything is."""
    return _toml_names(resources.files("minicode_assets") / "presets")


def curation_names() -> list[str]:
    """Names of the curation presets: `default`, which is the code's own values, and published ones."""
    return ["default", *_toml_names(resources.files("minicode_assets") / "presets" / "curation")]


def _toml_names(folder: Traversable) -> list[str]:
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(preset: str = "tiny", overrides: Mapping[str, Any] | None = None) -> Config:
    """Resolve a configuration: defaults, then the preset's TOML, then its curation preset's, then overrides.

    Args:
        preset: A name from `preset_names`.
        overrides: Section name to field values, as in the TOML; `curation` may name another curation preset.

    Raises:
        ConfigError: Unknown preset, section or key (the nearest is named), wrong types and contradictions, all listed.
    """
    if preset not in preset_names():
        raise ConfigError(
            f"preset {preset!r} is unknown{nearest(preset, preset_names())}",
            hint=f"MINICODE_PRESET={preset_names()[-1]} make run",
        )
    folder = resources.files("minicode_assets") / "presets"
    size = tomllib.loads((folder / f"{preset}.toml").read_text())
    curation = {"curation": "default", **size, **(overrides or {})}["curation"]
    if curation not in curation_names():
        raise ConfigError(
            f"curation {curation!r} is unknown{nearest(str(curation), curation_names())}",
            hint=f"MINICODE_CURATION={curation_names()[-1]} make run, or one of {', '.join(curation_names())}",
        )
    rules = {} if curation == "default" else tomllib.loads((folder / "curation" / f"{curation}.toml").read_text())
    layers = [
        {name: values for name, values in layer.items() if name != "curation"} for layer in (size, overrides or {})
    ]
    return resolve(layers[0], rules, layers[1], preset=preset, curation=curation)


def resolve(*layers: Mapping[str, Any], preset: str, curation: str = "default") -> Config:
    """Merge layers of section mappings (the last wins) and build the configuration.

    Raises:
        ConfigError: Every problem of every layer and every contradiction, in one message.
    """
    defaults, known = Config(), section_names()
    merged: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for layer in layers:
        for name, values in layer.items():
            if name not in (*known, "phases"):
                problems.append(f"[{name}]: unknown section{nearest(name, (*known, 'phases'))}")
            elif not isinstance(values, Mapping):
                problems.append(f"[{name}]: found {values!r}, expected a table of keys")
            elif name in known:
                merged.setdefault(name, {}).update(values)
    fetch_what_is_kept(merged)
    sections: dict[str, Any] = {}
    for name, values in merged.items():
        default = getattr(defaults, name)
        whole = {f.name: getattr(default, f.name) for f in dataclasses.fields(default)} | values
        sections[name], section_problems = build_section(type(default), whole, f"[{name}]")
        problems += section_problems
    config = Config(preset=preset, curation=curation, **sections)
    if "other_files" not in sections:  # what nobody reads is not fetched
        config = dataclasses.replace(config, other_files=OtherFiles(wanted=wanted_files(config)))
    tables: Mapping[str, Any] = functools.reduce(
        merge_tables, (layer["phases"] for layer in layers if isinstance(layer.get("phases"), Mapping)), {}
    )
    taken = {*ASSET_SECTIONS, *SOURCE_SECTIONS}
    phases, phase_problems = build_phases(tables, taken, config.token_shards, config.model, config.checkpoint)
    config = dataclasses.replace(config, phases=phases)
    problems += phase_problems
    problems += contradictions(config)
    if problems:
        raise ConfigError(
            "\n".join([f"configuration has {len(problems)} problem(s):", *(f"  - {p}" for p in problems)]),
            hint="minicode config --preset tiny shows every section, key and default",
        )
    return config


def contradictions(config: Config) -> list[str]:
    """What can't hold at the same time, one message each."""
    problems = model_problems(config.model) + checkpoint_problems(config.checkpoint)
    problems += near_dup_problems(config.near_dup) + pii_problems(config.pii)
    problems += benchmark_problems(config.benchmark_scores)
    problems += malware_problems(config.malware, drops=config.corpus.drop_malware)
    problems += quality_problems(config.quality_model) + llm_problems(config.llm_rewrite)
    if config.contamination.long_ngram_words < config.contamination.ngram_words:
        problems.append("[contamination] long_ngram_words is smaller than ngram_words")
    prefixes = config.partitions.num_prefixes
    if prefixes not in (1, 2, 4, 8, 16, 32, 64):
        problems.append(f"[partitions] num_prefixes: found {prefixes}, expected a power of two from 1 to 64")
    problems += archive_problems(config.archive) + blobs_problems(config.blobs)
    problems += automation_problems(config.automation) + tokens_problems(
        config.tokenizer, config.token_shards, config.model
    )
    if unfetched := set(config.corpus.license_types) - set(config.fetch_plan.license_types):
        problems.append(
            f"[corpus] license_types keeps {sorted(unfetched)}, which [fetch_plan] license_types leaves out"
        )
    problems += source_problems(config, config.tokenizer.extra_special_tokens, config.corpus)
    problems += corpus_problems(
        config.corpus, parsed=config.language.parse, decontaminated=bool(config.benchmarks.files)
    )
    blobs = config.blobs
    if config.tables.export != "embedded" and "local" in blobs.backends and blobs.content_folder == "embedded":
        problems.append(
            f"[tables] export is {config.tables.export!r}, so [blobs] content_folder can't be 'embedded': give the "
            "folder with that export's contents, or backends without 'local'"
        )
    ranges = [told for name in section_names() for told in range_problems(getattr(config, name), f"[{name}]")]
    for phase in config.phases:
        for name in PHASE_SECTIONS:
            ranges += range_problems(getattr(phase, name), f"[phases.{phase.name}.{name}]")
    told = {problem.partition(":")[0] for problem in problems}
    return problems + [problem for problem in ranges if problem.partition(":")[0] not in told]


def section_digest(config: Config, asset: str) -> str:
    """Digest (hex, 16 characters) of an asset's sections without operational fields, and of the files they name."""
    sections = {
        name: section if isinstance(section, str) else shaping_values(section)
        for name, section in asset_sections(config, asset).items()
    }
    if names := named_files(config, asset):
        sections["files"] = content_digests(names)
    return digest_of(sections)[:16]


def named_files(config: Config, asset: str) -> list[str]:
    """Files outside the data folder that an asset reads (config/files.py): what is in them counts as configuration."""
    scores, stars = config.benchmark_scores, config.origin_facts.stars_file
    problems = (scores.humaneval, scores.mbpp, *scores.infilling)
    named: dict[str, tuple[str, ...]] = {
        "opt_out": (config.opt_out.file,),
        "issues": (config.issues.opt_out,),
        "pull_requests": (config.pull_requests.opt_out,),
        "origin_facts": (stars,),
        "benchmarks": config.benchmarks.files,
        "pii": (config.pii.model,),
        "llm_rewrite": (config.pii.model, *malware_files(config.malware)),
        "malware": malware_files(config.malware),
        "quality_model": (config.quality_model.labels,),
        "token_shards": shown_stars(config.token_shards, stars),
        "benchmark_scores": problems,
        **{phase.shards: (phase.examples, *shown_stars(phase.token_shards, stars)) for phase in config.phases},
        **{phase.scores: problems for phase in config.phases},
    }
    licences = ("minicode:spdx_texts",) if "license_files" in asset_sections(config, asset) else ()
    return [name for name in (*named.get(asset, ()), *licences) if name not in ("", "corpus")]


def asset_sections(config: Config, asset: str) -> dict[str, Any]:
    """What shapes an asset, by name: sections of the configuration, or parts of a phase."""
    for phase in config.phases:
        if asset == phase.shards:
            return {"token_shards": phase.token_shards, "examples": phase.examples}
        if asset == phase.name:
            return {"model": phase.model, "checkpoint": phase.checkpoint, "after": phase.after}
        asset = {phase.evaluation: "evaluation", phase.scores: "benchmark_scores"}.get(asset, asset)
    return {name: getattr(config, name) for name in {**ASSET_SECTIONS, **SOURCE_SECTIONS}[asset]}


def to_mapping(config: Config) -> dict[str, Any]:
    """The resolved configuration as plain values, for TOML, JSON and the web UI."""
    return dataclasses.asdict(config)
