"""deploy/postgres on a real PostgreSQL server: parallel first use, the chain's runs and events, nothing in SQLite."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ROOT, Home
from tests.defs.postgres_server import PASSWORD, binaries, postgres_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None, reason="needs PostgreSQL's server: make system-deps"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with postgres_server() as environment:
        yield environment


def test_chain_with_postgres(home: Home, server: dict[str, str]) -> None:
    """Four processes open the empty storage at once; then runs are recorded there, and a second call finds them."""
    profile = home.root / "dagster_home" / "dagster.yaml"
    profile.write_text((ROOT / "deploy" / "postgres" / "dagster.yaml").read_text())
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(lambda _: home.minicode("init", check=False, env=server), range(4)))
    assert [done.status for done in first] == [0] * 4, first
    made = home.minicode("materialize", "--select", "+contents", env=server)
    assert "contents" in made.stderr
    again = home.minicode("materialize", "--select", "+contents", env=server)
    assert ": 0 asset partition(s) made" in again.stderr
    assert not list((home.root / "dagster_home").rglob("*.db"))
    assert not [path for path in home.root.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert PASSWORD not in made.stderr + made.stdout


def test_storage_that_is_not_there(home: Home, server: dict[str, str]) -> None:
    """The error names the home and what to do, and does not show the password."""
    profile = home.root / "dagster_home" / "dagster.yaml"
    profile.write_text((ROOT / "deploy" / "postgres" / "dagster.yaml").read_text())
    done = home.minicode("materialize", check=False, env=server | {"PGPORT": "9"})
    assert done.status == 1
    assert "hint:" in done.stderr
    assert PASSWORD not in done.stderr
