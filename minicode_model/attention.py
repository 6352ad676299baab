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
    read_BHTK: Tensor = BlockedAttention.apply(query_BHTK, key_BGSK, value_BGSK, mask)  # type: ignore[no-untyped-call]
    return read_BHTK


class BlockedAttention(torch.autograd.Function):
    """Masked softmax attention in blocks of queries, each with no key after its last; keeps the weights.

    The query heads of a group stand below each other as rows, so that no key is copied. Matrices carry Z for
    batch x groups.
    """

    @staticmethod
    def forward(ctx, query_BHTK: Tensor, key_BGSK: Tensor, value_BGSK: Tensor, mask: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        """(B, H, T, K) from what `attend` takes; S is T."""
        batch, groups, length, size = key_BGSK.shape
        key_ZSK, value_ZSK = key_BGSK.reshape(-1, length, size), value_BGSK.reshape(-1, length, size)
        query_BGRTK = query_BHTK.mul(size**-0.5).view(batch, groups, -1, length, size)
        read_BGRTK = torch.empty(query_BGRTK.shape, dtype=value_ZSK.dtype)
        saved = []
        for start, end in _blocks(length):
            query = query_BGRTK[..., start:end, :].reshape(len(key_ZSK), -1, size)
            scores = (query @ key_ZSK[:, :end].transpose(1, 2)).view(batch, groups, -1, end - start, end)
            hidden = torch.zeros((batch, 1, 1, end - start, end), dtype=scores.dtype)
            hidden.masked_fill_(~mask[:, :, None, start:end, :end], float("-inf"))
            weights = scores.add_(hidden).softmax(dim=-1).view(*query.shape[:2], end)
            read_BGRTK[..., start:end, :] = (weights @ value_ZSK[:, :end]).view(batch, groups, -1, end - start, size)
            saved += [query, weights]
        ctx.save_for_backward(key_ZSK, value_ZSK, *saved)
        return read_BGRTK.view(query_BHTK.shape)

    @staticmethod
    def backward(ctx, gradient_BHTK: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        """Gradients of queries, keys and values."""
        key_ZSK, value_ZSK, *saved = ctx.saved_tensors
        length, size = key_ZSK.shape[1:]
        batch = len(gradient_BHTK)
        groups = len(key_ZSK) // batch
        upstream_BGRTK = gradient_BHTK.reshape(batch, groups, -1, length, size)
        query_BGRTK = torch.empty(upstream_BGRTK.shape, dtype=key_ZSK.dtype)
        gradient_key_ZSK, gradient_value_ZSK = torch.zeros_like(key_ZSK), torch.zeros_like(value_ZSK)
        for (start, end), query, weights in zip(_blocks(length), saved[::2], saved[1::2], strict=True):
            upstream = upstream_BGRTK[..., start:end, :].reshape(query.shape)
            gradient_value_ZSK[:, :end] += weights.transpose(1, 2) @ upstream
            scores = torch._softmax_backward_data(
                upstream @ value_ZSK[:, :end].transpose(1, 2), weights, -1, weights.dtype
            )
            gradient_key_ZSK[:, :end] += scores.transpose(1, 2) @ query
            part = (scores @ key_ZSK[:, :end]).mul_(size**-0.5)
            query_BGRTK[..., start:end, :] = part.view(batch, groups, -1, end - start, size)
        shape = (batch, groups, length, size)
        return (
            query_BGRTK.view(gradient_BHTK.shape),
            gradient_key_ZSK.view(shape),
            gradient_value_ZSK.view(shape),
            None,
        )


def _blocks(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + BLOCK_TOKENS, length)) for start in range(0, length, BLOCK_TOKENS)]
