"""What a training imports, also what it imports at first use; for the server of tests/support/warm.py."""

from importlib import import_module

import torch

for name in ("trainer.training.run", "torch._dynamo", "transformers.models.whisper.english_normalizer"):
    import_module(name)
# A fork has only the thread that forks: none of another one's locks may be held.
torch.set_num_threads(1)
