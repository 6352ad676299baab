"""The model as one GGUF file for llama.cpp: architecture `starcoder2`, tokenizer `llama` (SentencePiece).

llama.cpp reads SentencePiece models by their pieces and scores, so the ids are ours, except for text with U+2581,
which it takes for a space. It knows the gap's tokens by their names, so that its `/infill` works. Its log-probabilities
differ from ours by less than 0.01: its GELU reads a table of 16-bit floats. Control tokens inside text are parsed only
where its caller asks for it.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minicode_model.artifact import write_file
from minicode_model.checkpoint import END_OF_DOCUMENT_ID, load_model, read_settings
from minicode_model.config import Model
from minicode_model.errors import CheckpointError
from minicode_model.export.hf import check_exportable
from minicode_model.model import Starcoder2
from minicode_model.tokenizer import SPECIAL_TOKENS, Tokenizer

ARCHITECTURE = "starcoder2"
_TOKEN_TYPES = {"normal": 1, "unknown": 2, "control": 3, "byte": 6}
"""llama.cpp's numbers of SentencePiece's types. Source: gguf.TokenType."""
_BLOCK_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def export_gguf(checkpoint: Path, tokenizer: Path, path: Path) -> None:
    """Write the checkpoint as a GGUF file in float32; llama.cpp's tools quantise it further.

    Args:
        checkpoint: The checkpoint artefact.
        tokenizer: The tokenizer artefact that it was trained with.
        path: The file to write or replace.

    Raises:
        CheckpointError: The architecture isn't StarCoder2's, the tokenizer is another one, the attention window
            is shorter than the context, which llama.cpp's starcoder2 doesn't know, or the package gguf is absent.
    """
    if not importlib.util.find_spec("gguf"):
        raise CheckpointError(
            f"{path}: writing it needs the package gguf", hint="pip install -c constraints.txt -e '.[gguf]'"
        )
    settings, vocabulary = read_settings(checkpoint), Tokenizer.load(tokenizer)
    check_exportable(checkpoint, settings, vocabulary)
    window, longest = settings.model.sliding_window, settings.model.max_position_embeddings
    if 0 < window < longest:
        raise CheckpointError(
            f"{checkpoint}: [model] sliding_window found {window}, expected 0 or at least {longest} for GGUF",
            hint="export to Hugging Face's format instead",
        )
    network, config = load_model(checkpoint)
    write_file(path, lambda temporary: _write(temporary, network, config, vocabulary))


def _write(path: Path, network: Starcoder2, config: Model, vocabulary: Tokenizer) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, ARCHITECTURE)
    _add_shape(writer, config)
    _add_tokenizer(writer, vocabulary, config.vocab_size)
    for name, array in gguf_tensors(network):
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_shape(writer: Any, config: Model) -> None:
    writer.add_name("minicode")
    writer.add_file_type(0)  # all tensors float32
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_eps(config.norm_epsilon)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, vocabulary: Tokenizer, vocab_size: int) -> None:
    missing = vocab_size - vocabulary.vocab_size
    filler = [(f"<unused_{number}>", 0.0, "control") for number in range(missing)]
    pieces = [*vocabulary.pieces, *filler]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece for piece, _, _ in pieces])
    writer.add_token_scores([score for _, score, _ in pieces])
    writer.add_token_types([_TOKEN_TYPES[kind] for _, _, kind in pieces])
    writer.add_bos_token_id(END_OF_DOCUMENT_ID)
    writer.add_eos_token_id(END_OF_DOCUMENT_ID)
    writer.add_pad_token_id(SPECIAL_TOKENS.index("<fim_pad>"))
    writer.add_add_space_prefix(False)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


def gguf_tensors(network: Starcoder2) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Names of llama.cpp and arrays. It demands every bias, so that absent ones are written as zeros."""
    state = {name: tensor.float().numpy() for name, tensor in network.state_dict().items()}
    for name, array in state.items():
        yield gguf_name(name), array
        bias = name.removesuffix("weight") + "bias"
        is_matrix_in_block = name.endswith(("proj.weight", "c_fc.weight"))
        if is_matrix_in_block and bias not in state:
            yield gguf_name(bias), np.zeros(array.shape[0], np.float32)


def gguf_name(name: str) -> str:
    """llama.cpp's name of a parameter."""
    module, _, kind = name.rpartition(".")
    if module in _NAMES:
        return f"{_NAMES[module]}.{kind}"
    _, _, number, inner = module.split(".", 3)
    return f"blk.{number}.{_BLOCK_NAMES[inner]}.{kind}"
