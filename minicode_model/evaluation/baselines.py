"""What bits per byte cost without a model: the floor under every claim that the model has learnt something."""

import math
import zlib
from collections import Counter
from collections.abc import Sequence


def byte_entropy(texts: Sequence[bytes]) -> float:
    """Bits per byte of the best code that knows the frequencies of single bytes in just these texts (order 0)."""
    counts = Counter(b"".join(texts))
    total = counts.total()
    return -math.fsum(count / total * math.log2(count / total) for count in counts.values())


def zlib_bits_per_byte(texts: Sequence[bytes]) -> float:
    """Bits per byte of zlib at level 9 (gzip's method), each text on its own, header and checksum not counted."""
    compressed = sum(len(zlib.compress(text, level=9, wbits=-15)) for text in texts)
    return 8 * compressed / sum(map(len, texts))
