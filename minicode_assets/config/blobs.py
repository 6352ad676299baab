"""Section of the blobs: which bytes are fetched, and from where."""

from dataclasses import dataclass
from typing import Any

from minicode_model.config import nearest, operational


@dataclass(frozen=True, kw_only=True)
class OptOut:
    """What is not used because its authors do not want it."""

    file: str = ""
    """A wish a line: `origin <glob>`, `owner [<host>/]<name>`, `path <glob>`, `swhid <SWHID>`,
    `url <glob>` or `user <account>`; empty for none. Its
    content counts: a changed list makes the asset stale. Unit: path."""


@dataclass(frozen=True, kw_only=True)
class Blobs:
    """Which bytes are fetched, and from where."""

    backends: tuple[str, ...] = ("local",)
    """Sources in the order in which they are asked."""
    content_folder: str = "embedded"
    """Folder of the `local` backend (gzip files named by sha1); `embedded` is the archive asset's."""
    max_length_bytes: int = 10_000_000
    """Longer contents are not fetched. Source: StarCoder2 (10 MB)."""
    min_length_bytes: int = 0
    """Shorter Python files are not planned. `corpus` min_length_bytes is the most that makes sense. Unit: bytes."""
    max_attempts: int = operational(3)
    """Rounds in which a content that came damaged, wrong or not at all is asked for."""
    accept_terms: bool = operational(False)
    """You accept Software Heritage's terms of use and ethical charter; remote sources need it."""
    contact: str = operational("")
    """E-mail address or web page, sent in the User-Agent, so that the archive can reach you; remote sources need it."""
    api_url: str = "https://archive.softwareheritage.org/api/1"
    """Source `api`: the archive's web API."""
    api_limit: int = operational(120)
    """Requests a window until the server's headers say otherwise; 1200 with a token. Source: software_heritage.md 3."""
    api_window_s: float = operational(3600.0)
    """Length of the server's sliding log. Source: software_heritage.md 3."""
    api_burst_fraction: float = operational(0.3)
    """Share of the limit that may go at once, the rest is paced evenly. Derivation: limits.py."""
    api_connections: int = operational(4)
    """Requests in flight at most."""
    api_timeout_s: float = operational(60.0)
    """A request, body included, is given up after this time."""
    api_attempts: int = operational(5)
    """Requests for one content in one round, where the server or the connection fails."""
    s3_url: str = "https://softwareheritage.s3.amazonaws.com"
    """Source `s3`: the public bucket's address; contents are below `content/`."""
    s3_connections: int = operational(32)
    """Requests in flight at most: polite by default, 100 is what the archive's own tools use."""
    s3_blobs_per_s: float = operational(300.0)
    """What the plan's estimate assumes. Source: python-edu's card reports some 350 a second with 16 processes."""
    s3_timeout_s: float = operational(60.0)
    """A request, body included, is given up after this time."""
    s3_attempts: int = operational(5)
    """Requests for one content in one round, where the server or the connection fails."""
    vault_requests: int = 5
    """Source `vault`: requests that one directory costs, a look, an order, two looks, a download. A root directory with
    more wanted files than this that no other one has is fetched as a tarball. Source: software_heritage.md 3."""
    vault_limit: int = operational(120)
    """Orders a window until the server's headers say otherwise; ten times more with a token."""
    vault_looks_per_minute: int = operational(60)
    """Other requests to the vault. Source: software_heritage.md 3."""
    vault_poll_s: float = operational(30.0)
    """Pause between two looks at a directory that is being cooked."""
    vault_max_polls: int = operational(240)
    """Looks after which the next source is asked for a directory's files."""
    vault_max_bundle_bytes: int = operational(536_870_912)
    """Longer tarballs are not taken. Source: the vault's own limit, 512 MiB."""
    vault_max_expansion: int = operational(20)
    """Tarballs that unpack to more than this many times `vault_max_bundle_bytes` are not taken."""


@dataclass(frozen=True, kw_only=True)
class FetchPlan:
    """Which Python files are worth a request."""

    license_types: tuple[str, ...] = ("permissive",)
    """Verdicts of origin_licenses whose Python files are fetched; `corpus` license_types unless given."""
    vendored: bool = False
    """Fetch files of which every copy lies in a vendored folder; not `corpus` drop_vendored unless given."""


@dataclass(frozen=True, kw_only=True)
class OtherFiles:
    """Files that are no Python and are fetched all the same, for sources that read the manifest."""

    wanted: tuple[str, ...] = ()
    """`suffix=kind:bytes`: no more than so many bytes of a kind, a sample by id; 0 is no limit. From the sections of
    those sources unless given."""


def fetch_what_is_kept(merged: dict[str, dict[str, Any]]) -> None:
    """Let `fetch_plan` follow `corpus`: what is not kept is not fetched, unless asked for."""
    corpus = merged.get("corpus", {})
    if isinstance(corpus.get("license_types"), list | tuple):
        merged.setdefault("fetch_plan", {}).setdefault("license_types", corpus["license_types"])
    if isinstance(corpus.get("drop_vendored"), bool):
        merged.setdefault("fetch_plan", {}).setdefault("vendored", not corpus["drop_vendored"])


def blobs_problems(blobs: Blobs) -> list[str]:
    """What is wrong inside the blobs section, one message each."""
    known = ("local", "s3", "vault", "api")
    problems = [f"[blobs] backends: {n!r} is unknown{nearest(n, known)}" for n in blobs.backends if n not in known]
    if not blobs.backends:
        problems.append("[blobs] backends: found none, expected some of 'local', 's3', 'vault', 'api'")
    if blobs.backends and blobs.backends[-1] == "vault":
        problems.append("[blobs] backends: 'vault' has whole directories only, so another source must follow it")
    if {"s3", "vault", "api"} & set(blobs.backends):
        if not blobs.accept_terms:
            problems.append("[blobs] remote backends need accept_terms = true: read the archive's terms of use first")
        if not blobs.contact.strip():
            problems.append("[blobs] remote backends need a contact (e-mail address or web page)")
    return problems
