"""The server as its clients see it: httpx against the application, and OpenAI's own client over a real socket."""

import asyncio
import json
import socket
import threading
import time

import httpx
import pytest
import uvicorn

from minicode_model import server
from minicode_model.config import Evaluation, Model, Server
from minicode_model.generate import complete, fill_in_the_middle
from minicode_model.model import initialise
from minicode_model.server import build_app
from tests.tokens.corpora import small_tokenizer

PARAMS = Server(max_body_bytes=4000, max_concurrent=1, max_waiting=1)
SAMPLING = Evaluation(max_new_tokens=12, temperature=0.7, seed=3)
TEXT = {"max_new_tokens": 12, "temperature": 0.7, "top_p": SAMPLING.top_p, "seed": 3}


@pytest.fixture(scope="module")
def model():
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return initialise(Model(vocab_size=small_tokenizer().vocab_size, max_position_embeddings=128, **shape), 11).eval()


@pytest.fixture(scope="module")
def app(model):
    return build_app(model, small_tokenizer(), params=PARAMS, sampling=SAMPLING)


def post(app, content, host: str = "127.0.0.1", **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            return await client.post("/v1/completions", content=body, headers=headers)

    return asyncio.run(ask())


def test_answers_are_those_of_the_library(app, model) -> None:
    answer = post(app, {"model": "any", "prompt": "def f(x):\n"}).json()
    assert answer["object"] == "text_completion"
    (choice,) = answer["choices"]
    assert choice["text"] == complete(model, small_tokenizer(), "def f(x):\n", **TEXT)
    assert choice["finish_reason"] in ("stop", "length")
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
    filled = post(app, {"prompt": ["a = "], "suffix": "\nb = 2\n"}).json()["choices"][0]["text"]
    assert filled == fill_in_the_middle(model, small_tokenizer(), "a = ", "\nb = 2\n", **TEXT)


def test_streamed_events_are_the_same_text(app) -> None:
    request = {"prompt": "import ", "seed": 8, "max_tokens": 30}
    whole = post(app, request).json()
    events = post(app, request | {"stream": True}).text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["choices"][0]["text"]
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'{"prompt": "' + b"x" * 5000 + b'"}', 413, "request_too_large"),
        ({"prompt": "x = 1\n" * 100}, 400, "context_length_exceeded"),
        ({"prompt": "", "suffix": "x = 1\n" * 100}, 400, "context_length_exceeded"),
        ({"prompt": 3}, 400, "invalid_value"),
        ({"prompt": ["a", "b"]}, 400, "invalid_value"),
        ({"prompt": "a", "suffix": 1}, 400, "invalid_value"),
        ({"prompt": "a", "max_tokens": -1}, 400, "invalid_value"),
        ({"prompt": "a", "max_tokens": 128}, 400, "invalid_value"),
        ({"prompt": "a", "max_tokens": 1.5}, 400, "invalid_value"),
        ({"prompt": "a", "temperature": -1}, 400, "invalid_value"),
        ({"prompt": "a", "temperature": "hot"}, 400, "invalid_value"),
        ({"prompt": "a", "top_p": True}, 400, "invalid_value"),
        ({"prompt": "a", "stop": ["a"] * 5}, 400, "invalid_value"),
        ({"prompt": "a", "stop": [""]}, 400, "invalid_value"),
        ({"prompt": "a", "n": 2}, 400, "unsupported_value"),
        ({"prompt": "a", "best_of": 2}, 400, "unsupported_value"),
        ({"prompt": "a", "echo": True}, 400, "unsupported_value"),
        ({"prompt": "a", "logprobs": 0}, 400, "unsupported_value"),
        ({"prompt": "a", "logit_bias": {"50256": -100}}, 400, "unsupported_value"),
        ({"prompt": "a", "presence_penalty": 0.5}, 400, "unsupported_value"),
        ({"prompt": "a", "stream": "false"}, 400, "invalid_value"),
        ({"prompt": "a", "stream_options": [1]}, 400, "invalid_value"),
        ({"prompt": "\ud800"}, 400, "invalid_value"),
        ({"prompt": "a", "suffix": "\udfff"}, 400, "invalid_value"),
        ({"prompt": "a", "stop": ["b", "\ud800"]}, 400, "invalid_value"),
        (b"[" * 3900, 400, "invalid_json"),
    ],
)
def test_what_is_not_served_is_refused_with_a_reason(app, content, status, code) -> None:
    answer = post(app, content)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("extreme", [{"top_p": 0, "temperature": 1}, {"temperature": 5e-324}, {"temperature": 1e-300}])
def test_extreme_sampling_is_greedy(app, extreme: dict[str, float]) -> None:
    greedy, found = (
        post(app, {"prompt": "def f(", "temperature": 0} | more).json()["choices"][0]["text"] for more in ({}, extreme)
    )
    assert found == greedy


def test_fields_with_the_value_that_is_served_change_nothing(app) -> None:
    neutral = {"n": 1, "best_of": 1, "echo": False, "logprobs": None, "logit_bias": {}, "presence_penalty": 0}
    first, second = (post(app, {"prompt": "a"} | more).json() for more in ({}, neutral))
    assert first["choices"] == second["choices"]
    nothing = post(app, {"prompt": "a", "max_tokens": 0, "seed": -1}).json()
    assert nothing["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}]
    assert nothing["usage"]["completion_tokens"] == 0


@pytest.mark.parametrize("streamed", [False, True])
def test_usage_of_a_stream_comes_when_asked_for(app, streamed) -> None:
    request = {"prompt": "a", "stream": True} | ({"stream_options": {"include_usage": True}} if streamed else {})
    *chunks, last = [json.loads(line[6:]) for line in post(app, request).text.split("\n\n")[:-2]]
    if streamed:
        assert last["choices"] == []
        assert last["usage"] == post(app, {"prompt": "a"}).json()["usage"]
        assert [chunk["usage"] for chunk in chunks] == [None] * len(chunks)
    else:
        assert not any("usage" in chunk for chunk in [*chunks, last])


def test_other_host_names_are_refused(app) -> None:
    assert post(app, {"prompt": "a"}, host="attacker.example").status_code == 400


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://attacker.example", 403),
        ("http://localhost.attacker.example", 403),
        ("http://127.0.0.1.attacker.example:8971", 403),
        ("null", 403),
        ("http://localhost:3000", 200),
        ("http://127.0.0.1:8971", 200),
    ],
)
def test_pages_from_elsewhere_are_refused(app, origin: str, status: int) -> None:
    """A page may send text/plain to any address without asking before; it can't read the answer, but it can cost."""
    answer = post(app, {"prompt": "a"}, origin=origin, **{"content-type": "text/plain"})
    assert answer.status_code == status


@pytest.mark.parametrize("streamed", [False, True])
def test_the_line_is_bounded_and_empties(model, streamed: bool) -> None:
    app = build_app(model, small_tokenizer(), params=PARAMS, sampling=SAMPLING)
    request = {"prompt": "x", "max_tokens": 60, "stream": streamed}

    async def crowd() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await asyncio.gather(*(client.post("/v1/completions", json=request) for _ in range(5)))

    answers = asyncio.run(crowd())
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    assert {answer.headers.get("retry-after") for answer in answers} == {None, "1"}
    assert post(app, {"prompt": "x"}).status_code == 200


@pytest.fixture
def address(app):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    thread.join()


def test_a_client_that_leaves_frees_its_place(app, model, address) -> None:
    for _ in range(4):
        with httpx.stream(
            "POST", f"{address}/completions", json={"prompt": "x", "max_tokens": 100, "stream": True}
        ) as it:
            next(it.iter_lines())
    deadline = time.monotonic() + 20
    while httpx.post(f"{address}/completions", json={"prompt": "x"}, timeout=30).status_code != 200:
        assert time.monotonic() < deadline


def test_nobody_writes_for_a_client_that_left_before_a_whole_answer(address, monkeypatch) -> None:
    written: list[float] = []
    following = server._next

    def slowly(steps):
        written.append(time.monotonic())
        time.sleep(0.02)
        return following(steps)

    monkeypatch.setattr(server, "_next", slowly)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{address}/completions", json={"prompt": "x", "max_tokens": 100, "temperature": 2}, timeout=0.2)
    time.sleep(0.3)
    count = len(written)
    time.sleep(0.3)
    assert len(written) == count < 60


def test_openai_client(address, model) -> None:
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=address, api_key="none", max_retries=0)
    assert [entry.id for entry in client.models.list()] == ["minicode"]
    answer = client.completions.create(model="minicode", prompt="a = ", suffix="\n", max_tokens=12, seed=3)
    assert answer.choices[0].text == fill_in_the_middle(model, small_tokenizer(), "a = ", "\n", **TEXT)
    parts = client.completions.create(model="minicode", prompt="a = ", suffix="\n", max_tokens=12, seed=3, stream=True)
    assert "".join(part.choices[0].text for part in parts) == answer.choices[0].text
    with pytest.raises(openai.BadRequestError, match="expected at most"):
        client.completions.create(model="minicode", prompt="x = 1\n" * 100)
