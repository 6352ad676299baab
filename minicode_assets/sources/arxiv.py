"""arXiv's source archives as documents: tars of one gzip a paper, each a tar of its files or one LaTeX file.

Nothing is unpacked to disk, and no paper beyond a size. A paper whose archive is damaged costs that paper
(`malformed`); a tar that ends early stops the run. Papers without sources (PDF) are counted. Source:
software_heritage.md 6 and RedPajama's published steps.
"""

import io
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from minicode_assets.config.dumps import Arxiv
from minicode_assets.errors import SourceError
from minicode_assets.sources.decode import decode
from minicode_assets.sources.document import Document
from minicode_assets.sources.hub import Found
from minicode_assets.sources.hub_maps import as_date
from minicode_assets.sources.latex import clean_latex
from minicode_assets.sources.rows import Place

_OLD_ID = re.compile(r"([a-z-]+(?:\.[A-Z]{2})?)(\d{7})")
"""Of papers up to 2007, in file names: `math0101001` is math/0101001."""
_SUFFIXES = (".tex", ".ltx", ".latex")


def read_papers(path: Path, start: Place, params: Arxiv, count: Callable[[str], None]) -> Iterator[Found]:
    """The papers of a tar, from a member on.

    Statuses: too_long, malformed, undecodable, empty (no heading in any file).

    Raises:
        SourceError: It is no tar, or ends early.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            for number, member in enumerate(tar):
                if number < start.row or not member.isreg():
                    continue
                if not member.name.endswith(".gz"):
                    count("no_source")
                    continue
                stream = tar.extractfile(member)
                assert stream
                content = stream.read() if member.size <= params.max_paper_bytes else None
                if content is not None and len(content) < member.size:
                    raise tarfile.ReadError("unexpected end of data")
                yield Found(paper_of(member, content, params), Place(0, number + 1), {})
            check_end(path, tar.offset)
    except tarfile.TarError as error:
        raise SourceError(
            f"{path}: no whole tar: {error}", hint="it is incomplete: delete it and fetch it again"
        ) from error


def check_end(path: Path, offset: int) -> None:
    """Raise ReadError unless the block behind the last member says that there are no more: tarfile doesn't ask."""
    with path.open("rb") as stream:
        stream.seek(offset)
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"no end mark at byte {offset}")


def paper_of(member: tarfile.TarInfo, content: bytes | None, params: Arxiv) -> Document:
    """A paper as a document, or the rule that drops it."""
    named = paper_id(member.name)
    url = f"https://arxiv.org/abs/{named}"
    paper = Document(
        source="arxiv", record_id=named, origin_url=url, path=f"{named}.tex", text="", url=url,
        date=as_date(member.mtime * 1000) if member.mtime else None,
    )  # fmt: skip
    if content is None:
        return paper.dropped("too_long")
    try:
        files = tex_files(content, params.max_unpacked_bytes)
    except (zlib.error, tarfile.TarError, EOFError, ValueError, OverflowError):
        return paper.dropped("malformed")
    if files is None:
        return paper.dropped("too_long")
    decoded = [decode(file) for file in files]
    if any(one.text is None for one in decoded):
        return paper.dropped("undecodable")
    text = clean_latex([one.text or "" for one in decoded])
    return replace(paper, text=text, status="ok" if text.strip() else "empty")


def paper_id(name: str) -> str:
    """The id of a paper by its file's name: 0704.0001, or math/0101001."""
    stem = name.rpartition("/")[2].removesuffix(".gz")
    old = _OLD_ID.fullmatch(stem)
    return f"{old[1]}/{old[2]}" if old else stem


def tex_files(content: bytes, max_bytes: int) -> list[bytes] | None:
    """The LaTeX files of a paper in the order of its archive; None where it unpacks to more than `max_bytes`.

    Links are no files, and files with holes, whose few bytes stand for any number, count with what they unpack to.

    Raises:
        zlib.error, EOFError, TarError, ValueError, OverflowError: It is damaged.
    """
    raw = unzipped(content, max_bytes)
    if raw is None:
        return None
    if not tarfile.is_tarfile(io.BytesIO(raw)):
        return [raw]
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r:") as tar:
        chosen = [member for member in tar if member.isreg() and member.name.lower().endswith(_SUFFIXES)]
        if sum(member.size for member in chosen) > max_bytes:
            return None
        files = [stream.read() for member in chosen if (stream := tar.extractfile(member))]
    if any(len(file) < member.size for file, member in zip(files, chosen, strict=True)):
        raise EOFError("tar ends early")
    return files


def unzipped(content: bytes, max_bytes: int) -> bytes | None:
    """The content of a gzip file; None where it is longer than `max_bytes`. Raises zlib.error, EOFError."""
    parts, left = list[bytes](), max_bytes
    while content or not parts:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(content, left + 1))
        left -= len(parts[-1])
        if left < 0:
            return None
        if not member.eof:
            raise EOFError("gzip ends early")
        content = member.unused_data.lstrip(b"\0")  # members may follow, and what a tape was filled up with
    return b"".join(parts)
