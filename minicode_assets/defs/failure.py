"""How a stage's problem becomes a failure in Dagster: the library's message with its hint, no framework frames."""

import traceback

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from minicode_assets.errors import MinicodeError


class _Told(DagsterUserCodeProcessError):  # noqa: N818
    """Takes `dg.Failure`'s description and nothing else."""

    def __init__(self, description: str) -> None:
        Exception.__init__(self, description)


class StageFailure(dg.Failure, _Told):
    """A failure that the web UI shows as what was said, without the frames of Dagster that called it.

    Dagster records an error with its whole traceback, of which a reader needs nothing; only for errors that it takes
    for those of another process it records what they bring along. So this is one of them.

    Args:
        error: A MinicodeError is told in its own words, and is worth a retry where it may pass. Any other exception
            is a defect: its type and the frames from the stage on are told, and it is never tried again.
    """

    def __init__(self, error: Exception) -> None:
        known = isinstance(error, MinicodeError)
        told = str(error) if known else f"{type(error).__name__}: {error}\nhint: a defect of minicode: please report it"
        frames = [] if known else traceback.format_tb(error.__traceback__)
        super().__init__(description=told, allow_retries=isinstance(error, MinicodeError) and error.may_pass)
        info = SerializableErrorInfo(message=f"{told}\n", stack=frames, cls_name=type(error).__name__)
        self.user_code_process_error_infos = [info]
