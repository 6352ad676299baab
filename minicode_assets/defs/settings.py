"""What the environment chooses, read once when the definitions load.

MINICODE_PRESET   a name from minicode_assets/presets (default tiny)
MINICODE_CURATION a name from minicode_assets/presets/curation, or `default` (default: what preset and overrides say)
MINICODE_CONFIG   a TOML file with overrides, sections and keys as in the presets
MINICODE_DATA     the data folder (default data/ beside workspace.yaml, else below the current folder)
MINICODE_STORAGE  where finished artefacts lie for everybody: `s3://<bucket>/<prefix>` (default: in the data folder)
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minicode_assets
from minicode_assets.config import Config, load
from minicode_assets.errors import ConfigError
from minicode_assets.storage import Storage, open_storage


@dataclass(frozen=True)
class Settings:
    """Where and with which configuration the pipeline runs.

    Attributes:
        preset: Preset name.
        overrides: Section name to field values; `curation` may name a curation preset.
        data_folder: Absolute path.
        storage_root: See `open_storage`.
    """

    preset: str
    overrides: Mapping[str, Any]
    data_folder: Path
    storage_root: str = ""

    @property
    def config(self) -> Config:
        """The resolved configuration."""
        return load(self.preset, self.overrides)

    @property
    def storage(self) -> Storage:
        """Where finished artefacts lie."""
        return open_storage(self.storage_root, self.data_folder)


def project_folder() -> Path:
    """The checkout (where workspace.yaml lies), else the current folder."""
    checkout = Path(minicode_assets.__file__).parents[1]
    return checkout if (checkout / "workspace.yaml").is_file() else Path.cwd()


def from_environment() -> Settings:
    """Read the variables.

    Raises:
        ConfigError: MINICODE_CONFIG names no readable TOML file.
    """
    overrides: Mapping[str, Any] = {}
    if file := os.environ.get("MINICODE_CONFIG"):
        try:
            overrides = tomllib.loads(Path(file).read_text("utf-8-sig"))
        except (OSError, ValueError) as error:  # UnicodeDecodeError and TOMLDecodeError are of the second kind
            raise ConfigError(
                f"MINICODE_CONFIG={file}: {error}", hint="give a TOML file with sections as in minicode_assets/presets"
            ) from error
    if curation := os.environ.get("MINICODE_CURATION"):
        overrides = {**overrides, "curation": curation}
    data_folder = Path(os.environ.get("MINICODE_DATA") or project_folder() / "data").absolute()
    storage_root = os.environ.get("MINICODE_STORAGE", "")
    return Settings(os.environ.get("MINICODE_PRESET") or "tiny", overrides, data_folder, storage_root)
