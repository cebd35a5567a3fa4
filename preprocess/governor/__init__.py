"""What may start, and when to stop: budgets, the ledger of reservations, sensors, levels and their policy.

It decides and measures only. Actors are paused, ended and cleaned up after by `preprocess.execution`
(enforcement.py); files are removed by `preprocess.workspace` (cleanup.py).
"""
