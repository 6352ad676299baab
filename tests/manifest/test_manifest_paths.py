"""What paths tell, as a table of examples."""

import polars as pl
import pytest

from minicode_assets.manifest import paths

LICENSES = (
    "LICENSE LICENCE license.txt LICENSE.md LICENSE-MIT LICENSE.APACHE MIT-LICENSE COPYING COPYING.LESSER UNLICENSE"
)
NO_LICENSES = (
    "license.py licenses.json LICENSE.pyc README.md licensed_users.csv mylicense setup.sh unlicensed copying.c"
)


@pytest.mark.parametrize(
    "name", [*LICENSES.split(), "NOTICE", "METADATA", "PKG-INFO", "pyproject.toml", "setup.cfg", "setup.py"]
)
def test_license_names(name):
    assert paths.is_license(pl.Series([name.encode()])).to_list() == [True]


@pytest.mark.parametrize("name", NO_LICENSES.split())
def test_names_that_are_no_licenses(name):
    assert paths.is_license(pl.Series([name.encode()])).to_list() == [False]


def test_names_that_are_not_utf8_match_no_rule():
    names = pl.Series([b"LICENSE\xff", b"caf\xe9.py", b"plain.py", b"stub.pyi", b"x.pyc", b".py"])
    assert paths.is_license(names).to_list() == [False] * 6
    assert paths.is_python(names).to_list() == [False, True, True, True, False, True]


def test_readmes():
    names = pl.Series(
        [b"README", b"readme.md", b"README.rst", b"README.txt", b"README.py", b"README_de.md", b"READMEs"]
    )
    assert paths.is_readme(names).to_list() == [True] * 4 + [False] * 3
    assert not paths.is_vendored_directory(pl.Series([b"venv"])).any(), "a package of the standard library"


def test_folders():
    names = pl.Series([b"vendor", b"_vendor", b"third_party", b"LICENSES", b"src", b"Vendors\xff"])
    assert paths.is_vendored_directory(names).to_list() == [True, True, True, False, False, False]
    assert paths.is_license_directory(names).to_list() == [False, False, False, True, False, False]
    texts = pl.Series([b"GPL-2.0-only.txt", b"MIT.txt", b"Apache-2.0", b"tool.py"])
    assert paths.is_license_in_folder(texts).to_list() == [True, True, True, False]
