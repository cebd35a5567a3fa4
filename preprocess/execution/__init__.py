"""The run itself: Ray's actors, the schedule of units, and what the governor's levels do to both.

It does not decide when to pause or stop (`preprocess.governor`) nor what a unit is made of (`preprocess.features`).
"""
