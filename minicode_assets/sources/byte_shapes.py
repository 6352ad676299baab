"""What single bytes tell of a character set where a library that judges whole texts has too little to go by.

Source code has few letters beyond ASCII, in comments, so runs of high bytes are short; what they look like still
differs: an accented letter stands alone, a Russian word is one run in half of the upper rows, Chinese comes in pairs.
"""

import re
from collections.abc import Sequence

_RUNS = re.compile(rb"[\x80-\xff]+")
_MIN_FRACTION = 0.85
_MIN_PAIRS = 2
_MIN_HANGUL_PAIRS = 6
_FEW_BYTES = 6
_MIN_ROWS = 6


def charset_by_shape(content: bytes, allowed: Sequence[str]) -> str | None:
    """The codec that the runs of high bytes look like, one of those allowed; null where they tell nothing.

    Source: transcoded comments of public repositories, docs/log.md.
    """
    runs = _RUNS.findall(content)
    high = b"".join(runs)
    if not high:
        return None
    found = _single_bytes(runs, high) or _pairs(runs)
    return found if found in allowed else None


def is_surely_paired(content: bytes) -> bool:
    """Whether the high bytes are pairs of two-byte characters of many rows, as no UTF-8 has them, damaged or not."""
    runs = _RUNS.findall(content)
    leads = {lead for run in runs for lead in run[::2]}
    return len(leads) >= _MIN_ROWS and _pairs(runs) is not None


def _share(high: bytes, first: int, last: int) -> float:
    """Share of the bytes from `first` to `last`, 0..1."""
    return sum(first <= byte <= last for byte in high) / len(high)


def _single_bytes(runs: list[bytes], high: bytes) -> str | None:
    alone = sum(len(run) == 1 for run in runs) / len(runs)
    if alone >= _MIN_FRACTION:
        western = len(high) <= _FEW_BYTES or _share(high, 0xC0, 0xFF) >= _MIN_FRACTION
        return "cp1252" if western else None
    if len(high) <= _FEW_BYTES or max(map(len, runs)) < 4:
        return None
    if _share(high, 0xC0, 0xDF) >= _MIN_FRACTION:
        return "koi8_r"
    if _share(high, 0xE0, 0xFF) >= 0.7 and _share(high, 0xC0, 0xFF) >= _MIN_FRACTION:
        return "cp1251"
    return None


def _pairs(runs: list[bytes]) -> str | None:
    """Chinese (GB 2312, its frequent characters) or Korean in pairs of high bytes."""
    if any(len(run) % 2 for run in runs):
        return None
    leads = b"".join(run[::2] for run in runs)
    trails = b"".join(run[1::2] for run in runs)
    if min(trails) < 0xA1 or min(leads) < 0xA1:
        return None
    letters = bytes(lead for lead in leads if lead >= 0xB0)
    if len(letters) < _MIN_PAIRS or len(letters) < len(leads) / 2 or _share(letters, 0xB0, 0xD7) < _MIN_FRACTION:
        return None
    is_hangul = _share(letters, 0xB0, 0xC8) >= 0.97
    return ("cp949" if len(letters) >= _MIN_HANGUL_PAIRS else None) if is_hangul else "gb18030"
