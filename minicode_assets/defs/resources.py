"""The pipeline's settings as a resource, so that a run's configuration can choose another preset or threshold."""

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from minicode_assets.config import Config, load
from minicode_assets.defs.settings import Settings
from minicode_assets.layout import Layout
from minicode_assets.storage import Storage, open_storage


class Pipeline(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Which configuration, and where the artefacts lie."""

    preset: str = Field(default="tiny", description="Preset: tiny, mini or starcoder2")
    data_folder: str = Field(description="Folder of all artefacts, absolute")
    storage_root: str = Field(
        default="", description="s3://<bucket>/<prefix> where finished artefacts lie; empty: in the data folder"
    )
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="Section to keys, e.g. {corpus: {max_lines: 5000}}; above the preset"
    )

    @classmethod
    def of(cls, settings: Settings) -> "Pipeline":
        """The resource that says what the environment says."""
        return cls(
            preset=settings.preset,
            data_folder=str(settings.data_folder),
            storage_root=settings.storage_root,
            overrides=dict(settings.overrides),
        )

    @property
    def config(self) -> Config:
        """The resolved configuration."""
        return load(self.preset, self.overrides)

    @property
    def layout(self) -> Layout:
        """Paths below the data folder."""
        return Layout(Path(self.data_folder).absolute())

    @property
    def storage(self) -> Storage:
        """Where finished artefacts lie."""
        return open_storage(self.storage_root, self.layout.root)
