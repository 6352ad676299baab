"""The StarCoder2 architecture in one file, read top to bottom: from token ids to logits, and to the loss.

A decoder of pre-norm blocks: LayerNorm, grouped-query attention with rotary positions, LayerNorm, a two-layer MLP with
GELU; biases everywhere; the output matrix is the embedding. Parameter names are those of Hugging Face's
Starcoder2ForCausalLM, so that its checkpoints load here and ours load there. How attention and the loss are computed
fast stands in attention.py and cross_entropy.py.

Packed sequences: each document attends to itself only, and its positions start at zero. Hugging Face's class doesn't do
that; the two agree on single documents. Source: Starcoder2's config.json and modular_starcoder2.py (model.md 1.1).

Tensors carry suffix letters: B batch, T time (queries), S time (keys), C channels, H query heads, G key-value heads,
K head size, V vocabulary.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from minicode_model.attention import Mask, attend, make_mask
from minicode_model.config import Model
from minicode_model.cross_entropy import LinearCrossEntropy

PADDING_SEGMENT = -1
"""Segment id of positions that hold no document."""


class Starcoder2(nn.Module):
    """The decoder with its output matrix. `model` holds the blocks, as in Hugging Face's class.

    Args:
        config: The shape. Weights are drawn from torch's global generator; see `initialise` for a seeded draw.
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        if not config.tie_word_embeddings:
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)

    @property
    def output_weight(self) -> Tensor:
        """The matrix (V, C) that turns hidden states into logits."""
        return self.model.embed_tokens.weight if self.config.tie_word_embeddings else self.lm_head.weight

    @property
    def num_parameters(self) -> int:
        """Trained numbers, a tied embedding counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def forward(self, tokens_BT: Tensor, segments_BT: Tensor | None = None, cache: "Cache | None" = None) -> Tensor:
        """Logits (B, T, V) of the token after each position.

        Args:
            tokens_BT: Token ids.
            segments_BT: Which document each position belongs to, rising along T, -1 for padding at the end; None means
                one document a row.
            cache: Keys and values of the positions before, to which these are appended. Excludes `segments_BT`.
        """
        return functional.linear(self.model(tokens_BT, segments_BT, cache), self.output_weight)

    def next_logits(self, tokens_BT: Tensor, cache: "Cache") -> Tensor:
        """Logits (B, V) after the last of the given positions only."""
        return functional.linear(self.model(tokens_BT, None, cache)[:, -1], self.output_weight)

    def loss(self, tokens_BT: Tensor, segments_BT: Tensor, targets_BT: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Summed negative log-likelihood (nats) of the targets, and how many targets there are.

        Position t predicts t + 1 where `targets_BT` (B, T - 1) is True; by default where both belong to the same
        document.
        """
        hidden_BTC = self.model(tokens_BT, segments_BT, None)[:, :-1]
        counts_BT = target_mask(segments_BT) if targets_BT is None else targets_BT
        loss: Tensor = LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden_BTC.flatten(0, 1), self.output_weight, tokens_BT[:, 1:].flatten(), counts_BT.flatten()
        )
        return loss, counts_BT.sum()


class Decoder(nn.Module):
    """Embedding, blocks and final norm.

    Attributes:
        gradient_checkpointing: Recompute each block in the backward pass instead of keeping its activations.
    """

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.norm = make_norm(config, config.hidden_size)
        self.gradient_checkpointing = False

    def forward(self, tokens_BT: Tensor, segments_BT: Tensor | None, cache: "Cache | None") -> Tensor:
        """Hidden states (B, T, C) after the final norm."""
        hidden_BTC = self.embed_tokens(tokens_BT)
        if cache is not None:
            mask: Mask
            positions_BT, mask = cache.advance(tokens_BT.shape[1], self.config.sliding_window)
        else:
            if segments_BT is None:
                segments_BT = torch.zeros_like(tokens_BT)
            positions_BT = document_positions(segments_BT)
            mask = make_mask(segments_BT, self.config.sliding_window)
        rotation = rotary_table(self.config, positions_BT)
        for index, layer in enumerate(self.layers):
            if self.gradient_checkpointing and self.training:
                hidden_BTC = checkpoint(layer, hidden_BTC, rotation, mask, None, use_reentrant=False)
            else:
                hidden_BTC = layer(hidden_BTC, rotation, mask, cache.layers[index] if cache else None)
        normed_BTC: Tensor = self.norm(hidden_BTC)
        return normed_BTC


class Block(nn.Module):
    """Attention and MLP, each behind a norm and added to the residual stream."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.input_layernorm = make_norm(config, config.hidden_size)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = make_norm(config, config.hidden_size)
        self.mlp = GatedMLP(config) if config.hidden_act == "swiglu" else MLP(config)

    def forward(
        self, hidden_BTC: Tensor, rotation: tuple[Tensor, Tensor], mask: Mask, cache: "LayerCache | None"
    ) -> Tensor:
        """The residual stream (B, T, C) after this block."""
        hidden_BTC = hidden_BTC + self.self_attn(self.input_layernorm(hidden_BTC), rotation, mask, cache)
        result_BTC: Tensor = hidden_BTC + self.mlp(self.post_attention_layernorm(hidden_BTC))
        return result_BTC


class Attention(nn.Module):
    """Grouped-query attention with rotary positions: H query heads share G key-value heads."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        width, heads, groups = config.hidden_size, config.num_attention_heads, config.num_key_value_heads
        self.head_size = width // heads
        self.q_proj = nn.Linear(width, heads * self.head_size, bias=config.use_bias)
        self.k_proj = nn.Linear(width, groups * self.head_size, bias=config.use_bias)
        self.v_proj = nn.Linear(width, groups * self.head_size, bias=config.use_bias)
        self.o_proj = nn.Linear(heads * self.head_size, width, bias=config.use_bias)
        self.has_norms = config.qk_norm
        if self.has_norms:
            self.q_norm = make_norm(config, self.head_size)
            self.k_norm = make_norm(config, self.head_size)

    def forward(
        self, hidden_BTC: Tensor, rotation: tuple[Tensor, Tensor], mask: Mask, cache: "LayerCache | None"
    ) -> Tensor:
        """What each position read from the positions that it may see (B, T, C).

        The three projections are one product and the two rotations one, which is faster than by themselves.
        """
        projections = (self.q_proj, self.k_proj, self.v_proj)
        weight = torch.cat([projection.weight for projection in projections])
        bias = torch.cat([projection.bias for projection in projections]) if self.q_proj.bias is not None else None
        heads_BHTK = split_heads(functional.linear(hidden_BTC, weight, bias), self.head_size)
        sizes = [projection.out_features // self.head_size for projection in projections]
        turned_BHTK, value_BGSK = torch.split(heads_BHTK, [sizes[0] + sizes[1], sizes[2]], dim=1)
        if self.has_norms:
            query_BHTK, key_BGSK = torch.split(turned_BHTK, sizes[:2], dim=1)
            turned_BHTK = torch.cat((self.q_norm(query_BHTK), self.k_norm(key_BGSK)), dim=1)
        query_BHTK, key_BGSK = torch.split(rotate(turned_BHTK, rotation), sizes[:2], dim=1)
        if cache is not None:
            key_BGSK, value_BGSK = cache.append(key_BGSK, value_BGSK)
        read_BHTK = attend(query_BHTK, key_BGSK, value_BGSK, mask)
        read_BTC: Tensor = self.o_proj(read_BHTK.transpose(1, 2).flatten(2))
        return read_BTC


class MLP(nn.Module):
    """Two matrices with GELU (tanh form) between them."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.use_bias)
        self.c_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.use_bias)

    def forward(self, hidden_BTC: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        result_BTC: Tensor = self.c_proj(functional.gelu(self.c_fc(hidden_BTC), approximate="tanh"))
        return result_BTC


class GatedMLP(nn.Module):
    """SwiGLU, the alternative of `hidden_act = "swiglu"`: three matrices. Source: arXiv 2002.05202."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.c_gate = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.use_bias)
        self.c_fc = nn.Linear(config.hidden_size, config.intermediate_size, bias=config.use_bias)
        self.c_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.use_bias)

    def forward(self, hidden_BTC: Tensor) -> Tensor:
        """(B, T, C) to (B, T, C)."""
        result_BTC: Tensor = self.c_proj(functional.silu(self.c_gate(hidden_BTC)) * self.c_fc(hidden_BTC))
        return result_BTC


def make_norm(config: Model, width: int) -> nn.Module:
    """LayerNorm with bias, as StarCoder2 has it, or RMSNorm where the configuration says `rms_norm`."""
    norm = nn.RMSNorm if config.norm_type == "rms_norm" else nn.LayerNorm
    return norm(width, eps=config.norm_epsilon)


def split_heads(projected_BTC: Tensor, head_size: int) -> Tensor:
    """(B, T, heads x K) to (B, heads, T, K)."""
    batch, length, _ = projected_BTC.shape
    return projected_BTC.view(batch, length, -1, head_size).transpose(1, 2)


# -- Positions and masks


def document_positions(segments_BT: Tensor) -> Tensor:
    """Position of each token inside its own document, from 0: the index minus the index of the document's start."""
    index_T = torch.arange(segments_BT.shape[1], device=segments_BT.device)
    is_start_BT = functional.pad(segments_BT[:, 1:] != segments_BT[:, :-1], (1, 0), value=True)
    start_BT = torch.where(is_start_BT, index_T, 0).cummax(dim=1).values
    return index_T - start_BT


def target_mask(segments_BT: Tensor) -> Tensor:
    """Where position t has a target (B, T-1): t and t + 1 belong to the same document, and it isn't padding."""
    return (segments_BT[:, 1:] == segments_BT[:, :-1]) & (segments_BT[:, 1:] != PADDING_SEGMENT)


def rotary_table(config: Model, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine (B, 1, T, K) of each position's angles; channels i and i + K/2 turn together (RoFormer)."""
    head_size = config.hidden_size // config.num_attention_heads
    exponent = torch.arange(0, head_size, 2, dtype=torch.int64, device=positions_BT.device).float() / head_size
    angles_BTK = positions_BT[..., None].float() * (1.0 / config.rope_theta**exponent)
    angles_B1TK = torch.cat((angles_BTK, angles_BTK), dim=-1)[:, None]
    return angles_B1TK.cos(), angles_B1TK.sin()


def rotate(heads_BHTK: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of channels (i, i + K/2) by its angle; torch.compile fuses the plain form better."""
    cosine_B1TK, sine_B1TK = (table.to(heads_BHTK.dtype) for table in rotation)
    if torch.compiler.is_compiling():
        first, second = heads_BHTK.chunk(2, dim=-1)
        return heads_BHTK * cosine_B1TK + torch.cat((-second, first), dim=-1) * sine_B1TK
    turned_BHTK: Tensor = Rotation.apply(heads_BHTK, cosine_B1TK, sine_B1TK)  # type: ignore[no-untyped-call]
    return turned_BHTK


class Rotation(torch.autograd.Function):
    """The rotation in two passes over the heads; its gradient is the rotation back."""

    @staticmethod
    def forward(ctx, heads_BHTK: Tensor, cosine_B1TK: Tensor, sine_B1TK: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """(B, H, T, K) to (B, H, T, K)."""
        ctx.save_for_backward(cosine_B1TK, sine_B1TK)
        return _turn(heads_BHTK, cosine_B1TK, sine_B1TK)

    @staticmethod
    def backward(ctx, gradient_BHTK: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        """The gradient turned by the opposite angle."""
        cosine_B1TK, sine_B1TK = ctx.saved_tensors
        return _turn(gradient_BHTK, cosine_B1TK, -sine_B1TK), None, None


def _turn(heads_BHTK: Tensor, cosine_B1TK: Tensor, sine_B1TK: Tensor) -> Tensor:
    half = heads_BHTK.shape[-1] // 2
    turned_BHTK = heads_BHTK * cosine_B1TK
    turned_BHTK[..., :half].addcmul_(heads_BHTK[..., half:], sine_B1TK[..., :half], value=-1)
    turned_BHTK[..., half:].addcmul_(heads_BHTK[..., :half], sine_B1TK[..., half:])
    return turned_BHTK


# -- The cache for generation


@dataclass
class LayerCache:
    """Keys and values of one layer; the first `length` of the S positions are filled."""

    key_BGSK: Tensor
    value_BGSK: Tensor
    length: int = 0

    def append(self, key_BGTK: Tensor, value_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        """Store new positions, and give all that are filled."""
        end = self.length + key_BGTK.shape[2]
        self.key_BGSK[:, :, self.length : end] = key_BGTK
        self.value_BGSK[:, :, self.length : end] = value_BGTK
        self.length = end
        return self.key_BGSK[:, :, :end], self.value_BGSK[:, :, :end]


@dataclass
class Cache:
    """Keys and values of all layers for rows that are padded on the left, so that all end at the same position.

    Attributes:
        layers: One a block.
        padding_B: How many positions of padding each row begins with.
        length: Filled positions.
    """

    layers: list[LayerCache]
    padding_B: Tensor
    length: int = 0

    @classmethod
    def allocate(cls, model: Starcoder2, padding_B: Tensor, num_positions: int) -> "Cache":
        """An empty cache for `num_positions` positions, on the model's device and in its dtype."""
        config, weight = model.config, model.output_weight
        shape = (
            len(padding_B),
            config.num_key_value_heads,
            num_positions,
            config.hidden_size // config.num_attention_heads,
        )
        layers = [LayerCache(weight.new_zeros(shape), weight.new_zeros(shape)) for _ in range(config.num_hidden_layers)]
        return cls(layers, padding_B)

    def advance(self, num_new: int, sliding_window: int) -> tuple[Tensor, Tensor | None]:
        """Positions (B, T) of the next `num_new` tokens, and which keys (B, 1, T, S) they may read; None means all."""
        query_T = torch.arange(self.length, self.length + num_new, device=self.padding_B.device)
        self.length += num_new
        positions_BT = (query_T - self.padding_B[:, None]).clamp(min=0)
        if num_new == 1 and not sliding_window and not bool(self.padding_B.any()):
            return positions_BT, None
        key_S = torch.arange(self.length, device=self.padding_B.device)
        distance_TS = query_T[:, None] - key_S[None, :]
        visible_TS = distance_TS >= 0
        if sliding_window:
            visible_TS = visible_TS & (distance_TS < sliding_window)
        own_BTS = (key_S >= self.padding_B[:, None])[:, None, :] | (distance_TS == 0)
        return positions_BT, (visible_TS & own_BTS)[:, None]


# -- Initial weights


def initialise(config: Model, seed: int) -> Starcoder2:
    """A new model whose weights depend on `config` and `seed` only.

    Normal with standard deviation 1 / sqrt(hidden_size) (StarCoder2's `initializer_range`: 0.018042 = 1 / sqrt(3072));
    the projections back into the residual stream divided by sqrt(2 x layers), so that its variance doesn't grow with
    depth (Megatron-LM); biases zero, norms one. torch's global generator stays as it was.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        model = Starcoder2(config)
    model = model.to_empty(device="cpu")
    deviation = 1.0 / math.sqrt(config.hidden_size)
    residual_deviation = deviation / math.sqrt(2 * config.num_hidden_layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1.0)
            else:
                is_residual = name.endswith(("o_proj.weight", "c_proj.weight"))
                parameter.normal_(0.0, residual_deviation if is_residual else deviation, generator=generator)
    return model
