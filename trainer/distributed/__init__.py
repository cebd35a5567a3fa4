"""Ranks, and how they add up their gradients.

Who takes which clips is decided in `trainer.data` (sampler.py); what becomes of the sum, in `trainer.training`.
"""
