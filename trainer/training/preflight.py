"""What a training needs from outside, asked before its first step: the Hub, wandb's login, TensorBoard's port.

Folders are held (`checkpoints/output_folder.py`), pages served (`watch/`) and the disk's room checked
(`components.open_checkpoints`) where they are opened, which is before the first step as well.
"""

from collections.abc import Callable

from trainer.checkpoints.hub_upload import claim
from trainer.settings import TrainSettings
from trainer.telemetry.tensorboard_server import free_port
from trainer.telemetry.wandb import require_login


def preflight(settings: TrainSettings, tell: Callable[[str], None]) -> str | None:
    """The full id on the Hub that the best model goes to, None where it goes nowhere.

    Raises UsageError, each with its own remedy, for what is missing; SpeechPrepError where the Hub does not answer.
    """
    if isinstance(settings.tensorboard_port, int):
        free_port(settings.tensorboard_port)
    if "wandb" in settings.report_to:
        require_login()
    return claim(settings.push_to_hub, tell) if settings.push_to_hub is not None else None
