"""The append-only journal of a partition under way: what was fetched survives SIGKILL, power loss and a full disk.

A record reaches the operating system before its content counts as fetched, so SIGKILL loses nothing that was counted.
The file is flushed to disk every `FLUSH_S` seconds and before the partition is sealed, so power loss costs at most that
time's requests. Records carry a CRC-32; on opening, damaged ones are passed over and a torn tail is cut off.

    journal = magic, record*
    record  = MARK, length of payload (u32), CRC-32 of payload (u32), payload
    payload = kind (u8), sha1_git (20), then by kind
              BLOB: LZ4 block of the bytes, preceded by their length (u32)
              VERDICT: JSON with status, problem and, as hexadecimal, the bytes of a quarantined body
              RUN: digest of inputs and configuration; verdicts count only below their own run's mark
"""

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa

from minicode_assets.errors import StorageError
from minicode_model.artifact import storage_errors

BLOB, VERDICT, RUN = 1, 2, 3
MAGIC = b"minicode blob journal 1\n"
MARK = b"\xc5\x1bRCRD\x9e\x07"
FLUSH_S = 1.0
"""Longest time that a record waits for fsync. Unit: seconds."""
_FRAME = struct.Struct(">8sII")
_HEAD = struct.Struct(">B20s")
_LENGTH = struct.Struct(">I")
_SEARCH_BYTES = 1 << 20
_CODEC = pa.Codec("lz4_raw")


class Journal:
    """One partition's journal, held by a lock that dies with this process.

    Args:
        folder: Made if absent; holds nothing else.

    Raises:
        StorageError: Another process holds it, or it can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        with storage_errors(folder):
            self._lock = _lock(folder)
            try:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
                self._end = os.fstat(self._file).st_size
                if os.pread(self._file, len(MAGIC), 0) != MAGIC:
                    os.ftruncate(self._file, 0)
                    self._end = 0
                    self._write(MAGIC)
                    os.fsync(self._file)
                    _flush_folder(folder)
                    _flush_folder(folder.parent)
            except BaseException:
                os.close(self._lock)
                raise
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with storage_errors(self.path):
            os.fsync(self._file)
        self.close()

    def close(self) -> None:
        """Let go of the file and the lock."""
        os.close(self._file)
        os.close(self._lock)

    def replay(self) -> Iterator[tuple[int, bytes, int, int]]:
        """(kind, sha1_git, position, length of payload) of each sound record, in order; then a torn tail is cut off.

        Call it once, before the first append.
        """
        position = sound_end = len(MAGIC)
        while position < self._end:
            payload = self._record_at(position)
            if payload is None:
                position = self._next_mark(position + 1)
                continue
            kind, sha1_git = _HEAD.unpack_from(payload)
            yield kind, sha1_git, position, len(payload)
            position = sound_end = position + _FRAME.size + len(payload)
        if sound_end < self._end:
            os.ftruncate(self._file, sound_end)
            self._end = sound_end

    def append(self, kind: int, sha1_git: bytes, body: bytes) -> int:
        """Write one record and return its position; on return it survives this process.

        Raises:
            StorageError: The disk is full. The journal is cut back to its last whole record, and stays sound.
        """
        packed = _LENGTH.pack(len(body)) + _CODEC.compress(body, asbytes=True) if kind == BLOB else body
        payload = _HEAD.pack(kind, sha1_git) + packed
        position = self._end
        with storage_errors(self.path):
            self._write(_FRAME.pack(MARK, len(payload), zlib.crc32(payload)) + payload)
            if time.monotonic() - self._flushed > FLUSH_S:
                os.fdatasync(self._file)
                self._flushed = time.monotonic()
        return position

    def read(self, position: int) -> tuple[int, bytes, bytes]:
        """(kind, sha1_git, body) of the record at a position that `replay` or `append` gave.

        Raises:
            StorageError: The record changed on disk since.
        """
        payload = self._record_at(position)
        if payload is None:
            raise StorageError(
                f"{self.path}: the record at byte {position} is damaged", hint="run it again: it resumes"
            )
        kind, sha1_git = _HEAD.unpack_from(payload)
        rest = payload[_HEAD.size :]
        if kind != BLOB:
            return kind, sha1_git, rest
        (length,) = _LENGTH.unpack_from(rest)
        return kind, sha1_git, _CODEC.decompress(rest[_LENGTH.size :], length, asbytes=True) if length else b""

    def remove(self) -> None:
        """Delete the journal and its folder, while the lock is held."""
        with storage_errors(self.path):
            self.path.unlink()
            self.path.parent.rmdir()
            _flush_folder(self.path.parent.parent)

    def _record_at(self, position: int) -> bytes | None:
        head = os.pread(self._file, _FRAME.size, position)
        if len(head) < _FRAME.size:
            return None
        mark, length, crc = _FRAME.unpack(head)
        if mark != MARK or length < _HEAD.size or position + _FRAME.size + length > self._end:
            return None
        payload = os.pread(self._file, length, position + _FRAME.size)
        return payload if zlib.crc32(payload) == crc else None

    def _next_mark(self, position: int) -> int:
        """Position of the next record's mark, or the end of the file."""
        while position < self._end:
            chunk = os.pread(self._file, _SEARCH_BYTES, position)
            found = chunk.find(MARK)
            if found >= 0:
                return position + found
            if len(chunk) < _SEARCH_BYTES:
                return self._end
            position += len(chunk) - len(MARK) + 1
        return self._end

    def _write(self, record: bytes) -> None:
        done = 0
        try:
            while done < len(record):
                done += os.pwrite(self._file, record[done:], self._end + done)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += done


def _lock(folder: Path) -> int:
    """Lock a folder, made if absent; another process may remove it between the two, so look again."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise StorageError(
                f"{folder}: another run is fetching this partition",
                hint="wait for that run to end, then run again",
                may_pass=True,
            ) from error
        if folder.exists() and folder.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
