"""Whether an export says what the original says: both decode the same clips, and differences are judged.

It converts nothing (`trainer.exporting`) and gives no error rates of its own (`trainer.evaluation`).
"""
