"""The trainer: DDP straight from a finished store. Never imports ray."""

import os

from shared.command.commands import explain_missing

explain_missing("trainer")

# Read by torch when it is imported, which is after this. Clips have many lengths: without it a GPU's memory falls to
# pieces that are too small, long before it is full. What the user says counts.
if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
