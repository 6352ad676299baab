"""Writing with the model: batched sampling with a cache of keys and values, reproducible by seed.

A row's random numbers depend on (seed, row) only, so a row gets the same ones in any batch. The logits of a row may
differ in their last bits between batches of different size, as everywhere; where exact figures matter, keep the
batch size.
"""

import codecs
import sys
from collections.abc import Generator, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from minicode_model.config import Evaluation
from minicode_model.errors import ConfigError
from minicode_model.fim import arrange
from minicode_model.model import Cache, Starcoder2
from minicode_model.tokenizer import TokenIds, Tokenizer, text_bytes

_NUM_INFILLING_MARKS = 4
"""`<file_sep>` and the three sentinels."""


def generate(
    model: Starcoder2,
    tokenizer: Tokenizer,
    prompt_ids: Sequence[TokenIds],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    stop: Sequence[str] = (),
) -> list[bytes]:
    """Continue each prompt.

    Args:
        model: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        prompt_ids: One row a prompt, each of at least one id. Where prompt and new tokens exceed the model's longest
            sequence, the prompt loses its beginning.
        max_new_tokens: Upper bound a row.
        temperature: Divides the logits; 0 takes the likeliest token.
        top_p: Sample among the likeliest tokens that together have this probability, 0..1.
        seed: Of the random numbers.
        stop: A row ends before the first of these texts; it always ends at a special token, or at an id that the
            tokenizer doesn't have (a model's vocabulary may be larger).

    Returns:
        The bytes that each row continues with, in the order of the prompts.

    Raises:
        ConfigError: `max_new_tokens` leaves no room for a prompt, or a prompt or a stop text is empty.
    """
    rows = [Row(tokenizer, stop) for _ in prompt_ids]
    steps = sample(model, prompt_ids, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
    for ids in steps:
        for row, token in zip(rows, ids, strict=True):
            row.add(token)
        if all(row.is_done for row in rows):
            break
    return [row.text for row in rows]


class Row:
    """One text under way.

    Attributes:
        text: The bytes so far; once done, those before the stop.
        num_tokens: Ids taken, the one that ended the row included.
        is_done: A special token or a stop text came.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self._bytes_of = tokenizer.token_bytes
        self._stop = [text_bytes(text) for text in stop]
        if b"" in self._stop:
            raise ConfigError("stop: found an empty text, which would end everything before it begins")
        self.text = b""
        self.num_tokens = 0
        self.is_done = False

    def add(self, token: int) -> None:
        """Append one id, unless done."""
        if self.is_done:
            return
        piece = self._bytes_of[token] if token < len(self._bytes_of) else b""
        self.num_tokens += 1
        self.is_done = not piece
        self.text += piece
        found = [at for at in (self.text.find(stop) for stop in self._stop) if at >= 0]
        if found:
            self.text, self.is_done = self.text[: min(found)], True

    @property
    def num_certain(self) -> int:
        """How many bytes can't become part of a stop text any more."""
        held = max((len(stop) for stop in self._stop), default=1) - 1
        return len(self.text) if self.is_done else max(0, len(self.text) - held)


@torch.inference_mode()
def sample(
    model: Starcoder2,
    prompt_ids: Sequence[TokenIds],
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
) -> Iterator[list[int]]:
    """Yield the next id of every row, `max_new_tokens` times; arguments as in `generate`."""
    longest = model.config.max_position_embeddings
    if max_new_tokens >= longest:
        raise ConfigError(
            f"max_new_tokens: found {max_new_tokens}, expected less than max_position_embeddings {longest}"
        )
    prompts = [prompt[-(longest - max_new_tokens) :] for prompt in prompt_ids]
    if min(map(len, prompts), default=0) == 0:
        raise ConfigError("prompt: found an empty one, expected at least one token", hint="begin with <|endoftext|>")
    device = model.output_weight.device
    width = max(map(len, prompts))
    padding_B = torch.tensor([width - len(prompt) for prompt in prompts], device=device)
    tokens_BT = torch.zeros(len(prompts), width, dtype=torch.int64, device=device)
    for row, prompt in zip(tokens_BT, prompts, strict=True):
        row[width - len(prompt) :] = torch.from_numpy(prompt.astype(np.int64))
    chance = [
        np.random.Generator(np.random.Philox(key=np.array([seed % 2**64, row], np.uint64)))
        for row in range(len(prompts))
    ]
    cache = Cache.allocate(model, padding_B, width + max_new_tokens)
    for _ in range(max_new_tokens):
        logits_BV = model.next_logits(tokens_BT, cache)
        uniform_B = torch.tensor([generator.random() for generator in chance], dtype=torch.float64, device=device)
        tokens_BT = choose(logits_BV, uniform_B, temperature, top_p)[:, None]
        yield tokens_BT[:, 0].tolist()


def choose(logits_BV: Tensor, uniform_B: Tensor, temperature: float, top_p: float) -> Tensor:
    """Ids (B) drawn from the nucleus of each row.

    The nucleus is the shortest run of the likeliest tokens whose probability reaches `top_p`, one token at least; the
    uniform number picks by cumulative probability. Source: arXiv 1904.09751.
    """
    if temperature == 0 or top_p == 0:
        return logits_BV.argmax(dim=-1)
    below_best_BV = logits_BV.double() - logits_BV.amax(dim=-1, keepdim=True)  # stays finite at any temperature
    probability_BV, ids_BV = (below_best_BV / temperature).softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    cumulative_BV = probability_BV.cumsum(dim=-1)
    in_nucleus_BV = cumulative_BV - probability_BV < top_p
    mass_B1 = (probability_BV * in_nucleus_BV).sum(dim=-1, keepdim=True)
    rank_B1 = (cumulative_BV <= uniform_B[:, None] * mass_B1).sum(dim=-1, keepdim=True)
    rank_B1 = torch.minimum(rank_B1, in_nucleus_BV.sum(dim=-1, keepdim=True) - 1)
    return ids_BV.gather(-1, rank_B1)[:, 0]


def completion_prompt(tokenizer: Tokenizer, text: str) -> TokenIds:
    """The ids of a file that begins with `text`: `<file_sep>` text, as the shards have it."""
    return np.append(np.array([tokenizer.special("<file_sep>")], tokenizer.dtype), tokenizer.encode(text))


def gap_prompt(tokenizer: Tokenizer, prefix: str, suffix: str, max_tokens: int) -> TokenIds:
    """The ids of a file with a gap, in PSM order, at most `max_tokens`.

    What exceeds them goes from the beginning of the prefix and the end of the suffix; the suffix keeps a third.
    """
    room = max(2, max_tokens - _NUM_INFILLING_MARKS)
    before, after = tokenizer.encode(prefix), tokenizer.encode(suffix)
    after = after[: max(room // 3, room - len(before))]
    before = before[max(0, len(before) - (room - len(after))) :]
    start = np.array([tokenizer.special("<file_sep>")], tokenizer.dtype)
    return np.concatenate([start, arrange(tokenizer, before, start[:0], after, spm=False)])


def complete(
    model: Starcoder2,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    stop: Sequence[str] = (),
) -> str:
    """The text that the model writes after `prompt`, without it; other arguments as in `generate`."""
    (text,) = generate(
        model,
        tokenizer,
        [completion_prompt(tokenizer, prompt)],
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=stop,
    )
    return text.decode("utf-8", "replace")


def fill_in_the_middle(
    model: Starcoder2,
    tokenizer: Tokenizer,
    prefix: str,
    suffix: str,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    stop: Sequence[str] = (),
) -> str:
    """The text that the model writes between `prefix` and `suffix`; other arguments as in `generate`."""
    room = model.config.max_position_embeddings - max_new_tokens
    (text,) = generate(
        model,
        tokenizer,
        [gap_prompt(tokenizer, prefix, suffix, room)],
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        stop=stop,
    )
    return text.decode("utf-8", "replace")


def stream(
    model: Starcoder2,
    tokenizer: Tokenizer,
    prompt_ids: TokenIds,
    *,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    stop: Sequence[str] = (),
) -> Generator[str, None, Row]:
    """Yield the continuation of one prompt as it is written, whole characters only; arguments as in `generate`.

    The parts together are what `generate` gives: what could still become a stop text is held back. Returns the row.
    """
    row, decoder, num_given = Row(tokenizer, stop), codecs.getincrementaldecoder("utf-8")("replace"), 0
    steps = sample(model, [prompt_ids], max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
    for (token,) in steps:
        row.add(token)
        if row.num_certain > num_given:
            yield decoder.decode(row.text[num_given : row.num_certain])
            num_given = row.num_certain
        if row.is_done:
            break
    yield decoder.decode(row.text[num_given:], final=True)
    return row


def read_prompt() -> str:
    """Standard input, whatever its bytes: those that aren't UTF-8 reach the tokenizer as bytes (PEP 383)."""
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape")


def write(
    model: Starcoder2,
    tokenizer: Tokenizer,
    prompt: str | None,
    *,
    prefix: str,
    suffix: str,
    params: Evaluation,
    seed: int | None,
    stop: Sequence[str],
) -> Iterator[str]:
    """Yield what the commands `generate` print: the continuation of a prompt, or the text of a gap.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        prompt: The text to go on from; None fills the gap between prefix and suffix.
        prefix: Text before the gap.
        suffix: Text after the gap.
        params: Sampling; at most half of the model's positions are new tokens.
        seed: Of the sampling; None takes the parameters' own.
        stop: End before any of these texts.
    """
    positions = model.config.max_position_embeddings
    max_new_tokens = min(params.max_new_tokens, positions // 2)
    if prompt is None:
        ids = gap_prompt(tokenizer, prefix, suffix, positions - max_new_tokens)
    else:
        ids = completion_prompt(tokenizer, prompt)
    yield from stream(
        model,
        tokenizer,
        ids,
        max_new_tokens=max_new_tokens,
        temperature=params.temperature,
        top_p=params.top_p,
        seed=params.seed if seed is None else seed,
        stop=stop,
    )
