"""Error rates of finished models: transcribing, scoring, intervals, and the page that shows them.

The model in training is evaluated by `trainer.training` (evaluator.py), with the same scorer.
"""
