"""Where rows come from: what a path or Hub id is, its splits, columns and rows, read in place.

It decodes no audio (`preprocess.audio`) and plans no units (`preprocess.units`, `preprocess.planning`).
"""
