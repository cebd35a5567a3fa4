"""The store's folder while a run owns it: preparing, measuring and tidying it, and whose processes it has.

What a store holds and how it is written stands in `shared`; what may be written, and when, in `preprocess.governor`.
"""
