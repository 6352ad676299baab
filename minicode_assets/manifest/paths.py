"""What a path tells about a file: Python, licence, third-party code. Names are bytes; rules run on distinct names."""

import polars as pl

PYTHON_SUFFIXES = (".py", ".pyi")
"""Python sources and stubs."""
LICENSE_NAME = (
    r"(?i)^(?:[\w+-]+[-_.])?(?:(?:un)?licen[cs]es?|copying|copyright|notice|patents)(?:[-_.][\w+.-]*)?$"
    r"|.\.\w+\.license$"
)
"""Names that hold a licence text, with a word before or after: `LICENSE`, `MIT-LICENSE.txt`, `COPYING.LESSER`; and
`fft.py.license`, what holds for one file (REUSE specification)."""
METADATA_NAMES = ("METADATA", "PKG-INFO", "pyproject.toml", "setup.cfg", "setup.py")
"""Package metadata that names a licence. Source: PEP 621, core metadata specification, setuptools."""
README_NAME = r"(?i)^readme(?:\.(?:md|markdown|rst|txt))?$"
"""Files that may state the licence in a sentence; at the root of a repository only, since what they say is about all of
it. Source: The Stack v2 looks for licences in READMEs too, curation.md 1."""
LICENSE_DIRECTORIES = ("LICENSES", "licenses")
"""Folders whose text files are licences. Source: REUSE specification; PEP 639's dist-info/licenses."""
TEXT_NAME = r"(?i)^[\w+-]+(?:\.\d[\w+-]*)*(?:\.(?:txt|md|rst))?$"
"""Names of text files in such a folder, e.g. `GPL-2.0-only.txt`."""
CODE_SUFFIX = (
    r"(?i)\.(?:py[iwcxo]?|ipynb|c|cc|cpp|h|hpp|js|jsx|ts|tsx|css|scss|java|go|rs|rb|php|sh|pl|json|ya?ml|toml|xml|svg|png|"
    r"gif|jpe?g|csv|lock|po|mo|template|tmpl|j2|in|patch|diff|gz|zip)$"
)
"""Suffixes of files that are no licence text whatever their name says, such as `license.py`."""
VENDORED_DIRECTORIES = (
    "_vendor",
    "_vendored",
    "vendor",
    "vendored",
    "vendors",
    "third_party",
    "third-party",
    "thirdparty",
    "3rdparty",
    "node_modules",
    "bower_components",
    "site-packages",
    "dist-packages",
    "extern",
    "externals",
    "_externals",
    "virtualenv_support",
    ".venv",
    ".tox",
    ".nox",
    ".eggs",
    "__pypackages__",
    "_bundled",
)
"""Folders that hold other people's code. Source: the conventions of pip, setuptools, npm and bower. `venv` is none: the
packages of an environment lie in its site-packages, and the standard library has a package of that name."""


def folder_of() -> pl.Expr:
    """The folder of each file of the columns `path` and `name`: raw bytes, empty for the root."""
    path, name = (pl.col(column).bin.size().cast(pl.Int64) for column in ("path", "name"))
    return pl.col("path").bin.head(pl.max_horizontal(path - name - 1, 0))


def _decoded(names: pl.Series) -> pl.Series:
    """Names as text; bytes that are not UTF-8 become a sign that no rule looks for."""
    try:
        return names.cast(pl.String)
    except pl.exceptions.ComputeError:
        return pl.Series(names.name, [name.decode("utf-8", "replace") for name in names], pl.String)


def is_python(names: pl.Series) -> pl.Series:
    """Whether each file name is a Python source's."""
    text = _decoded(names)
    return (
        pl.select(pl.any_horizontal(pl.lit(text).str.ends_with(s) for s in PYTHON_SUFFIXES))
        .to_series()
        .fill_null(False)
    )


def lower_names() -> pl.Expr:
    """The column `name` (raw bytes) as text in lower case."""
    return pl.col("name").map_batches(lambda names: _decoded(names).str.to_lowercase(), return_dtype=pl.String)


def is_bare(names: pl.Series) -> pl.Series:
    """Whether each file name has no suffix."""
    return ~_decoded(names).str.contains(".", literal=True).fill_null(True)


def is_license(names: pl.Series) -> pl.Series:
    """Whether each file name is a licence text's or package metadata's, wherever it lies."""
    text = _decoded(names)
    licence = text.str.contains(LICENSE_NAME) & ~text.str.contains(CODE_SUFFIX)
    return (licence | text.is_in(METADATA_NAMES)).fill_null(False)


def is_license_in_folder(names: pl.Series) -> pl.Series:
    """Whether each file name is a licence text's inside one of `LICENSE_DIRECTORIES`."""
    text = _decoded(names)
    return (text.str.contains(TEXT_NAME) & ~text.str.contains(CODE_SUFFIX)).fill_null(False)


def is_readme(names: pl.Series) -> pl.Series:
    """Whether each file name is a README's."""
    return _decoded(names).str.contains(README_NAME).fill_null(False)


def is_license_directory(names: pl.Series) -> pl.Series:
    """Whether each directory name is of a folder of licences."""
    return _decoded(names).is_in(LICENSE_DIRECTORIES).fill_null(False)


def is_vendored_directory(names: pl.Series) -> pl.Series:
    """Whether each directory name says that what is below is third-party code."""
    return _decoded(names).is_in(VENDORED_DIRECTORIES).fill_null(False)
