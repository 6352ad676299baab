"""A completions server for editors: OpenAI's /v1/completions with `suffix` and streaming, on the loopback address.

It answers requests that name this machine's loopback address only, so that no web page reaches it through a name of
its own (DNS rebinding), and none that a browser sends for a page from elsewhere, which needs no answer to do harm.
Headers, body, prompt, waiting line, and the number and patience of connections are bounded; what exceeds them, or asks
for what isn't served, is refused with a reason, or closed (connections.py).
"""

import asyncio
import contextlib
import json
import logging
import re
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from minicode_model.config import Evaluation, Server
from minicode_model.connections import http_server
from minicode_model.generate import Row, completion_prompt, gap_prompt, stream
from minicode_model.model import Starcoder2
from minicode_model.tokenizer import TokenIds, Tokenizer

logger = logging.getLogger("minicode.server")

MODEL_NAME = "minicode"
HOST = "127.0.0.1"
CLIENT_LEFT = 499
"""For the log only: nobody is there to read it. Source: nginx."""
MAX_STOP_TEXTS = 4
"""Source: OpenAI's API reference."""
_STREAM_END = "data: [DONE]\n\n"
_RETRY_AFTER_S = "1"
_OWN_PAGE = re.compile(r"https?://(127\.0\.0\.1|localhost)(:[0-9]+)?")
_ONLY: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "echo": (None, False),
    "logprobs": (None,),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
}
"""Fields of OpenAI's reference that are served with these values only: another one is refused, never ignored."""


class RefusalError(Exception):
    """A request that isn't served: status, reason, and OpenAI's error code."""

    def __init__(self, status: int, reason: str, code: str) -> None:
        super().__init__(reason)
        self.status, self.reason, self.code = status, reason, code


@dataclass(frozen=True)
class Completion:
    """One checked request."""

    prompt_ids: TokenIds
    max_tokens: int
    temperature: float
    top_p: float
    seed: int
    stop: tuple[str, ...]
    is_streamed: bool
    wants_usage: bool


def serve(model: Starcoder2, tokenizer: Tokenizer, *, params: Server, sampling: Evaluation) -> None:
    """Serve until interrupted; arguments as in `build_app`."""
    logger.info("listening on http://%s:%d/v1/completions", HOST, params.port)
    http_server(build_app(model, tokenizer, params=params, sampling=sampling), host=HOST, params=params).run()


def build_app(model: Starcoder2, tokenizer: Tokenizer, *, params: Server, sampling: Evaluation) -> Starlette:
    """The web application.

    Args:
        model: The model, in evaluation mode.
        tokenizer: Its tokenizer.
        params: Limits.
        sampling: What a request doesn't say: temperature, top_p, seed, number of tokens.
    """
    service = Service(model, tokenizer, params, sampling)
    return Starlette(
        routes=[
            Route("/v1/models", service.list_models, methods=["GET"]),
            Route("/v1/completions", service.complete, methods=["POST"]),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False),
            Middleware(NoStrangersPages),
        ],
    )


class NoStrangersPages:
    """Refuses what a browser sends for a page that isn't this machine's own; only browsers tell an origin."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or let the application answer."""
        origin = Headers(scope=scope).get("origin")
        is_own = origin is None or _OWN_PAGE.fullmatch(origin)
        answer = self.app if is_own else _refusal(RefusalError(403, "found a page from elsewhere", "forbidden_origin"))
        await answer(scope, receive, send)


class Service:
    """The endpoints, and the line before the model."""

    def __init__(self, model: Starcoder2, tokenizer: Tokenizer, params: Server, sampling: Evaluation) -> None:
        self.model, self.tokenizer, self.params, self.sampling = model, tokenizer, params, sampling
        self._turns = asyncio.Semaphore(params.max_concurrent)
        self._num_present = 0

    async def list_models(self, request: Request) -> Response:
        """GET /v1/models."""
        entry = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": MODEL_NAME}
        return JSONResponse({"object": "list", "data": [entry]})

    async def complete(self, request: Request) -> Response:
        """POST /v1/completions."""
        try:
            completion = self.check(await self._read(request))
            if self._num_present >= self.params.max_concurrent + self.params.max_waiting:
                raise RefusalError(429, f"{self._num_present} requests are being served already", "rate_limit_exceeded")
        except RefusalError as refusal:
            return _refusal(refusal)
        waiting = self._chunks(completion)
        chunks = _started(await anext(waiting), waiting)  # it takes its place in the line before another request can
        if completion.is_streamed:
            events = _as_events(chunks, with_usage=completion.wants_usage)
            return StreamingResponse(events, media_type="text/event-stream")
        parts = []
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                parts.append(chunk)
                if await request.is_disconnected():
                    return Response(status_code=CLIENT_LEFT)
        whole = parts[-1]
        whole["choices"][0]["text"] = "".join(part["choices"][0]["text"] for part in parts)
        return JSONResponse(whole)

    async def _read(self, request: Request) -> dict[str, Any]:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > self.params.max_body_bytes:
                raise RefusalError(413, f"the body exceeds {self.params.max_body_bytes} bytes", "request_too_large")
        try:
            content = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise RefusalError(400, f"the body isn't JSON: {error}", "invalid_json") from error
        if not isinstance(content, dict):
            raise RefusalError(400, "the body isn't a JSON object", "invalid_json")
        return content

    def check(self, content: dict[str, Any]) -> Completion:
        """Turn a request into a Completion.

        Raises:
            RefusalError: A field has a wrong type or range, or the prompt doesn't fit the model.
        """
        prompt = content.get("prompt", "")
        if isinstance(prompt, list) and len(prompt) == 1:
            prompt = prompt[0]
        suffix = content.get("suffix")
        if not isinstance(prompt, str) or not isinstance(suffix, (str, type(None))):
            raise RefusalError(400, "prompt: expected one string; suffix: a string or null", "invalid_value")
        if not _is_unicode([prompt, suffix or "", content.get("stop") or ""]):
            raise RefusalError(400, "prompt, suffix, stop: found half of a surrogate pair", "invalid_value")
        for name, served in _ONLY.items():
            if content.get(name) not in served:
                raise RefusalError(400, f"{name}: only {served[-1]!r} is served", "unsupported_value")
        longest = self.model.config.max_position_embeddings
        default = min(self.sampling.max_new_tokens, longest // 2)
        max_tokens = _number(content, "max_tokens", default, 0, longest - 1, int)
        stop = content.get("stop") or []
        stop = [stop] if isinstance(stop, str) else stop
        if (
            not isinstance(stop, list)
            or len(stop) > MAX_STOP_TEXTS
            or any(not isinstance(s, str) or not s for s in stop)
        ):
            raise RefusalError(400, f"stop: expected at most {MAX_STOP_TEXTS} non-empty strings", "invalid_value")
        return Completion(
            prompt_ids=self._prompt_ids(prompt, suffix, longest - max_tokens),
            max_tokens=max_tokens,
            temperature=_number(content, "temperature", self.sampling.temperature, 0, 2, float),
            top_p=_number(content, "top_p", self.sampling.top_p, 0, 1, float),
            seed=_number(content, "seed", self.sampling.seed, -(2**63), 2**63 - 1, int),
            stop=tuple(stop),
            is_streamed=_flag(content, "stream"),
            wants_usage=_flag(content.get("stream_options") or {}, "include_usage"),
        )

    def _prompt_ids(self, prompt: str, suffix: str | None, room: int) -> TokenIds:
        if suffix is None:
            ids = completion_prompt(self.tokenizer, prompt)
        else:
            ids = gap_prompt(self.tokenizer, prompt, suffix, len(prompt.encode()) + len(suffix.encode()) + room)
        if len(ids) > room:
            raise RefusalError(
                400,
                f"prompt: found {len(ids)} tokens, expected at most {room} beside max_tokens",
                "context_length_exceeded",
            )
        return ids

    async def _chunks(self, completion: Completion) -> AsyncGenerator[dict[str, Any], None]:
        """The answer in parts, the last with finish_reason and usage. A client that leaves ends the generator."""
        head = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
        self._num_present += 1
        try:
            async with self._turns:
                steps = self._steps(completion)
                row = None
                while row is None:
                    text, row = await run_in_threadpool(_next, steps)
                    yield head | {"model": MODEL_NAME, "choices": [_choice(text, row)]} | _usage(completion, row)
        finally:
            self._num_present -= 1

    def _steps(self, completion: Completion) -> Generator[str, None, Row]:
        return stream(
            self.model,
            self.tokenizer,
            completion.prompt_ids,
            max_new_tokens=completion.max_tokens,
            temperature=completion.temperature,
            top_p=completion.top_p,
            seed=completion.seed,
            stop=completion.stop,
        )


def _is_unicode(values: list[Any]) -> bool:
    """Whether all strings, also those in lists, can be written as UTF-8: JSON can express what Unicode can't."""
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return not any("\ud800" <= character <= "\udfff" for text in texts if isinstance(text, str) for character in text)


def _number(content: dict[str, Any], name: str, default: Any, low: float, high: float, kind: type) -> Any:
    value = content.get(name)
    value = default if value is None else value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or (kind is int and value != int(value)):
        raise RefusalError(
            400, f"{name}: found {value!r}, expected {kind.__name__} from {low} to {high}", "invalid_value"
        )
    return kind(value)


def _flag(content: Any, name: str) -> bool:
    value = content.get(name) if isinstance(content, dict) else content
    if value is not None and not isinstance(value, bool):
        raise RefusalError(400, f"{name}: found {value!r}, expected true or false", "invalid_value")
    return bool(value)


def _refusal(refusal: RefusalError) -> Response:
    body = {"message": refusal.reason, "type": "invalid_request_error", "code": refusal.code}
    later = {"retry-after": _RETRY_AFTER_S} if refusal.status == 429 else None
    return JSONResponse({"error": body}, refusal.status, later)


def _next(steps: Generator[str, None, Row]) -> tuple[str, Row | None]:
    try:
        return next(steps), None
    except StopIteration as end:
        return "", end.value


def _choice(text: str, row: Row | None) -> dict[str, Any]:
    reason = None if row is None else "stop" if row.is_done else "length"
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}


def _usage(completion: Completion, row: Row | None) -> dict[str, Any]:
    if row is None:
        return {}
    before, written = len(completion.prompt_ids), row.num_tokens
    return {"usage": {"prompt_tokens": before, "completion_tokens": written, "total_tokens": before + written}}


async def _started(
    first: dict[str, Any], others: AsyncGenerator[dict[str, Any], None]
) -> AsyncGenerator[dict[str, Any], None]:
    async with contextlib.aclosing(others):
        yield first
        async for chunk in others:
            yield chunk


async def _as_events(chunks: AsyncGenerator[dict[str, Any], None], *, with_usage: bool) -> AsyncIterator[str]:
    """The chunks as events; where it is asked for, a last one has the usage and no text, as in OpenAI's reference."""
    unknown = {"usage": None} if with_usage else {}
    async with contextlib.aclosing(chunks):
        async for chunk in chunks:
            usage = chunk.pop("usage", None)
            yield f"data: {json.dumps(chunk | unknown)}\n\n"
    if with_usage:
        yield f"data: {json.dumps(chunk | {'choices': [], 'usage': usage})}\n\n"
    yield _STREAM_END
