"""Sections of the optional changes of texts: reformatting, scores and rewriting by a language model. Off by default."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Reformat:
    """Whether ruff formats the texts. Needs the extra `rewrite`."""

    enabled: bool = False
    """Source: swallow-code v2's first step, curation.md 1c."""
    line_length: int = 88
    """Longest line that ruff aims at. Unit: characters. Source: ruff's default."""


@dataclass(frozen=True, kw_only=True)
class LlmRewrite:
    """Scores and new texts by a language model behind any OpenAI-compatible endpoint. Needs the extra `rewrite`."""

    enabled: bool = False
    """Ask the endpoint. Source: swallow-code v2's steps 3 and 4, curation.md 1c."""
    rewrite: bool = True
    """Have the texts that score well enough rewritten; false only scores."""
    base_url: str = "http://127.0.0.1:8000/v1/"
    """Where chat/completions lies (vLLM's address by default)."""
    model: str = "default"
    """The model's name, as the endpoint knows it."""
    api_key_variable: str = ""
    """Environment variable with the key; empty for none. The key itself is in no configuration."""
    temperature: float = 0.2
    """Source: swallow-code, curation.md 1c."""
    top_p: float = 0.7
    """0..1. Source: swallow-code, curation.md 1c."""
    max_answer_tokens: int = 8192
    """Longest answer; one that is cut off is none. Source: swallow-code, curation.md 1c."""
    seed: int = 1337
    """Seed in each request, for endpoints that heed it."""
    min_characters: int = 100
    """Shorter texts are not sent. Unit: characters."""
    max_characters: int = 24_000
    """Longer texts are not sent: the answer must hold them whole. Unit: characters; 8192 tokens of 3 each."""
    min_score_fraction: float = 0.4
    """Mean of the five scores from which on a text is rewritten, 0..1. Source: ours; swallow-code v2 rewrites the
    middle and upper part."""
    max_growth: float = 3.0
    """A new text may be so many times longer or shorter than the old one."""
    min_kept_names_fraction: float = 0.5
    """Share of the top-level functions and classes that must keep their names, 0..1: else it is another program."""
    num_connections: int = 16
    """Requests at a time."""
    timeout_s: float = 300.0
    """Longest wait for one answer. Unit: seconds."""
    num_attempts: int = 6
    """Requests for one answer, the first included, when the endpoint is busy, fails or sends what is no answer."""
    first_wait_s: float = 1.0
    """Wait before the second attempt, doubled for each further one; Retry-After takes its place. Unit: seconds."""
    max_wait_s: float = 60.0
    """Longest wait between attempts, Retry-After included. Unit: seconds."""
    max_failed_fraction: float = 0.1
    """Share of the requests that may stay without an answer, 0..1; above it the stage fails, and keeps the answers."""


def llm_problems(llm: LlmRewrite) -> list[str]:
    """Contradictions of the section, one message each."""
    problems = []
    if llm.max_growth < 1:
        problems.append(f"[llm_rewrite] max_growth: found {llm.max_growth}, expected at least 1")
    if not llm.base_url.startswith(("http://", "https://")) or not llm.base_url.endswith("/"):
        problems.append(
            f"[llm_rewrite] base_url: found {llm.base_url!r}, expected http(s)://.../ with a slash at the end"
        )
    return problems
