"""Safetensors files of unsigned integers: written so that equal content gives equal bytes, read by memory map."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minicode_model.artifact import rebuild_hint
from minicode_model.errors import ShardError

_TYPES = {"U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"}
_HINT = rebuild_hint("token_shards")


def write_tensors(path: Path, arrays: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whose bytes depend on its content only (the library's header order is random).

    Args:
        path: The file.
        arrays: Unsigned integers of 8 to 64 bits, by name; the widest lie first, so each is aligned.
        metadata: Strings for the header.
    """
    types = {np.dtype(code): name for name, code in _TYPES.items()}
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name in order:
        stop = offset + arrays[name].nbytes
        header[name] = {
            "dtype": types[arrays[name].dtype],
            "shape": list(arrays[name].shape),
            "data_offsets": [offset, stop],
        }
        offset = stop
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as stream:
        stream.write(len(raw).to_bytes(8, "little") + raw)
        for name in order:
            stream.write(np.ascontiguousarray(arrays[name]).data)


def map_tensors(path: Path, *expected: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """Memory-map a safetensors file of unsigned integers.

    Args:
        path: The file.
        expected: Names of arrays that must be there.

    Returns:
        (arrays by name, read-only; the header's metadata).

    Raises:
        ShardError: The file is absent, truncated or no such file, or lacks an array.
    """
    try:
        found = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length)) if length < found else {}
        metadata = header.pop("__metadata__", {})
        size = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if found != size:
            raise ShardError(f"{path}: found {found} bytes, expected {size}", hint=_HINT)
        raw = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))[8 + length :]
        arrays = {name: _array(raw, entry) for name, entry in header.items()}
    except (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        raise ShardError(f"{path}: no readable safetensors header: {error}", hint=_HINT) from error
    if missing := [name for name in expected if name not in arrays]:
        raise ShardError(f"{path}: found no {', '.join(missing)}, expected {', '.join(expected)}", hint=_HINT)
    return arrays, metadata


def _array(raw: npt.NDArray[np.uint8], entry: Mapping[str, Any]) -> npt.NDArray[Any]:
    start, stop = entry["data_offsets"]
    return raw[start:stop].view(_TYPES[entry["dtype"]]).reshape(entry["shape"])
