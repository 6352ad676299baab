r"""arXiv's archives: golden texts after RedPajama's published steps, every rule, and archives that are none."""

import gzip
import io
import tarfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from minicode_assets.config import load
from minicode_assets.config.dumps import Arxiv
from minicode_assets.defs.dumps import arxiv
from minicode_assets.defs.stage import StageRun
from minicode_assets.errors import SourceError
from minicode_assets.layout import Layout
from minicode_assets.sources.arxiv import paper_id, paper_of, read_papers
from minicode_assets.sources.document import Document
from minicode_assets.sources.latex import clean_latex
from minicode_assets.sources.rows import Place
from minicode_assets.tokens.source_formats import format_of
from tests.sources.servers import Served, serving

HEAD = "\\documentclass{article}\n\\title{T}\n\\begin{document}\n\\maketitle\n"
GOLDEN = {
    "from the first heading to the bibliography": (
        [HEAD + "\\section*{One}\nText.\n\\subsection[short]{Two}\nMore.\n\\bibliography{refs}\n\\section{No}"],
        "\\section*{One}\nText.\n\\subsection[short]{Two}\nMore.\n",
    ),
    "comments go, percent signs stay": (
        [HEAD + "% \\section{Not this}\n\\section{One} % why\n  % whole line\nHalf, 50\\% of it.% gone\na \\\\% break\n"
         "\\begin{verbatim}\nx = 5 % 3\n\\end{verbatim}\n\\begin{comment}\nno\n\\end{comment}\nEnd\n\\end{document}"],
        "\\section{One} \nHalf, 50\\% of it.\na \\\\\n\\begin{verbatim}\nx = 5 % 3\n\\end{verbatim}\n\nEnd\n",
    ),
    "macros without arguments are written out": (
        ["\\newcommand{\\eps}{\\varepsilon}\n\\newcommand*{\\R}{\\mathbb{R}}\n\\def\\RR{\\R^2}\n"
         "\\renewcommand\\vec[1]{\\mathbf{#1}}\n\\newcommand{\\me}{%\n  We}\n\\section{One}\n\\me have "
         "$\\eps \\in \\RR$, \\epsilon, \\vec{x}.\n"],
        "\\section{One}\n\n  We have $\\varepsilon \\in \\mathbb{R}^2$, \\epsilon, \\vec{x}.\n",
    ),
    "files follow each other, those without a heading go": (
        ["\\chapter{A}\nFirst \\x.\n", "\\newcommand{\\x}{one}\n\\usepackage{y}\n", "\\paragraph{B} Second.\n"],
        "\\chapter{A}\nFirst one.\n\n\\paragraph{B} Second.\n",
    ),
    "what the appendix and the references hold goes": (
        ["\\section{A}\na\n\\appendix\n\\section{B}\nb", "\\section{C}\nc\n\\begin{thebibliography}{9}\n\\bibitem{x}",
         "\\part{D}\nd \\appendixname\n\\begin{references}"],
        "\\section{A}\na\n\n\\section{C}\nc\n\n\\part{D}\nd \\appendixname\n",
    ),
    "macros that hold each other stay": (
        ["\\def\\a{\\b}\\def\\b{\\a}\n\\def\\c{\\c\\c}\n\\section{A}\n\\a \\c"], "\\section{A}\n\\a \\c"
    ),
    "nothing to read": (["%auto-ignore\nThis paper has been withdrawn."], ""),
}  # fmt: skip


@pytest.mark.parametrize(("files", "expected"), GOLDEN.values(), ids=list(GOLDEN))
def test_golden(files: list[str], expected: str) -> None:
    assert clean_latex(files) == expected


def test_macros_do_not_explode() -> None:
    laughs = "".join(f"\\def\\{a}{{{f'{chr(92)}{b}' * 10}}}" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    assert len(clean_latex([laughs + "\\def\\i{lol}\\section{A}\\a"])) < 20_000


def test_cleaning_takes_no_time_on_hostile_text() -> None:
    started = time.process_time()
    for hostile in ("\\section{", "%", "\\begin{verbatim}", "\\begin{comment}\n", "\\section[", "\\\\", "{\n"):
        clean_latex([hostile * 20_000])
    assert time.process_time() - started < 3


def packed(files: dict[str, bytes]) -> bytes:
    """A paper of several files, as arXiv packs it."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue())


def archive(folder: Path, papers: dict[str, bytes], name: str = "arXiv_src_0704_001.tar") -> Path:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / name, "w") as tar:
        directory = tarfile.TarInfo("0704")
        directory.type = tarfile.DIRTYPE
        tar.addfile(directory)
        for member_name, content in papers.items():
            member = tarfile.TarInfo(member_name)
            member.size, member.mtime = len(content), 1_178_000_000
            tar.addfile(member, io.BytesIO(content))
    return folder / name


def papers(path: Path, start: int = 0, **changes: Any) -> tuple[dict[str, Document], Counter[str]]:
    left_out: Counter[str] = Counter()
    found = read_papers(path, Place(0, start), Arxiv(**changes), lambda reason: left_out.update([reason]))
    return {item.document.record_id: item.document for item in found}, left_out


ONE = b"\\section{One}\nAll of it.\n"


def test_papers_and_rules(tmp_path: Path) -> None:
    bomb = gzip.compress(b"\\section{x}" + b"0" * 300_000)
    found, left_out = papers(
        archive(tmp_path, {
            "0704/0704.0001.gz": gzip.compress(ONE),
            "0704/0704.0002.gz": packed({"b.tex": ONE, "a.tex": b"\\section{A}\n", "fig.eps": b"\x00", "x.TEX": ONE}),
            "0704/0704.0003.pdf": b"%PDF", "0704/0704.0004.gz": gzip.compress(ONE)[:-9],
            "0704/0704.0005.gz": b"PK no gzip",
            "0704/0704.0006.gz": gzip.compress(b"nothing"), "0704/0704.0007.gz": bomb,
            "0704/0704.0008.gz": gzip.compress(b"\\section{\xe9t\xe9}\nL'\xe9t\xe9 est l\xe0 depuis longtemps.\n" * 20),
            "0704/math0101001.gz": gzip.compress(ONE), "0704/0704.0009.gz": b"x" * 2000,
            "0704/0704.0010.gz": packed({"../../etc/a.tex": ONE}),
            "0704/0704.0011.gz": gzip.compress(gzip.decompress(packed({"a.tex": ONE * 100}))[:1500]),
        }), max_unpacked_bytes=200_000, max_paper_bytes=1900,
    )  # fmt: skip
    assert {key: document.status for key, document in found.items()} == {
        "0704.0001": "ok", "0704.0002": "ok", "0704.0004": "malformed", "0704.0005": "malformed", "0704.0006": "empty",
        "0704.0007": "too_long", "0704.0008": "undecodable", "math/0101001": "ok", "0704.0009": "too_long",
        "0704.0010": "ok", "0704.0011": "malformed",
    }  # fmt: skip
    assert left_out == {"no_source": 1}
    assert found["0704.0002"].text == "\\section{One}\nAll of it.\n\n\\section{A}\n\n\\section{One}\nAll of it.\n"
    one = found["math/0101001"]
    assert one.url == one.origin_url == "https://arxiv.org/abs/math/0101001"
    assert one.date
    assert (one.path, one.date.year) == ("math/0101001.tex", 2007)
    assert format_of("arxiv").parts(one.text, "d")[:2] == ("", "<file_sep>")


def holes(num_bytes: int) -> bytes:
    """A tar whose only file has some bytes, and a header by which it unpacks to others."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a.tex")
        sparse = {"major": "1", "minor": "0", "name": "a.tex", "realsize": str(num_bytes)}
        member.pax_headers = {f"GNU.sparse.{name}": value for name, value in sparse.items()}
        content = b"1\n0\n20\n".ljust(512, b"\0") + b"\\section{One} and on."
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue())


def linked(target: str) -> bytes:
    """A tar with a symbolic link that would be read as LaTeX."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member = tarfile.TarInfo("a.tex")
            member.type, member.linkname = kind, target
            tar.addfile(member)
    return gzip.compress(raw.getvalue())


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (holes(10**12), "too_long", ""),
        (holes(10**30), "too_long", ""),
        (linked("/etc/passwd"), "empty", ""),
        (gzip.compress(ONE[:5]) + gzip.compress(ONE[5:]), "ok", ONE.decode()),
        (gzip.compress(ONE) + b"\0" * 100, "ok", ONE.decode()),
        (gzip.compress(ONE) + gzip.compress(ONE)[:-5], "malformed", ""),
        (gzip.compress(ONE) + b"and more", "malformed", ""),
        (gzip.compress(ONE) + gzip.compress(b"0" * 10**6), "too_long", ""),
        (gzip.compress(gzip.decompress(packed({"a.tex": ONE})).replace(b"0000644", b"0000x44")), "undecodable", ""),
    ],
    ids=["holes", "more holes", "link", "two members", "padded", "cut", "followed", "bomb", "bad header"],
)
def test_a_paper_of_odd_archives(content: bytes, status: str, text: str) -> None:
    paper = paper_of(tarfile.TarInfo("0704/0704.0001.gz"), content, Arxiv(max_unpacked_bytes=100_000))
    assert (paper.status, paper.text) == (status, text)


def test_a_date_out_of_all_time_is_none() -> None:
    member = tarfile.TarInfo("0704/0704.0001.gz")
    member.mtime = 10**18
    assert paper_of(member, gzip.compress(ONE), Arxiv()).date is None


def test_ids() -> None:
    names = ("0704/0704.0001.gz", "0001/astro-ph0001001.gz", "0101/math.AG0101001.gz", "2301/2301.12345.gz")
    assert list(map(paper_id, names)) == ["0704.0001", "astro-ph/0001001", "math.AG/0101001", "2301.12345"]


@pytest.mark.parametrize("cut", [1024, 1200, 3000])
def test_an_archive_that_ends_early_stops_the_run(tmp_path: Path, cut: int) -> None:
    path = archive(tmp_path, {f"0704/0704.{number:04d}.gz": gzip.compress(ONE) for number in range(5)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(SourceError, match="no whole tar"):
        papers(path)


def test_what_is_no_tar_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(SourceError, match="no whole tar"):
        papers(tmp_path / "a.tar")


def collect(folder: Path, file: str, **changes: Any) -> Any:
    overrides = {"enabled": True, "files": [file], "pause_s": 0.01, "attempts": 4, "block_bytes": 2000, **changes}
    return arxiv(StageRun(load("tiny", {"arxiv": overrides}), Layout(folder / "data"), "arxiv", "00"))


def test_an_archive_comes_over_a_bad_line_and_a_killed_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = archive(tmp_path, {f"0704/0704.{n:04d}.gz": gzip.compress(ONE + b"%d" % n) for n in range(40)})
    whole = collect(tmp_path / "whole", str(path)).artifact
    from minicode_assets.sources import arxiv as module

    real, read = module.paper_of, []

    def until(number: int) -> Any:
        def paper_of(*given: Any) -> Document:
            read.append(1)
            if len(read) == number:
                raise KeyboardInterrupt
            return real(*given)

        return paper_of

    with serving(Served(files={"": {path.name: path.read_bytes()}}, script=["", "cut", "429 Retry-After=0"])) as served:
        monkeypatch.setattr(module, "paper_of", until(30))
        with pytest.raises(KeyboardInterrupt):
            collect(tmp_path, f"{served.url}/{path.name}")
        read.clear()
        monkeypatch.setattr(module, "paper_of", until(0))
        outcome = collect(tmp_path, f"{served.url}/{path.name}")
    assert 11 <= len(read) < 30
    assert all(passed for passed, _ in outcome.checks.values())
    frames = [pl.read_parquet(artifact.path / "*.parquet") for artifact in (whole, outcome.artifact)]
    assert frames[0].equals(frames[1])
    assert frames[0].height == 40
