"""What a training tells of itself: log, metrics, progress bar, TensorBoard, wandb.

It measures and decides nothing: figures come from `trainer.training` (meter.py), error rates from `trainer.evaluation`.
"""
