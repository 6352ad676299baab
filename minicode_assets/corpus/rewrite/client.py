"""Chat completions of an OpenAI-compatible endpoint: some at a time, tried again, and kept by content and prompt.

An answer is written to the cache as it arrives, so a run that was killed asks only for what is missing.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import tenacity

from minicode_assets.config import LlmRewrite
from minicode_assets.errors import RewriteError
from minicode_model.artifact import digest_of, write_file

Messages = Sequence[Mapping[str, str]]
_TRIED_AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)


class NoAnswer(Exception):  # noqa: N818 - it is a row's problem, told in a column, and no error of the stage
    """The endpoint gave no usable answer to one request."""


class _Busy(Exception):  # noqa: N818
    """Worth another try, after `wait_s` where the endpoint says so."""

    def __init__(self, told: str, wait_s: float | None = None) -> None:
        super().__init__(told)
        self.wait_s = wait_s


@dataclass(frozen=True)
class Answers:
    """A cache of answers, one file each.

    Attributes:
        folder: Files <first two digits>/<key>.json.
    """

    folder: Path

    def path(self, key: str) -> Path:
        """Where an answer lies."""
        return self.folder / key[:2] / f"{key}.json"

    def find(self, key: str) -> str | None:
        """The answer, if it was given before; a file that a crash cut off is none."""
        try:
            answer = json.loads(self.path(key).read_bytes())["answer"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return answer if isinstance(answer, str) else None

    def keep(self, key: str, answer: str) -> None:
        """Write an answer, whole or not at all."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, lambda to: to.write_text(json.dumps({"answer": answer})))


def request_of(messages: Messages, params: LlmRewrite) -> dict[str, Any]:
    """The body of one request; its digest is the answer's key."""
    return {
        "model": params.model,
        "messages": [dict(message) for message in messages],
        "temperature": params.temperature,
        "top_p": params.top_p,
        "max_tokens": params.max_answer_tokens,
        "seed": params.seed,
    }


async def ask_all(conversations: Sequence[Messages], answers: Answers, *, params: LlmRewrite) -> list[str | NoAnswer]:
    """Answers in order, at most `num_connections` requests at a time; what the cache knows is not asked again.

    Raises:
        RewriteError: The environment variable with the key is not set, or the endpoint refuses it.
    """
    limit = asyncio.Semaphore(params.num_connections)
    timeout = httpx.Timeout(params.timeout_s)
    async with httpx.AsyncClient(base_url=params.base_url, headers=_headers(params), timeout=timeout) as client:

        async def one(messages: Messages) -> str | NoAnswer:
            body = request_of(messages, params)
            key = digest_of(body)
            known = answers.find(key)
            if known is not None:
                return known
            async with limit:
                try:
                    answer = await _ask(client, body, params)
                except NoAnswer as problem:
                    return problem
            answers.keep(key, answer)
            return answer

        tasks = [asyncio.create_task(one(messages)) for messages in conversations]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()


def _headers(params: LlmRewrite) -> dict[str, str]:
    if not params.api_key_variable:
        return {}
    key = os.environ.get(params.api_key_variable)
    if not key:
        raise RewriteError(
            f"environment variable {params.api_key_variable} is not set",
            hint=f"export {params.api_key_variable}=..., or [llm_rewrite] api_key_variable = '' for none",
        )
    return {"Authorization": f"Bearer {key}"}


async def _ask(client: httpx.AsyncClient, body: Mapping[str, Any], params: LlmRewrite) -> str:
    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        told = error.wait_s if isinstance(error, _Busy) else None
        backoff = params.first_wait_s * 2.0 ** (state.attempt_number - 1)
        return min(params.max_wait_s, told if told is not None else backoff)

    try:
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Busy),
            stop=tenacity.stop_after_attempt(params.num_attempts),
            wait=wait,
            reraise=True,
        ):
            with attempt:
                return await _ask_once(client, body, params)
    except _Busy as error:
        raise NoAnswer(f"{error} ({params.num_attempts} attempts)") from error
    raise AssertionError("unreachable")


async def _ask_once(client: httpx.AsyncClient, body: Mapping[str, Any], params: LlmRewrite) -> str:
    try:
        async with asyncio.timeout(params.timeout_s):
            response = await client.post("chat/completions", json=dict(body))
    except (httpx.HTTPError, TimeoutError) as error:
        raise _Busy(f"{type(error).__name__}: {error}") from error
    if response.status_code in (401, 403, 404):
        raise RewriteError(
            f"{response.request.url}: status {response.status_code}: {response.text[:200]}",
            hint="mend [llm_rewrite] base_url, model, or the key in the variable api_key_variable names",
        )
    if response.status_code in _TRIED_AGAIN:
        raise _Busy(f"status {response.status_code}", _retry_after(response))
    if response.status_code != 200:
        raise NoAnswer(f"status {response.status_code}: {response.text[:200]}")
    return _content(response)


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds to wait, where the header gives a number."""
    told = response.headers.get("retry-after", "")
    return float(told) if told.replace(".", "", 1).isdigit() else None


def _content(response: httpx.Response) -> str:
    """The first choice's text. A body that is cut off or no JSON is worth another try; an empty answer is none."""
    try:
        choices = response.json()["choices"]
        choice = choices[0] if choices else {}
        content = choice["message"]["content"] if choice else None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise _Busy(f"not a chat completion: {type(error).__name__}: {error}") from error
    if not isinstance(content, str) or not content.strip():
        raise NoAnswer("no choices" if not choice else "an empty answer")
    if choice.get("finish_reason") == "length":
        raise NoAnswer("the answer was cut off at max_answer_tokens")
    return content
