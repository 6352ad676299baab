import contextlib
import csv
import dataclasses
import json
import logging
import pickle
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from minicode_model.artifact import write_artifact
from minicode_model.config import Checkpoint, Model
from minicode_model.errors import CheckpointError, DivergenceError
from minicode_model.model import initialise
from minicode_model.training import batches, callbacks
from minicode_model.training.batches import StepLoader, sequence_order
from minicode_model.training.logs import metrics_table
from minicode_model.training.optim import make_optimizer
from minicode_model.training.run import fit
from minicode_model.training.schedule import learning_rate_at
from minicode_model.training.state import TENSORS, TREE, from_json, newest_state, to_json
from minicode_model.training.throughput import operations_per_token
from tests.forked import IMPORTED
from tests.model.byte_split import ByteSplit, FailingSplit, train_and_die


def fail() -> None:
    raise OSError("the disk is gone")


@dataclasses.dataclass
class Outcome:
    metrics: str
    weights: dict[str, torch.Tensor]

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, Outcome)
        same = all(torch.equal(self.weights[name], other.weights[name]) for name in self.weights)
        return self.metrics == other.metrics and same


@pytest.fixture
def train_here(tmp_path, train_split, validation_split, tiny_model, tiny_params):
    def run(split=train_split, folder="states", **changes) -> Outcome:
        params = dataclasses.replace(tiny_params, **changes)
        network = initialise(tiny_model, params.seed)
        metrics, validation = fit(network, split, validation_split, tmp_path / folder, params=params)
        return Outcome(metrics_table(metrics, validation), network.state_dict())

    return run


@pytest.mark.parametrize(
    "change",
    [{}, *(pytest.param(one, marks=pytest.mark.slow) for one in ({"precision": "fp32"}, {"optimizer": "muon"}))],
    ids=["bf16", "fp32", "muon"],
)
def test_resumed_equals_uninterrupted_bit_for_bit(train_here, train_split, change: dict[str, str]) -> None:
    whole = train_here(**change, folder="whole")
    for at in (2, 15, 31, 46):  # the 4 sequences of steps 1, 4, 8 and 12; states lie after steps 3, 6 and 9
        with pytest.raises(OSError, match="disk is gone"):
            train_here(FailingSplit(train_split, at, fail), **change, folder=f"at-{at}")
        assert train_here(**change, folder=f"at-{at}") == whole


def test_resumed_twice_over_several_epochs_equals_uninterrupted(train_here, train_split) -> None:
    few = ByteSplit(train_split.texts[:1], seq_len=48)
    params = {"batch_size": 16, "max_steps": 9, "checkpoint_every_steps": 2}
    whole = train_here(few, folder="whole", **params)
    for at in (130, 70):
        with pytest.raises(OSError, match="disk is gone"):
            train_here(FailingSplit(few, at, fail), **params)
    assert train_here(few, **params) == whole


def test_sigint_saves_the_finished_step_and_passes_on(train_here, train_split, tmp_path, caplog) -> None:
    whole = train_here(folder="whole")
    former = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    interrupting = FailingSplit(train_split, 19, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train_here(interrupting)
    assert newest_state(tmp_path / "states").name == "step-00000005"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == former
    assert "saved at step 5" in caplog.text
    assert train_here() == whole


def test_a_damaged_newest_state_falls_back_loudly(train_here, train_split, tmp_path, caplog) -> None:
    whole = train_here(folder="whole")
    with pytest.raises(OSError, match="disk is gone"):
        train_here(FailingSplit(train_split, 41, fail))
    newest = tmp_path / "states" / "step-00000009" / "tensors.safetensors"
    raw = bytearray(newest.read_bytes())
    raw[-9] ^= 1
    newest.write_bytes(raw)
    with caplog.at_level(logging.INFO, "minicode.checkpoint"):
        assert train_here() == whole
    assert "step-00000009 is of no use" in caplog.text
    assert "going on from" in caplog.text
    assert "step-00000006" in caplog.text


def pickled(folder: Path) -> None:
    (folder / TENSORS).write_bytes(pickle.dumps({"weight": [1.0]}))


def nested(folder: Path) -> None:
    (folder / TREE).write_text("[" * 50_000)


def emptied(folder: Path) -> None:
    (folder / TREE).write_text('["dict", []]')


def without_tensors(folder: Path) -> None:
    save_file({"other": torch.zeros(1)}, folder / TENSORS)


def huge_header(folder: Path) -> None:
    (folder / TENSORS).write_bytes((2**62).to_bytes(8, "little") + b"{}")


@pytest.fixture(scope="module")
def some_states(tmp_path_factory, train_split, validation_split, tiny_model, tiny_params) -> Path:
    """Those after steps 6 and 9 of a training that stopped."""
    states = tmp_path_factory.mktemp("some") / "states"
    with pytest.raises(OSError, match="disk is gone"):
        fit(
            initialise(tiny_model, 0), FailingSplit(train_split, 41, fail), validation_split, states,
            params=tiny_params,
        )  # fmt: skip
    return states


def reseal(newest: Path, sealed: Path) -> None:
    """Give the files of a state a manifest that fits them."""
    with write_artifact(sealed, name="training_state", config_digest="states", inputs={}) as writer:
        for name in (TENSORS, TREE):
            shutil.copy(newest / name, writer.path / name)
    shutil.rmtree(newest)
    sealed.rename(newest)


@pytest.mark.parametrize("attack", [pickled, nested, emptied, without_tensors, huge_header])
def test_a_state_whose_manifest_fits_and_whose_files_do_not_is_passed_over(some_states, tmp_path, attack) -> None:
    """Never loaded, and never an error that a person can't read."""
    states = shutil.copytree(some_states, tmp_path / "states")
    newest = states / "step-00000009"
    attack(newest)
    reseal(newest, tmp_path / "sealed")
    assert newest_state(states) == states / "step-00000006"
    assert (states / "damaged-step-00000009").is_dir()


def test_an_optimizer_state_of_another_shape_is_refused(
    some_states, tmp_path, train_split, validation_split, tiny_model, tiny_params
) -> None:
    newest = shutil.copytree(some_states, tmp_path / "states") / "step-00000009"
    tensors = load_file(newest / TENSORS)
    name = next(name for name in tensors if name.endswith("exp_avg") and tensors[name].ndim == 2)
    save_file(tensors | {name: torch.zeros(3, 5)}, newest / TENSORS)
    reseal(newest, tmp_path / "sealed")
    with pytest.raises(CheckpointError, match=r"optimizer state exp_avg: found shape \[3, 5\], expected"):
        fit(initialise(tiny_model, 0), train_split, validation_split, tmp_path / "states", params=tiny_params)


def test_a_state_of_another_training_is_passed_over(some_states, tmp_path, caplog) -> None:
    states = shutil.copytree(some_states, tmp_path / "another")
    assert newest_state(states) is None
    assert "found a state of the training states, expected another" in caplog.text


def test_accumulation_equals_one_large_batch(train_here) -> None:
    several = train_here(precision="fp32", folder="several")
    one = train_here(precision="fp32", folder="one", batch_size=4, gradient_accumulation_steps=1)
    for name, weight in one.weights.items():
        assert torch.allclose(weight, several.weights[name], atol=2e-4), name
    rows = [[float(line.split(",")[1]) for line in run.metrics.split()[1:]] for run in (several, one)]
    assert np.allclose(*rows, atol=1e-3)


def test_without_document_mask_a_sequence_is_one_text(train_split, tiny_params) -> None:
    whole_epoch = dataclasses.replace(tiny_params, batch_size=train_split.num_sequences, gradient_accumulation_steps=1)
    with_mask, without = (
        StepLoader(train_split, dataclasses.replace(whole_epoch, document_mask=on)).step_batches(0)[0]
        for on in (True, False)
    )
    assert torch.equal(with_mask.tokens_BT, without.tokens_BT)
    assert len(with_mask.segments_BT.unique()) > 2
    assert torch.equal(without.segments_BT, torch.where(with_mask.segments_BT < 0, -1, 0))
    assert without.step_targets > with_mask.step_targets


def test_the_process_is_left_as_it_was(train_here, capfd, recwarn, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads(), torch.get_rng_state(), logging.getLogger("lightning.pytorch").level
    train_here(num_threads=1)
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert logging.getLogger("lightning.pytorch").level == before[2]
    assert capfd.readouterr() == ("", "")
    assert [str(w.message) for w in recwarn] == []
    assert [path.name for path in tmp_path.iterdir()] == ["states"]


@pytest.mark.slow
def test_killed_at_any_step_the_same_call_gives_the_same(train_here, tmp_path, tiny_model, tiny_params) -> None:
    whole = train_here(folder="whole")
    for at in (1, 14, 14, 10, 15):  # 4 sequences a step: killed in steps 1, 4, 7, 9 and 10
        process = IMPORTED.Process(target=train_and_die, args=(at, tmp_path / "states", tiny_model, tiny_params))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert newest_state(tmp_path / "states").name == "step-00000009"
    assert train_here() == whole


@pytest.mark.parametrize(("rate", "culprit"), [(1e30, "gradient"), (float("inf"), "weight")])
def test_a_loss_that_is_not_finite_stops_with_a_diagnosis(
    tmp_path, train_split, validation_split, tiny_model, tiny_params, rate, culprit
) -> None:
    params = dataclasses.replace(tiny_params, learning_rate=rate)
    with pytest.raises(DivergenceError, match=rf"step 1: loss nan.*first {culprit} that isn't: model\.") as caught:
        fit(initialise(tiny_model, 0), train_split, validation_split, tmp_path, params=params)
    assert "learning_rate" in caught.value.hint


@pytest.mark.slow
def test_a_climbing_loss_stops_with_a_diagnosis(train_here) -> None:
    rising = {"learning_rate": 2.0, "warmup_fraction": 1.0, "decay_fraction": 0.0, "max_steps": 100}
    with pytest.raises(DivergenceError, match=r"step \d+: loss .* best was .* at step \d+; gradient norm"):
        train_here(max_loss_increase_nats=0.2, **rising)


@given(st.integers(1, 400), st.floats(0, 0.5), st.floats(0, 0.5), st.sampled_from(["wsd", "cosine"]))
def test_learning_rate_rises_to_its_peak_and_never_rises_again(steps, warmup, decay, schedule) -> None:
    params = Checkpoint(max_steps=steps, warmup_fraction=warmup, decay_fraction=decay, schedule=schedule)
    rates = [learning_rate_at(step, params) for step in range(steps)]
    peak = int(np.argmax(rates))
    assert all(0 < rate <= params.learning_rate for rate in rates[:-1])
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_learning_rate_by_hand() -> None:
    params = Checkpoint(
        max_steps=100, learning_rate=1.0, warmup_fraction=0.1, decay_fraction=0.2, min_learning_rate_fraction=0.1
    )
    assert [learning_rate_at(step, params) for step in (0, 9, 10, 79, 80, 90, 100)] == pytest.approx(
        [0.1, 1, 1, 1, 1, 0.55, 0.1]
    )
    cosine = dataclasses.replace(params, schedule="cosine")
    assert learning_rate_at(55, cosine) == pytest.approx(0.55)
    assert learning_rate_at(100, cosine) == pytest.approx(0.1)


def test_matrices_decay_and_vectors_do_not(tiny_model: Model, tiny_params: Checkpoint) -> None:
    network = initialise(tiny_model, 0)
    decayed, kept = make_optimizer(network, tiny_params).param_groups
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert decayed["weight_decay"] == 0.1
    assert kept["weight_decay"] == 0
    assert all(names[id(p)].endswith(".weight") and "norm" not in names[id(p)] for p in decayed["params"])
    assert all(names[id(p)].endswith(".bias") or "norm" in names[id(p)] for p in kept["params"])
    assert len(decayed["params"]) + len(kept["params"]) == len(names)


def test_muon_takes_the_matrices_of_the_blocks_and_moves_them_orthogonally(tiny_model, tiny_params) -> None:
    params = dataclasses.replace(tiny_params, optimizer="muon", weight_decay=0.0)
    network = initialise(tiny_model, 0)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    optimizer = make_optimizer(network, params)
    tokens = torch.arange(40)[None]
    network.loss(tokens, torch.zeros_like(tokens))[0].backward()
    optimizer.step()
    by_muon = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    for name, parameter in network.named_parameters():
        assert (id(parameter) in by_muon) == (parameter.ndim == 2 and ".layers." in name)
        if id(parameter) in by_muon:
            moved = before[name] - parameter.detach()
            expected = params.learning_rate * 0.2 * max(moved.shape) ** 0.5
            singular = torch.linalg.svdvals(moved) / expected
            assert singular.max() < 1.3
            assert singular[: len(singular) // 2].min() > 0.5


def test_muon_equals_torchs(tiny_model: Model, tiny_params: Checkpoint) -> None:
    params = dataclasses.replace(tiny_params, optimizer="muon")
    ours, theirs = initialise(tiny_model, 0), initialise(tiny_model, 0)
    optimizer = make_optimizer(ours, params)
    inner = [p for name, p in theirs.named_parameters() if p.ndim == 2 and ".layers." in name]
    oracle = torch.optim.Muon(inner, lr=params.learning_rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    tokens = torch.arange(40)[None]
    for _ in range(3):
        for network, stepper in ((ours, optimizer), (theirs, oracle)):
            stepper.zero_grad()
            network.loss(tokens, torch.zeros_like(tokens))[0].backward()
            stepper.step()
        # what AdamW updates has no oracle here
        theirs.load_state_dict(
            theirs.state_dict() | {n: w for n, w in ours.state_dict().items() if w.ndim < 2 or ".layers." not in n}
        )
    for (name, weight), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(weight, other, atol=2e-4), name


@given(st.integers(1, 200), st.integers(0, 2**32), st.integers(0, 3))
def test_order_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    assert sorted(sequence_order(count, seed, epoch)) == list(range(count))


def test_order_stays_what_it_was() -> None:
    """Changing it would change every trained checkpoint."""
    assert sequence_order(8, 1337, 0).tolist() == [2, 4, 5, 6, 7, 3, 0, 1]


def test_each_epoch_reads_every_sequence_once(train_split: ByteSplit) -> None:
    params = Checkpoint(max_steps=2 * train_split.num_sequences, batch_size=1)
    loader = StepLoader(train_split, params)
    read = [loader._sequence_at(position) for position in range(2 * train_split.num_sequences)]
    first, second = read[: train_split.num_sequences], read[train_split.num_sequences :]
    assert sorted(first) == sorted(second) == list(range(train_split.num_sequences))
    assert first != second


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    )
)
def test_states_come_back_from_json_as_they_were(value: object) -> None:
    assert from_json(json.loads(json.dumps(to_json(value, "", {}))), {}) == value


def test_what_only_a_pickle_could_hold_is_refused() -> None:
    with pytest.raises(CheckpointError, match="/optimizer/0: can't be stored without a pickle: object"):
        to_json({"optimizer": [object()]}, "", {})


def test_operations_are_counted_from_the_weights(tiny_model: Model) -> None:
    for change in ({}, {"num_key_value_heads": 2}, {"hidden_act": "swiglu"}, {"tie_word_embeddings": False}):
        shape = dataclasses.replace(tiny_model, **change)
        network = initialise(shape, 0)
        matrices = sum(p.numel() for name, p in network.named_parameters() if p.ndim == 2 and "embed" not in name)
        matrices += network.output_weight.numel() if shape.tie_word_embeddings else 0
        assert operations_per_token(shape, 48) == 6 * matrices + 12 * 2 * 32 * 48
    windowed = dataclasses.replace(tiny_model, sliding_window=5)
    assert operations_per_token(tiny_model, 48) - operations_per_token(windowed, 48) == 12 * 2 * 32 * (48 - 5)


class SlowSplit(FailingSplit):
    """A split each of whose sequences takes a second of a clock that nothing else moves."""

    def __init__(self, split: ByteSplit, clock: list[float]) -> None:
        super().__init__(split, 0, fail)
        self.clock = clock

    def sequence(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        self.clock[0] += 1
        return self.split.sequence(index)


@pytest.mark.parametrize(("slow", "waited"), [("validation", 0), ("training", 16)])
def test_only_waiting_for_training_data_is_waiting(
    tmp_path, train_split, validation_split, tiny_model, tiny_params, monkeypatch, slow: str, waited: int
) -> None:
    """Neither validation nor the batches that are accumulated count."""
    clock = [0.0]
    for module in (batches, callbacks):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    params = dataclasses.replace(tiny_params, validate_every_steps=1, max_steps=4)
    splits = {"training": train_split, "validation": validation_split}
    splits[slow] = SlowSplit(splits[slow], clock)
    metrics, _ = fit(initialise(tiny_model, 1), *splits.values(), tmp_path / "s", params=params)
    assert metrics.waiting_seconds == waited
    assert metrics.data_wait_fraction == metrics.speeds[-1][3] == (waited > 0)
    assert metrics.seconds >= 16


def test_a_step_of_nothing_but_prompts_changes_no_weight(
    tmp_path, train_split, validation_split, tiny_model, tiny_params, monkeypatch
) -> None:
    monkeypatch.setattr(ByteSplit, "learnt", lambda split, index: np.zeros(split.seq_len, bool))
    params = dataclasses.replace(tiny_params, max_steps=2, weight_decay=0.0)
    network = initialise(tiny_model, 1)
    metrics, _ = fit(network, train_split, validation_split, tmp_path / "s", params=params)
    assert [row[1:3] for row in metrics.rows] == [(0, 0), (0, 0)]
    assert torch.equal(network.output_weight, initialise(tiny_model, 1).output_weight)


def test_tensorboard_shows_the_rows(tmp_path, train_split, validation_split, tiny_model, tiny_params) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    board = tmp_path / "board"
    network = initialise(tiny_model, 1)
    metrics, _ = fit(network, train_split, validation_split, tmp_path / "states", params=tiny_params, logs=board)
    events = accumulator(str(board)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (int(row[0]), pytest.approx(row[1])) for row in metrics.rows
    ]
    assert [event.step for event in events.Scalars("validation_loss")] == [4, 8, 12]
    speeds = {"tokens_per_second", "mfu", "data_wait_fraction"}
    assert {"gradient_norm", "learning_rate", "tokens", *speeds} <= set(events.Tags()["scalars"])


def test_logs_have_speeds_and_go_on_after_a_kill(
    tmp_path, train_split, validation_split, tiny_model, tiny_params
) -> None:
    """One row a step in the end, those before the kill among them; speeds where they are due, and none in the table."""
    params = dataclasses.replace(tiny_params, log_every_steps=4, tensorboard=False)
    for split in (FailingSplit(train_split, 41, fail), train_split):
        network = initialise(tiny_model, 1)
        with contextlib.suppress(OSError):
            metrics, validation = fit(
                network, split, validation_split, tmp_path / "s", params=params, logs=tmp_path / "logs"
            )
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["metrics.csv"]
    with (tmp_path / "logs" / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == list(range(1, params.max_steps + 1))
    measured = [row for row in rows if row["mfu"]]
    assert [int(row["step"]) for row in measured] == [4, 8, 12]
    assert all(0 < float(row["mfu"]) < 1 and 0 <= float(row["data_wait_fraction"]) < 1 for row in measured)
    assert float(measured[-1]["tokens_per_second"]) > 0
    assert "mfu" not in metrics_table(metrics, validation)
