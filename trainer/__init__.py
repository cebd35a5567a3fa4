"""The trainer: torchrun DDP straight from a finished store. Never imports ray."""
