"""Group model: the trained checkpoint, its evaluation and the report. torch is imported only when they run."""

import json
from dataclasses import replace

import dagster as dg

from minicode_assets.defs.limits import ACCELERATOR
from minicode_assets.defs.pictures import bar_plot, line_plot, rows_table
from minicode_assets.defs.stage import Outcome, Stage, StageRun
from minicode_assets.defs.training import training_outcome
from minicode_assets.report import write_report
from minicode_model.artifact import open_artifact

FIRST_MEASURED = ("checkpoint", "evaluation", "benchmark_scores")
"""What the first phase's row of the leaderboard is made of; those of later phases are `Phase.measured`."""

CONTROLS_HOLD = "In every benchmark that was run, the authors' solutions score 1 and empty ones 0."


def checkpoint(run: StageRun) -> Outcome:
    """Train the model on the shards."""
    outcome = training_outcome(run, run.layout.asset("token_shards"), run.config.model, run.config.checkpoint, None)
    first, last = (outcome.artifact.metadata[name] for name in ("first_loss", "last_loss"))
    return replace(outcome, checks={"loss_fell": (last < first, {"first": first, "last": last})})


def evaluation(run: StageRun) -> Outcome:
    """Measure the checkpoint on held-out origins and sample from it."""
    from minicode_model.evaluation.run import evaluate

    artifact = evaluate(
        run.layout.asset("checkpoint"),
        run.layout.asset("token_shards"),
        run.layout.asset("tokenizer"),
        run.folder,
        params=run.config.evaluation,
        config_digest=run.config_digest,
    )
    results = json.loads((run.folder / "results.json").read_text())
    bits = results["bits_per_byte"]
    baselines = {name: value for name, value in bits.items() if name in ("untrained", "byte_entropy")}
    beats = len(baselines) == 2 and all(bits["model"] < value for value in baselines.values())
    samples = [(s["kind"], s["prompt"], s["text"]) for s in results["samples"]]
    return Outcome(
        artifact,
        {"beats_baselines": (beats, dict(bits))},
        {
            "bits_per_byte": bits["model"],
            "bits_per_byte_picture": bar_plot(
                "Thousandths of a bit per byte, held-out origins", "mbit/byte", {n: 1000 * v for n, v in bits.items()}
            ),
            "samples": rows_table(["kind", "prompt", "text"], samples),
        },
    )


def benchmark_scores(run: StageRun) -> Outcome:
    """Put the checkpoint to the benchmarks."""
    return scores_of(run, "checkpoint")


def scores_of(run: StageRun, checkpoint: str) -> Outcome:
    """Put the checkpoint of any phase to the benchmarks."""
    from minicode_model.evaluation.benchmarks import controls_hold, score_benchmarks

    artifact = score_benchmarks(
        run.layout.asset(checkpoint),
        run.layout.asset("token_shards"),
        run.layout.asset("tokenizer"),
        run.folder,
        params=run.config.benchmark_scores,
        limits=run.config.sandbox,
        config_digest=run.config_digest,
    )
    scores = json.loads((run.folder / "scores.json").read_text())
    executed, lines = scores["executed"], scores["held_out_lines"]
    suites = [(suite, json.dumps(figures)) for suite, figures in executed.items()]
    table = [(way, *(round(value, 4) for value in figures.values())) for way, figures in lines.items()]
    header = ["way", *next(iter(lines.values()), {})]
    controls = {suite: json.dumps(figures) for suite, figures in executed.items()}
    return Outcome(
        artifact,
        {"controls_hold": (controls_hold(executed), controls)},
        {"benchmarks": rows_table(["benchmark", "figures"], suites), "held_out_lines": rows_table(header, table)},
    )


def leaderboard(run: StageRun) -> Outcome:
    """Add the checkpoints of all phases to the history, and make the table of it."""
    from minicode_model.evaluation.leaderboard import checkpoint_row, record, write_leaderboard

    runs: dict[str, tuple[str, ...]] = {run.config.preset: FIRST_MEASURED}
    runs |= {f"{run.config.preset}/{phase.name}": phase.measured for phase in run.config.phases}
    ours = [checkpoint_row(name, *map(run.layout.asset, assets)) for name, assets in runs.items()]
    for row in ours:
        record(run.layout.history, row)
    names = [name for assets in runs.values() for name in assets]
    inputs = {name: open_artifact(run.layout.asset(name), verify=False).digest for name in names}
    artifact = write_leaderboard(run.layout.history, run.folder, inputs=inputs, config_digest=run.config_digest)
    rows = json.loads((run.folder / "leaderboard.json").read_text())
    held = all(row in rows for row in ours)
    by_tokens = sorted((float(row["num_tokens"]), float(row["bits_per_byte"])) for row in rows)
    curve = ([tokens for tokens, _ in by_tokens], [bits for _, bits in by_tokens])
    return Outcome(
        artifact,
        {"holds_this_checkpoint": (held, {"checkpoint": ours[-1]["checkpoint"], "num_checkpoints": len(rows)})},
        {
            "table": dg.MetadataValue.md((run.folder / "leaderboard.md").read_text()),
            "history": line_plot("Evaluated checkpoints", "training tokens", "bits per byte", {"checkpoints": curve}),
        },
    )


def report(run: StageRun) -> Outcome:
    """Gather the figures of the whole run."""
    artifact = write_report(run.layout, run.config, run.folder, config_digest=run.config_digest)
    figures = json.loads((run.folder / "report.json").read_text())
    steps = {row["step"]: row for row in figures["funnel"]}
    num_dropped = sum(row["num_first"] for step, row in steps.items() if step not in ("all", "kept"))
    num_all, num_kept = steps["all"]["num_documents"], steps["kept"]["num_documents"]
    return Outcome(
        artifact,
        {
            "funnel_adds_up": (
                num_all == num_kept + num_dropped,
                {"all": num_all, "kept": num_kept, "dropped": num_dropped},
            )
        },
        {"report": dg.MetadataValue.md("```\n" + (run.folder / "report.txt").read_text() + "\n```")},
    )


STAGES = [
    Stage(
        name="checkpoint",
        group="model",
        compute=checkpoint,
        deps=("token_shards",),
        description="The trained model: weights in safetensors under Hugging Face's names, config.json, metrics.csv.",
        checks={"loss_fell": "The last training loss is below the first."},
        kinds=("pytorch",),
        pool=ACCELERATOR,
    ),
    Stage(
        name="evaluation",
        group="model",
        compute=evaluation,
        deps=("checkpoint", "token_shards", "tokenizer"),
        description="Bits per byte on held-out origins beside its baselines, a completion and a fill-in-the-middle.",
        checks={
            "beats_baselines": "Fewer bits per byte than an untrained model and than the byte entropy of the text."
        },
        kinds=("pytorch",),
        pool=ACCELERATOR,
        max_age="max_evaluation_age_h",
    ),
    Stage(
        name="benchmark_scores",
        group="model",
        compute=benchmark_scores,
        deps=("checkpoint", "token_shards", "tokenizer"),
        description="pass@k of executed benchmarks, exact match of held-out lines with and without the repository.",
        checks={"controls_hold": CONTROLS_HOLD},
        kinds=("pytorch",),
        pool=ACCELERATOR,
    ),
    Stage(
        name="leaderboard",
        group="model",
        compute=leaderboard,
        deps=FIRST_MEASURED,
        description="All checkpoints that were evaluated in this data folder, best first: a table and a curve.",
        checks={"holds_this_checkpoint": "The checkpoints at hand, one a phase, are rows of it."},
        kinds=("json",),
        adds_to_history=True,
    ),
    Stage(
        name="report",
        group="model",
        compute=report,
        deps=("file_manifest", "blobs", "corpus", "tokenizer", "token_shards", "checkpoint", "evaluation"),
        description="The figures of the whole run in one table (report.json, report.txt).",
        checks={"funnel_adds_up": "Documents kept and documents dropped are all the documents."},
        kinds=("json",),
    ),
]
