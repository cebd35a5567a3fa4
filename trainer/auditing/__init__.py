"""Which rows of a store are wrong, by what a model makes of them: losses, ranks, and the table and page of the worst.

It leaves no row out itself: `trainer.train --exclude-rows` does (`trainer.data.exclusion`).
"""
