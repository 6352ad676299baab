"""Which values a number may have, by its name: a name means the same in whatever section it stands."""

import dataclasses
import math
from typing import Any

_SHARE_ENDS = ("_fraction", "_rate")
_SHARES = frozenset({"character_coverage", "min_quality_score", "top_p"})
"""0..1, as is what ends like a share."""
_BELOW_ONE = frozenset({"beta1", "beta2", "muon_momentum"})
"""A moving average that remembers everything takes nothing in."""
_SIGNED = frozenset({"min_answer_score", "min_question_score", "min_score"})
"""Votes and scores, which may be negative; nothing else is."""
_POSITIVE_ENDS = ("timeout_s", "attempts", "connections")
_POSITIVE = frozenset(
    (  # noqa: SIM905
        "api_limit api_window_s batch_bytes batch_size block_bytes bytes_per_token documents_per_module "
        "gradient_clip learning_rate line_length long_ngram_words max_answer_tokens max_body_bytes max_bucket_texts "
        "max_bytes max_candidates max_concurrent max_content_bytes max_cpu_s max_disk_bytes max_distribution_bytes "
        "max_epochs max_examples max_head_entries max_header_bytes max_hops max_length_bytes max_loss_increase_nats "
        "max_memory_bytes max_new_tokens max_ngram_words max_open_files max_output_bytes max_piece_length "
        "max_processes max_python_bytes max_reply_bytes max_repository_bytes max_request_s max_row_bytes max_wall_s "
        "min_examples ngram_words norm_epsilon num_bands num_permutations num_steps num_threads num_workers "
        "pairs_per_document read_ahead_bytes rope_theta rows_per_band rows_per_part s3_blobs_per_s sample_bytes "
        "seq_len shard_tokens shingle_words statement_words step_memory_bytes vault_limit vault_looks_per_minute "
        "vault_max_bundle_bytes vault_max_expansion vault_max_polls vault_poll_s vocab_size window"
    ).split()
)
"""More than 0, unless 0 is the default: then it stands for something (all, one a core), which the field's text says."""


def range_problems(section: Any, where: str) -> list[str]:
    """Numbers of a section that mean nothing, and least values above the largest of the same, one message each.

    Args:
        section: A configuration dataclass.
        where: How messages call it, e.g. `[checkpoint]`.
    """
    problems = []
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if type(value) in (int, float) and (expected := _expected(field.name, value, field.default)):
            problems.append(f"{where} {field.name}: found {value}, expected {expected}")
        most = getattr(section, f"max_{field.name.removeprefix('min_')}", None) if field.name[:4] == "min_" else None
        if most is not None and value > most:
            problems.append(f"{where} {field.name}: found {value}, expected at most max_{field.name[4:]}, {most}")
    return problems


def _expected(name: str, value: float, default: object) -> str:
    """What a number should have been; empty if it is that."""
    if not math.isfinite(value):
        return "a finite number"
    if name.endswith(_SHARE_ENDS) or name in _SHARES:
        return "" if 0 <= value <= 1 else "0..1"
    if name in _BELOW_ONE:
        return "" if 0 <= value < 1 else "0 or more and less than 1"
    if value <= 0 and default != 0 and (name in _POSITIVE or name.endswith(_POSITIVE_ENDS)):
        return "more than 0"
    if value < 0 and name not in _SIGNED:
        return "0 or more"
    return "" if value < 2**63 else "less than 2^63"
