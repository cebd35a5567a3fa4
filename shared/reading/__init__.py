"""A split's index and shards as bytes that nobody vouches for: what they say is checked before it leads anywhere.

`shared.store` hands the rows out; checking a whole store, and all problems of it, is `shared.verification`'s.
"""
