"""moto's S3 server on loopback, empty at the start: its buckets belong to the process, so a former server's stay."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen


@contextmanager
def s3_server(bucket: str) -> Iterator[str]:
    """Run a server with one empty bucket that anybody may read and write.

    Yields:
        Its address.
    """
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        empty(endpoint, bucket)
        yield endpoint
    finally:
        server.stop()


def empty(endpoint: str, bucket: str) -> None:
    """Forget everything that was ever put, and make the bucket."""
    urlopen(Request(f"{endpoint}/moto-api/reset", method="POST")).read()
    public = {"x-amz-acl": "public-read-write"}
    urlopen(Request(f"{endpoint}/{bucket}", method="PUT", headers=public)).read()


def put(endpoint: str, bucket: str, key: str, body: bytes) -> None:
    """Store one object that anybody may read."""
    public = {"x-amz-acl": "public-read", "Content-Type": "application/octet-stream"}
    urlopen(Request(f"{endpoint}/{bucket}/{key}", method="PUT", data=body, headers=public)).read()
