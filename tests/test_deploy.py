"""deploy/: as far as a machine without a cluster can tell, the files say what their readers accept."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
OWN = {"storage", "run_launcher"}
"""What a profile adds to dagster_home/dagster.yaml or replaces in it."""


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in DEPLOY.glob("*/dagster.yaml")))
def test_profile_says_what_the_default_says(name: str) -> None:
    """A profile replaces storage and launcher; nothing else drifts from dagster_home/dagster.yaml."""
    base = yaml.safe_load((ROOT / "dagster_home" / "dagster.yaml").read_text())
    profile = yaml.safe_load((DEPLOY / name / "dagster.yaml").read_text())
    assert {key: value for key, value in profile.items() if key not in OWN} == {
        key: value for key, value in base.items() if key not in OWN
    }


@pytest.mark.parametrize("name", ["ray", "kubernetes"])
def test_launcher_accepts_its_configuration(name: str) -> None:
    """Dagster's own validation of the launcher's block, as it happens when the instance opens."""
    from importlib import import_module

    from dagster._config import process_config, resolve_to_config_type

    launcher = yaml.safe_load((DEPLOY / name / "dagster.yaml").read_text())["run_launcher"]
    schema = getattr(import_module(launcher["module"]), launcher["class"]).config_type()
    # variables are looked up when the instance opens, here they only need to be there
    checked = process_config(resolve_to_config_type(schema), _with_variables(launcher["config"]))
    assert checked.success, checked.errors


def _with_variables(value: Any) -> Any:
    if isinstance(value, dict):
        return "value" if set(value) == {"env"} else {key: _with_variables(item) for key, item in value.items()}
    return value


@pytest.mark.parametrize("document", documents(DEPLOY / "kubernetes" / "minicode.yaml"), ids=lambda d: d["kind"])
def test_kubernetes_accepts_the_manifest(document: dict[str, Any]) -> None:
    """Kubernetes' own schemas, strict: an unknown field is an error."""
    import kubernetes_validate

    kubernetes_validate.validate(document, "1.31", strict=True)


def test_pods_find_what_they_name() -> None:
    """Config maps that pods read are generated; images are one; the settings name each variable of the profile."""
    kustomization = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text())
    generated = {entry["name"] for entry in kustomization["configMapGenerator"]}
    text = "\n".join(path.read_text() for path in DEPLOY.rglob("*.yaml"))
    pods = [
        d["spec"]["template"]["spec"]
        for d in documents(DEPLOY / "kubernetes" / "minicode.yaml")
        if d["kind"] == "Deployment"
    ]
    for pod in pods:
        maps = {
            source["configMapRef"]["name"]
            for c in pod["containers"]
            for source in c["envFrom"]
            if "configMapRef" in source
        }
        maps |= {volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
        assert maps <= generated
    assert text.count("registry.example/minicode:0.1.0") == text.count("registry.example/")
    literals = {entry.partition("=")[0] for entry in kustomization["configMapGenerator"][1]["literals"]}
    assert {"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "MINICODE_IMAGE", "MINICODE_STORAGE"} <= literals


def test_ray_is_the_version_that_is_tested() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    assert documents(DEPLOY / "ray" / "cluster.yaml")[0]["spec"]["rayVersion"] == pins["ray"]
