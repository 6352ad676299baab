"""A process that runs llama.cpp's own server (package xllamacpp) on a GGUF file and prints what it answers.

    python -m tests.model.llama_cpp model.gguf < {"texts": [...], "num_tokens": V, "gap": [prefix, suffix]}

Prints for each text its ids, the text they give back, and the log-probabilities of every next token, [V]; and what
its route for editors writes into the gap. A process of its own, for llama.cpp ends its process where it fails.
"""

import json
import sys
import urllib.request
from typing import Any

import xllamacpp


def main() -> None:
    question = json.load(sys.stdin)
    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.n_ctx, params.n_parallel, params.n_gpu_layers, params.warmup, params.verbosity = 128, 1, 0, False, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)

    def post(route: str, **body: Any) -> Any:
        request = urllib.request.Request(
            server.listening_address + route, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.loads(response.read())

    answers = []
    for text in question["texts"]:
        ids = post("/tokenize", content=text, add_special=False, parse_special=False)["tokens"]
        found = post("/completion", prompt=ids, n_predict=1, n_probs=question["num_tokens"], temperature=0)
        scores = {top["id"]: top["logprob"] for top in found["completion_probabilities"][0]["top_logprobs"]}
        log_probs = [scores[number] for number in range(question["num_tokens"])]
        answers.append({"ids": ids, "text": post("/detokenize", tokens=ids)["content"], "log_probs": log_probs})
    prefix, suffix = question["gap"]
    gap = post("/infill", input_prefix=prefix, input_suffix=suffix, n_predict=4, temperature=0, return_tokens=True)
    json.dump({"texts": answers, "gap": gap["prompt"]}, sys.stdout)


if __name__ == "__main__":
    main()
