"""Where an export is read in place: a local folder, or a prefix of an S3-compatible bucket."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.fs as pafs

from minicode_assets.config import Tables
from minicode_assets.errors import TableError


@dataclass(frozen=True, order=True)
class BucketPath:
    """A path in a bucket, with the few methods of `pathlib.Path` that reading an export takes.

    Attributes:
        path: Bucket and key, without a scheme.
        files: The server.
    """

    path: str
    files: pafs.S3FileSystem = field(compare=False, repr=False)

    def __truediv__(self, name: str) -> "BucketPath":
        return BucketPath(f"{self.path}/{name}" if name else self.path, self.files)

    def __str__(self) -> str:
        return f"s3://{self.path}"

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        """The last part's suffix."""
        return PurePosixPath(self.path).suffix

    def is_dir(self) -> bool:
        """Whether there is a key below."""
        return bool(self._type() == pafs.FileType.Directory)

    def is_file(self) -> bool:
        """Whether there is such a key."""
        return bool(self._type() == pafs.FileType.File)

    def stat(self) -> SimpleNamespace:
        """`st_size`: bytes."""
        return SimpleNamespace(st_size=self.files.get_file_info(self.path).size)

    def iterdir(self) -> Iterator["BucketPath"]:
        """What lies directly below."""
        return self._select(recursive=False)

    def rglob(self, pattern: str) -> Iterator["BucketPath"]:
        """Everything below; the pattern is always `*`."""
        assert pattern == "*"
        return self._select(recursive=True)

    def open_input(self) -> pa.NativeFile:
        """The object, for reading at any offset."""
        return self.files.open_input_file(self.path)

    def _select(self, *, recursive: bool) -> Iterator["BucketPath"]:
        selector = pafs.FileSelector(self.path, allow_not_found=True, recursive=recursive)
        return (BucketPath(found.path, self.files) for found in self.files.get_file_info(selector))

    def _type(self) -> pafs.FileType:
        try:
            return self.files.get_file_info(self.path).type
        except (OSError, pa.ArrowException) as error:
            raise TableError(
                f"{self}: can't be asked for: {error}", hint="check the connection and [tables] s3_endpoint, s3_region"
            ) from error


ExportPath = Path | BucketPath


def open_bucket(params: Tables) -> pafs.S3FileSystem:
    """The S3-compatible server of the configuration, asked without credentials: the archive's bucket is public."""
    scheme, _, host = params.s3_endpoint.rpartition("://")
    return pafs.S3FileSystem(
        anonymous=True,
        region=params.s3_region,
        endpoint_override=host or None,
        scheme=scheme or "https",
        request_timeout=params.timeout_s,
        connect_timeout=params.timeout_s,
    )


def export_path(location: str, params: Tables) -> ExportPath:
    """The place of an export: `s3://<bucket>/<prefix>` or the path of a folder."""
    if location.startswith("s3://"):
        return BucketPath(location.removeprefix("s3://").rstrip("/"), open_bucket(params))
    return Path(location)
