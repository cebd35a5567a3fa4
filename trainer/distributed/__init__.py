"""Ranks, and how they add up their gradients.

Who takes which clips is decided in `trainer.data` (sampler.py); what the optimiser does with the sum, in `trainer.training`.
"""
