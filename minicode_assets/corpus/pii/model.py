"""Finds of a token classification model, such as StarPII, from a local folder; needs the extra `pii-model`.

The model looks at windows of its own length that overlap, so a find at an edge is seen whole in the next one.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minicode_assets.corpus.pii.detect import Detector
from minicode_assets.corpus.pii.spans import Span
from minicode_assets.errors import CorpusError

_OVERLAP_TOKENS = 32
_MAX_TOKENS = 1024
"""Longest window. Source: StarEncoder's context."""
_BATCH_WINDOWS = 8


def load_detector(folder: Path, *, labels: Sequence[str], min_score: float) -> Detector:
    """A detector that runs a checkpoint in Hugging Face format.

    Args:
        folder: config.json, weights, and a fast tokenizer (tokenizer.json). Nothing is downloaded.
        labels: `LABEL=kind` pairs; the checkpoint's other labels are left.
        min_score: Least probability of a token's label, 0..1.

    Raises:
        CorpusError: The extra is not installed, the folder holds no such checkpoint, or it knows none of the labels.
    """
    try:
        import transformers
    except ImportError as error:
        raise CorpusError(
            "[pii] model needs transformers", hint="pip install -c constraints.txt -e '.[pii-model]'"
        ) from error
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForTokenClassification.from_pretrained(folder, local_files_only=True).eval()
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{folder}: no token classification checkpoint: {error}", hint="set [pii] model to its folder, or to ''"
        ) from error
    wanted = dict(label.split("=", 1) for label in labels)
    kinds = {number: wanted.get(label.removeprefix("B-").removeprefix("I-")) for number, label in
             model.config.id2label.items()}  # fmt: skip
    if not tokenizer.is_fast or not any(kinds.values()):
        raise CorpusError(
            f"{folder}: found labels {sorted(model.config.id2label.values())}, expected some of {sorted(wanted)} and a "
            "fast tokenizer",
            hint="name the checkpoint's labels in [pii] model_labels",
        )

    def detector(texts: list[str]) -> list[list[Span]]:
        return [list(_finds(text, tokenizer, model, kinds, min_score)) for text in texts]

    return detector


def _finds(text: str, tokenizer: Any, model: Any, kinds: Mapping[int, str | None], min_score: float) -> Iterator[Span]:
    if not text.strip():
        return
    limit = min(tokenizer.model_max_length, _MAX_TOKENS, getattr(model.config, "max_position_embeddings", _MAX_TOKENS))
    windows = tokenizer(
        text, truncation=True, max_length=limit, stride=min(_OVERLAP_TOKENS, limit // 4), padding=True,
        return_overflowing_tokens=True, return_offsets_mapping=True, return_tensors="pt",
    )  # fmt: skip
    labelled: dict[tuple[int, int], str] = {}
    for start in range(0, len(windows["input_ids"]), _BATCH_WINDOWS):
        cut = slice(start, start + _BATCH_WINDOWS)
        scores, numbers = _classify(model, windows["input_ids"][cut], windows["attention_mask"][cut])
        for offsets, row, labels in zip(windows["offset_mapping"][cut].tolist(), scores, numbers, strict=True):
            for (first, last), score, number in zip(offsets, row, labels, strict=True):
                kind = kinds.get(number)
                if kind and last > first and score >= min_score:
                    labelled[first, last] = kind
    yield from _joined(text, labelled)


def _classify(model: Any, ids: Any, mask: Any) -> tuple[list[list[float]], list[list[int]]]:
    """Probability and number of each token's best label."""
    import torch

    with torch.inference_mode():
        best = model(input_ids=ids, attention_mask=mask).logits.float().softmax(-1).max(-1)
    return best.values.tolist(), best.indices.tolist()


def _joined(text: str, labelled: Mapping[tuple[int, int], str]) -> Iterator[Span]:
    """Neighbouring tokens of one kind, with at most one blank between them, are one find."""
    current: Span | None = None
    for (start, end), kind in sorted(labelled.items()):
        if current and current.kind == kind and text[current.end : start] in ("", " ") and start >= current.start:
            current = current._replace(end=max(end, current.end))
            continue
        if current:
            yield current
        current = Span(start, end, kind, "model")
    if current:
        yield current
