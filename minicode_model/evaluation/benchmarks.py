"""The benchmark_scores artefact: what a checkpoint can do with HumanEval, MBPP, infilling and held-out lines."""

import csv
import dataclasses
import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicode_model.artifact import Artifact, open_artifact, write_artifact
from minicode_model.checkpoint import load_model, read_settings
from minicode_model.config import BenchmarkScores, Sandbox
from minicode_model.errors import CheckpointError, SandboxError
from minicode_model.evaluation.held_out_lines import HeldOutFiles, choose_lines, line_figures, write_lines
from minicode_model.evaluation.infilling import exact_match
from minicode_model.evaluation.pass_at_k import Scored, mean_pass_at_k, score
from minicode_model.evaluation.problems import Problem, benchmark_file, load_humaneval, load_infilling, load_mbpp
from minicode_model.evaluation.sandbox import Cell
from minicode_model.generate import completion_prompt, gap_prompt, generate
from minicode_model.model import Starcoder2
from minicode_model.shards import open_split
from minicode_model.tokenizer import TokenIds, Tokenizer
from minicode_model.training.batches import sequence_order

logger = logging.getLogger("minicode.benchmark_scores")

Completions = Mapping[str, Sequence[str]]
"""Samples by task_id."""


@dataclass(frozen=True)
class Suite:
    """One benchmark as it is asked.

    Attributes:
        name: `humaneval`, `mbpp`, or `infilling_` and the file's name.
        problems: Those that are taken.
        stop: A completion ends before the first of these.
        end: What stands behind each completion: a line that the stop text cut off gets its end back.
    """

    name: str
    problems: Sequence[Problem]
    stop: tuple[str, ...]
    end: str = ""


def score_benchmarks(
    checkpoint: Path,
    shards: Path,
    tokenizer: Path,
    folder: Path,
    *,
    params: BenchmarkScores,
    limits: Sandbox,
    config_digest: str,
) -> Artifact:
    """Put a checkpoint to the benchmarks; afterwards `folder` holds scores.json, programs.csv and lines.csv.

    Args:
        checkpoint: The checkpoint artefact.
        shards: The token_shards artefact; lines come from its validation split.
        tokenizer: The tokenizer artefact.
        folder: The artefact to write.
        params: The [benchmark_scores] section.
        limits: The [sandbox] section.
        config_digest: Digest of the sections, recorded in the manifest.

    Raises:
        BenchmarkError: A benchmark's file is absent or damaged.
        CheckpointError: Another tokenizer trained the model.
        SandboxError: Programs can't be isolated here, and `skip_without_isolation` is off.
    """
    model, _ = load_model(checkpoint)
    vocabulary = Tokenizer.load(tokenizer)
    split = open_split(shards, "validation", tokenizer_digest=vocabulary.digest)
    if (found := read_settings(checkpoint).tokenizer_digest) != vocabulary.digest:
        raise CheckpointError(f"{checkpoint}: tokenizer digest found {found}, expected {vocabulary.digest}")
    lines = write_lines(model, vocabulary, choose_lines(HeldOutFiles(split, vocabulary), params), params)
    executed, programs = run_suites(model, vocabulary, load_suites(params), params, limits)
    scores = {"executed": executed, "held_out_lines": line_figures(lines)}
    inputs = {
        name: open_artifact(path, verify=False).digest
        for name, path in (("checkpoint", checkpoint), ("token_shards", shards), ("tokenizer", tokenizer))
    }
    with write_artifact(folder, name="benchmark_scores", config_digest=config_digest, inputs=inputs) as writer:
        (writer.path / "scores.json").write_text(json.dumps(scores, indent=1, sort_keys=True) + "\n")
        (writer.path / "programs.csv").write_text(_table(programs, ("benchmark", *_fields(Scored))))
        (writer.path / "lines.csv").write_text(_table([vars(row) for row in lines], None))
        writer.metadata.update(flat_scores(scores))
    return open_artifact(folder, verify=False)


def load_suites(params: BenchmarkScores) -> list[Suite]:
    """The benchmarks that the section names, each with its share of problems."""
    suites = []
    if params.humaneval:
        problems = load_humaneval(benchmark_file(params.humaneval))
        suites.append(Suite("humaneval", _some(problems, params), params.humaneval_stop))
    if params.mbpp:
        problems = load_mbpp(benchmark_file(params.mbpp), split="test")
        suites.append(Suite("mbpp", _some(problems, params), params.mbpp_stop))
    for file in params.infilling:
        problems = load_infilling(benchmark_file(file))
        single = all(problem.canonical.find("\n") == len(problem.canonical) - 1 for problem in problems)
        name = f"infilling_{Path(file).name.partition('.')[0]}"
        suites.append(Suite(name, _some(problems, params), *((("\n",), "\n") if single else ((),))))
    return suites


def _some(problems: list[Problem], params: BenchmarkScores) -> list[Problem]:
    order = sequence_order(len(problems), params.seed, 0)[: params.max_problems or None]
    return [problems[index] for index in sorted(order.tolist())]


def run_suites(
    model: Starcoder2, tokenizer: Tokenizer, suites: Sequence[Suite], params: BenchmarkScores, limits: Sandbox
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Sample, run and score each suite.

    Returns:
        (figures by suite, one row a sample). Where programs can't be isolated, a suite's figure is `not_run`.
    """
    figures: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    reason = _no_isolation(limits) if suites and params.skip_without_isolation else ""
    if reason:
        logger.warning("benchmarks that execute programs are left out: %s", reason)
        return {suite.name: {"not_run": reason} for suite in suites}, []
    for suite in suites:
        logger.info("%s: %d problems, %d samples each", suite.name, len(suite.problems), params.num_samples)
        completions = write_completions(model, tokenizer, suite, params)
        scored = score(suite.problems, completions, limits=limits, workers=params.num_workers)
        rows += [{"benchmark": suite.name, **vars(row)} for row in scored]
        figures[suite.name] = {
            "num_problems": len(suite.problems),
            **{f"pass@{k}": mean_pass_at_k(scored, k) for k in params.k},
            **_exact(suite, completions),
            **_controls(suite, limits, params),
        }
    return figures, rows


def _no_isolation(limits: Sandbox) -> str:
    try:
        Cell(limits).close()
    except SandboxError as error:
        return error.what
    return ""


def write_completions(model: Starcoder2, tokenizer: Tokenizer, suite: Suite, params: BenchmarkScores) -> Completions:
    """`num_samples` completions of each problem, reproducible by seed."""
    new_tokens = min(params.max_new_tokens, model.config.max_position_embeddings // 2)
    room = model.config.max_position_embeddings - new_tokens
    prompts = [_prompt(tokenizer, problem, room) for problem in suite.problems for _ in range(params.num_samples)]
    texts: list[bytes] = []
    for start in range(0, len(prompts), params.batch_size):
        texts += generate(
            model,
            tokenizer,
            prompts[start : start + params.batch_size],
            max_new_tokens=new_tokens,
            temperature=params.temperature,
            top_p=params.top_p,
            seed=params.seed + start,
            stop=suite.stop,
        )
    decoded = iter(text.decode("utf-8", "replace") + suite.end for text in texts)
    return {problem.task_id: [next(decoded) for _ in range(params.num_samples)] for problem in suite.problems}


def _prompt(tokenizer: Tokenizer, problem: Problem, room: int) -> TokenIds:
    if problem.suffix:
        return gap_prompt(tokenizer, problem.prompt, problem.suffix, room)
    return completion_prompt(tokenizer, problem.prompt)


def _exact(suite: Suite, completions: Completions) -> dict[str, float]:
    """For infilling: the share of completions that are the authors' own lines."""
    if not suite.name.startswith("infilling_"):
        return {}
    matches = [exact_match(text, p.canonical) for p in suite.problems for text in completions[p.task_id]]
    return {"exact_match": sum(matches) / len(matches)}


def _controls(suite: Suite, limits: Sandbox, params: BenchmarkScores) -> dict[str, float]:
    """What the authors' solutions and empty ones score here: 1 and 0, or this machine measures something else."""
    answers = {
        "canonical": {problem.task_id: [problem.canonical] for problem in suite.problems},
        "empty": {problem.task_id: [""] for problem in suite.problems},
    }
    return {
        f"{name}_pass@1": mean_pass_at_k(score(suite.problems, texts, limits=limits, workers=params.num_workers), 1)
        for name, texts in answers.items()
    }


def controls_hold(executed: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the authors' solutions score 1 and empty ones 0 in every suite that was run."""
    run = [figures for figures in executed.values() if "not_run" not in figures]
    return all(figures["canonical_pass@1"] == 1 and figures["empty_pass@1"] == 0 for figures in run)


def flat_scores(scores: Mapping[str, Any]) -> dict[str, float]:
    """The figures under one name each, e.g. `humaneval_pass@1`, `both_sides_exact_match`."""
    executed = {
        f"{suite}_{name}": value
        for suite, figures in scores["executed"].items()
        for name, value in figures.items()
        if not isinstance(value, str) and not name.startswith(("canonical", "empty", "num"))
    }
    lines = {
        f"{way}_{name}": value
        for way, figures in scores["held_out_lines"].items()
        for name, value in figures.items()
        if name in ("exact_match", "bits_per_byte")
    }
    return {name: round(float(value), 6) for name, value in (executed | lines).items()}


def _fields(row: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(row))


def _table(rows: Sequence[Mapping[str, Any]], header: Sequence[str] | None) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header or (list(rows[0]) if rows else []))
    writer.writerows(list(row.values()) for row in rows)
    return stream.getvalue()
