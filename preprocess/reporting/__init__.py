"""What a plan or a run leaves to read: screens, and the page `report.html` with its pictures.

What a run shows while it works is `preprocess.monitoring`'s.
"""
