"""Bytes per token and encode speed beside tiktoken, Hugging Face tokenizers and plain SentencePiece, in one run.

Text: the standard library and the installed packages; every eighth package is held out. All tokenizers have the same
size and are trained on the same sample; tiktoken runs Hugging Face's merges. Rounds are interleaved and the best of
each counts, so that a neighbour on the machine disturbs all alike. tiktoken and tokenizers are extras of this
benchmark only: `pip install tiktoken tokenizers`.

    python benchmarks/tokens.py --megabytes 30 --vocab 4096 --rounds 3 > benchmarks/results/tokens.md
"""

import argparse
import dataclasses
import json
import os
import sys
import sysconfig
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import sentencepiece

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import machine_line

from minicode_assets.config import Tokenizer as TokenizerParams
from minicode_assets.tokens.train import train_model
from minicode_model.tokenizer import Tokenizer
from minicode_model.tokenizer_export import tokenizer_json

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's, with single digits as StarCoder splits them."""
RUNS = {
    "spaces": " ",
    "line ends": "\n",
    "hyphens": "-",
    "one letter": "a",
    "digits": "7",
    "emoji": "😀",
    "Chinese": "漢字",
    "Python without spaces": "self.x=f(1);",
}
"""Texts that are hard for an encoder in the length of a chunk."""


def read_texts(max_bytes: int) -> tuple[list[str], list[str]]:
    """(training, held-out) texts of whole packages, max_bytes each way at most."""
    paths = sysconfig.get_paths()
    train: list[str] = []
    held: list[str] = []
    sizes = {id(train): 0, id(held): 0}
    for root in (Path(paths["purelib"]), Path(paths["stdlib"])):
        for path in sorted(root.rglob("*.py")):
            parts = path.relative_to(root).parts
            if parts[0] == "site-packages" or path.stat().st_size > 1_000_000:
                continue
            split = held if zlib.crc32(parts[0].encode()) % 8 == 0 else train
            try:
                text = path.read_bytes().decode()
            except UnicodeDecodeError:
                continue
            if sizes[id(split)] < max_bytes:
                split.append(text)
                sizes[id(split)] += len(text.encode())
    return train, held


def num_bytes(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def train_ours(texts: list[str], **changes: object) -> Tokenizer:
    params = dataclasses.replace(TokenizerParams(), **changes)
    untrainable = str.maketrans("", "", "\0\u2581\u2585")
    return Tokenizer(train_model(iter([text.translate(untrainable) for text in texts]), params=params))


def train_byte_level(texts: list[str], vocab_size: int, pattern: str = "") -> "tokenizers.Tokenizer":  # noqa: F821
    """Cut as GPT-2 does, with single digits, or by a pattern of what stays together."""
    import tokenizers
    from tokenizers import Regex, decoders, models, pre_tokenizers, trainers

    theirs = tokenizers.Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(pattern), "isolated") if pattern else pre_tokenizers.Digits(individual_digits=True)
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not pattern)]
    )
    theirs.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 35,  # ours holds 34 special tokens and <unk>, which encode no text
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(texts, trainer)
    return theirs


def as_tiktoken(theirs: "tokenizers.Tokenizer") -> "tiktoken.Encoding":  # noqa: F821
    """The same vocabulary and merge order for tiktoken."""
    import tiktoken

    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    missing = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(missing)}
    vocab = json.loads(theirs.to_str())["model"]["vocab"]
    ranks = {bytes(table[c] for c in piece): index for piece, index in vocab.items()}
    return tiktoken.Encoding("byte_level", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={})


def contenders(tokenizer: Tokenizer) -> Iterator[tuple[str, Callable[[list[str]], list[int]]]]:
    """(name, function from texts to token counts)."""
    plain = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    yield "minicode", lambda texts: [len(ids) for ids in tokenizer.encode_batch(texts)]
    yield "minicode, 2 threads", lambda texts: [len(ids) for ids in tokenizer.encode_batch(texts, num_threads=2)]
    yield "SentencePiece", lambda texts: [len(plain.encode(text)) for text in texts]
    yield "SentencePiece, 2 threads", lambda texts: [len(ids) for ids in plain.encode(texts, num_threads=2)]


def peers(tokenizer: Tokenizer, train: list[str]) -> Iterator[tuple[str, Callable[[list[str]], list[int]]]]:
    import tokenizers

    exported = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(tokenizer)))
    byte_level = train_byte_level(train, tokenizer.vocab_size)
    fast = as_tiktoken(byte_level)
    yield "tokenizers, our export", lambda texts: [len(e.ids) for e in exported.encode_batch_fast(texts)]
    yield "tokenizers, byte-level BPE", lambda texts: [len(e.ids) for e in byte_level.encode_batch_fast(texts)]
    yield "tiktoken, the same byte-level BPE", lambda texts: [len(fast.encode_ordinary(text)) for text in texts]


def check_exact(tokenizer: Tokenizer, texts: list[str]) -> str:
    import tokenizers

    plain = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.model)
    exported = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json(tokenizer)))
    exported.encode_special_tokens = True  # names of special tokens in a text are text
    lossless = identical = comparable = plain_lossless = hugging_face = 0
    for text in texts:
        ids = tokenizer.encode(text)
        lossless += tokenizer.decode(ids) == text.encode()
        hugging_face += exported.encode(text).ids == ids.tolist()
        theirs = plain.encode(text)
        plain_lossless += plain.decode(theirs) == text
        if "\u2581" not in text:
            comparable += 1
            identical += theirs == ids.tolist()
    return (
        f"round trip {lossless}/{len(texts)} (plain SentencePiece {plain_lossless}); ids identical to "
        f"SentencePiece {identical}/{comparable}, to Hugging Face's on our export {hugging_face}/{len(texts)}"
    )


def compare(train: list[str], held: list[str], vocab_size: int, rounds: int) -> Tokenizer:
    seconds, tokenizer = timed(lambda: train_ours(train, vocab_size=vocab_size))
    print(f"vocabulary {vocab_size}: trained on {num_bytes(train) / 1e6:.1f} MB in {seconds:.1f} s")
    print(check_exact(tokenizer, held))
    entries = [*contenders(tokenizer), *peers(tokenizer, train)]
    best = {name: (float("inf"), float("inf")) for name, _ in entries}
    counts: dict[str, int] = {}
    for _ in range(rounds):
        for name, encode in entries:
            cpu = time.process_time()
            seconds, lengths = timed(lambda encode=encode: encode(held))
            cpu = time.process_time() - cpu
            best[name] = min(best[name][0], seconds), min(best[name][1], cpu)
            counts[name] = sum(lengths)
    size = num_bytes(held)
    print(f"\n| held out {size / 1e6:.1f} MB | MB/s | MB per CPU second | bytes/token |\n|---|---|---|---|")
    for name, _ in entries:
        seconds, cpu = best[name]
        print(f"| {name} | {size / 1e6 / seconds:.1f} | {size / 1e6 / cpu:.1f} | {size / counts[name]:.3f} |")
    return tokenizer


def compare_runs(tokenizer: Tokenizer, num_bytes: int) -> None:
    """Texts that are one chunk: processor time in blocks, and as the engine takes them in one."""
    engine = tokenizer._merges
    print(f"\n| {num_bytes / 1e6:g} MB of | s | as one chunk, s | tokens |\n|---|---|---|---|")
    for name, unit in RUNS.items():
        text = unit * (num_bytes // len(unit.encode()))
        start = time.process_time()
        ids = tokenizer.encode(text)
        blocks = time.process_time()
        engine._ranks(text)
        print(f"| {name} | {blocks - start:.2f} | {time.process_time() - blocks:.2f} | {len(ids):,} |", flush=True)


def begin() -> None:
    """Say what the run is of and on, and let no tokenizer start threads of its own."""
    print(machine_line() + "\n")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=30, help="training text; held out: as much at most")
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=10, help="megabytes of one character; 0: none")
    arguments = parser.parse_args()
    begin()
    train, held = read_texts(arguments.megabytes * 1_000_000)
    tokenizer = compare(train, held, arguments.vocab, arguments.rounds)
    if arguments.runs:
        compare_runs(tokenizer, arguments.runs * 1_000_000)


if __name__ == "__main__":
    main()
