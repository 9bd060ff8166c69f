"""The sections of a configuration, typed: one file a section."""

from __future__ import annotations

from pydantic import Field

from mlreco.config.sections.base import Section
from mlreco.config.sections.iotool import IOTool
from mlreco.config.sections.model import Model
from mlreco.config.sections.trainval import TrainVal

__all__ = ["Sections"]


class Sections(Section):
    """A whole configuration.

    Attributes:
        iotool: where the events come from.
        model: the chain of networks.
        trainval: how it is trained and run.
        post_processing: name of a post-processor -> its arguments.
    """

    iotool: IOTool
    model: Model
    trainval: TrainVal = Field(default_factory=TrainVal)
    post_processing: dict[str, dict | None] = {}
