"""Which keys each query may read, and how attention is computed: exact and fast on the CPU, FlexAttention on a GPU.

Tensors carry suffix letters as in model.py: B batch, T queries, S keys, H query heads, G key-value heads, K head size.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

Mask = Tensor | BlockMask | None
"""Which keys each query reads: booleans (B, 1, T, S), FlexAttention's form of them, or None for all."""
BLOCK_TOKENS = 128
MAX_BLOCKED_TOKENS = 2048
"""Longer sequences go to the fused kernel, whose memory grows with T instead of T squared."""


def make_mask(segments_BT: Tensor, sliding_window: int) -> "Tensor | BlockMask":
    """The mask in the form that is fast on the tensor's device."""
    return (attention_mask if segments_BT.device.type == "cpu" else block_mask)(segments_BT, sliding_window)


def attention_mask(segments_BT: Tensor, sliding_window: int) -> Tensor:
    """Boolean mask (B, 1, T, S): True where query t may read key s: same document, s <= t, within the window."""
    index_T = torch.arange(segments_BT.shape[1], device=segments_BT.device)
    distance_TS = index_T[:, None] - index_T[None, :]
    visible_TS = distance_TS >= 0
    if sliding_window:
        visible_TS = visible_TS & (distance_TS < sliding_window)
    return (visible_TS & (segments_BT[:, :, None] == segments_BT[:, None, :]))[:, None]


def block_mask(segments_BT: Tensor, sliding_window: int) -> BlockMask:
    """The same rule as `attention_mask` for FlexAttention, which skips whole blocks that nobody may read."""

    def visible(batch: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        allowed = (query >= key) & (segments_BT[batch, query] == segments_BT[batch, key])
        return allowed & (query - key < sliding_window) if sliding_window else allowed

    batch, length = segments_BT.shape
    return create_block_mask(visible, batch, None, length, length, device=segments_BT.device)


@functools.cache
def compiled_flex_attention() -> Callable[..., Tensor]:
    """FlexAttention as a kernel; compiled at first use."""
    return torch.compile(flex_attention)


def attend(query_BHTK: Tensor, key_BGSK: Tensor, value_BGSK: Tensor, mask: Mask) -> Tensor:
    """Softmax attention (B, H, T, K) of H query heads to G key-value heads; `mask` as `attention_mask` gives it.

    With a BlockMask by FlexAttention. On the CPU in blocks of queries, each reading no later key than its last: torch's
    fused kernel there computes masked pairs too, and its backward pass is slow. Measured on one core in bfloat16,
    forward and backward at B 16, H 2, G 1, T 512, K 64: 87 ms fused, 27 ms in blocks (benchmarks/training.py).
    """
    shares_keys = query_BHTK.shape[1] != key_BGSK.shape[1]
    if isinstance(mask, BlockMask):
        return compiled_flex_attention()(query_BHTK, key_BGSK, value_BGSK, block_mask=mask, enable_gqa=shares_keys)
    length = query_BHTK.shape[2]
    if query_BHTK.device.type != "cpu" or mask is None or length != key_BGSK.shape[2] or length > MAX_BLOCKED_TOKENS:
        return functional.scaled_dot_product_attention(
            query_BHTK, key_BGSK, value_BGSK, attn_mask=mask, enable_gqa=shares_keys
        )
    blocks = [
        _attend_block(
            query_BHTK[:, :, start:end], key_BGSK[:, :, :end], value_BGSK[:, :, :end], mask[..., start:end, :end]
        )
        for start, end in ((start, min(start + BLOCK_TOKENS, length)) for start in range(0, length, BLOCK_TOKENS))
    ]
    return torch.cat(blocks, dim=2)


def _attend_block(query_BHTK: Tensor, key_BGSK: Tensor, value_BGSK: Tensor, mask: Tensor) -> Tensor:
    """The query heads of a group stand below each other as rows, so that no key is copied."""
    batch, heads, length, size = query_BHTK.shape
    groups, num_keys = key_BGSK.shape[1:3]
    query = (query_BHTK * size**-0.5).reshape(batch, groups, -1, size)
    scores = (query @ key_BGSK.transpose(2, 3)).view(batch, groups, -1, length, num_keys)
    hidden = torch.zeros(mask.shape, dtype=scores.dtype).masked_fill_(~mask, float("-inf"))
    weights = (scores + hidden[:, :, None]).softmax(dim=-1).view(batch, groups, -1, num_keys)
    read_BHTK: Tensor = weights @ value_BGSK
    return read_BHTK.view(batch, heads, length, size)
