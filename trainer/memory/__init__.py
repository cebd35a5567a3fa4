"""What a step takes of a GPU: computed by terms, or searched for by trying the worst micro-batches.

It changes no training: `trainer.training` (frame_budget.py) turns the figures into micro-batches.
"""
