"""Where published exports lie: an S3-compatible server, asked anonymously, or a web server's folder listing."""

import html.parser
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urljoin

import httpx
import pyarrow as pa
import pyarrow.fs as pafs

from minicode_assets.config import Tables
from minicode_assets.errors import ConfigError, TableError
from minicode_assets.tables.places import open_bucket

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class RemoteFile:
    """A file of an export: path below the remote's folder, and size."""

    path: str
    bytes: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


class Remote(Protocol):
    """A folder of exports."""

    url: str

    def folders(self, path: str) -> list[str]:
        """Names of the folders inside a folder (empty: the remote's own); none where it is absent."""

    def files(self, path: str) -> list[RemoteFile]:
        """Files inside a folder, by path."""

    def read(self, file: RemoteFile, start: int) -> Iterator[bytes]:
        """The bytes of a file from an offset on. Raises OSError or httpx.HTTPError when the connection breaks."""


def open_remote(params: Tables) -> Remote:
    """The remote of the configuration.

    Raises:
        ConfigError: Neither s3:// nor http(s)://.
    """
    if params.remote.startswith("s3://"):
        return S3Remote(params)
    if params.remote.startswith(("http://", "https://")):
        return WebRemote(params)
    raise ConfigError(
        f"[tables] remote: found {params.remote!r}, expected s3://<bucket>/<prefix> or https://...",
        hint="[tables] export takes the path of a local folder",
    )


class S3Remote:
    """A prefix of a bucket. No credentials are sent: the archive's bucket is public."""

    def __init__(self, params: Tables) -> None:
        self.url = params.remote.rstrip("/")
        self._root = self.url.removeprefix("s3://")
        self._files = open_bucket(params)

    def folders(self, path: str) -> list[str]:
        """See `Remote`."""
        return sorted(entry.base_name for entry in self._list(path) if entry.type == pafs.FileType.Directory)

    def files(self, path: str) -> list[RemoteFile]:
        """See `Remote`."""
        found = [entry for entry in self._list(path) if entry.type == pafs.FileType.File]
        return sorted((RemoteFile(f"{path}/{e.base_name}", e.size) for e in found), key=lambda file: file.path)

    def read(self, file: RemoteFile, start: int) -> Iterator[bytes]:
        """See `Remote`."""
        with self._files.open_input_file(f"{self._root}/{file.path}") as stream:
            stream.seek(start)
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    def _list(self, path: str) -> list[pafs.FileInfo]:
        try:
            found = self._files.get_file_info(
                pafs.FileSelector(f"{self._root}/{path}".rstrip("/"), allow_not_found=True)
            )
        except (OSError, pa.ArrowException) as error:
            raise TableError(
                f"{self.url}/{path}: can't be listed: {error}",
                hint="check the connection and [tables] remote, s3_endpoint and s3_region",
                may_pass=True,
            ) from error
        return list(found)


class _Links(html.parser.HTMLParser):
    """The targets of a page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect one link."""
        if tag == "a":
            self.targets += [value for name, value in attrs if name == "href" and value]


class WebRemote:
    """A folder that a web server lists as a page of links, as the archive's annex does."""

    def __init__(self, params: Tables) -> None:
        self.url = params.remote.rstrip("/")
        self._client = httpx.Client(timeout=params.timeout_s, follow_redirects=True)

    def folders(self, path: str) -> list[str]:
        """See `Remote`."""
        return [name[:-1] for name in self._names(path) if name.endswith("/")]

    def files(self, path: str) -> list[RemoteFile]:
        """See `Remote`."""
        names = [name for name in self._names(path) if not name.endswith("/")]
        return [RemoteFile(f"{path}/{name}", self._size(f"{self.url}/{path}/{name}")) for name in names]

    def read(self, file: RemoteFile, start: int) -> Iterator[bytes]:
        """See `Remote`. A server without ranges sends the file from its beginning: that part is skipped."""
        headers = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
        with self._client.stream("GET", f"{self.url}/{file.path}", headers=headers) as response:
            response.raise_for_status()
            skip = 0 if response.status_code == httpx.codes.PARTIAL_CONTENT else start
            for chunk in response.iter_raw():
                yield chunk[skip:]
                skip = max(skip - len(chunk), 0)

    def _names(self, path: str) -> list[str]:
        """Names in a listing, folders with a slash at the end; links that lead elsewhere don't count."""
        page = f"{self.url}/{path}".rstrip("/") + "/"
        response = self._ask("GET", page)
        if response.status_code == httpx.codes.NOT_FOUND:
            return []
        links = _Links()
        links.feed(response.text)
        targets = {urljoin(str(response.url), target).partition("?")[0] for target in links.targets}
        below = {target.removeprefix(str(response.url)) for target in targets if target.startswith(str(response.url))}
        return sorted(unquote(name) for name in below if name and "/" not in name[:-1])

    def _size(self, url: str) -> int:
        length = self._ask("HEAD", url).headers.get("Content-Length", "")
        if not length.isdecimal():
            raise TableError(
                f"{url}: found no Content-Length, expected the size of the file", hint="use an s3:// remote"
            )
        return int(length)

    def _ask(self, method: str, url: str) -> httpx.Response:
        try:
            response = self._client.request(method, url, headers={"Accept-Encoding": "identity"})
            if response.status_code != httpx.codes.NOT_FOUND or method == "HEAD":
                response.raise_for_status()
        except httpx.HTTPError as error:
            raise TableError(
                f"{url}: can't be listed: {error}", hint="check the connection and [tables] remote", may_pass=True
            ) from error
        return response
