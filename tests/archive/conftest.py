"""Real sources made in the test: an odd git repository, small installed distributions."""

from pathlib import Path

import pytest
from repositories import make_odd_repository

from minicode_assets.archive.graph import Graph


@pytest.fixture(scope="session")
def odd_repository(tmp_path_factory) -> Path:
    """See `make_odd_repository`; tests read it only."""
    folder = tmp_path_factory.mktemp("git") / "odd"
    make_odd_repository(folder)
    return folder


@pytest.fixture
def graph(tmp_path) -> Graph:
    """An empty graph that stores contents up to 10 kB."""
    folder = tmp_path / "content"
    folder.mkdir()
    return Graph(folder, 10_000, 1)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a distribution into a folder which the search path then holds alone."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.setattr("sys.path", [str(site)])

    def add(name, version="1.0", files=None, requires=(), extras=(), record=None):
        info = f"{name}-{version}.dist-info"
        lines = [f"Requires-Dist: {line}" for line in requires] + [f"Provides-Extra: {extra}" for extra in extras]
        metadata = "\n".join(["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""])
        written = {f"{info}/METADATA": metadata.encode(), **(files or {f"{name}.py": b"x = 1\n"})}
        for path, content in written.items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_bytes(content)
        listed = record if record is not None else "".join(f"{path},,\n" for path in written).encode()
        (site / info / "RECORD").write_bytes(listed + f"{info}/RECORD,,\n".encode())
        return site

    return add
