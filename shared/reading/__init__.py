"""A store's bytes, for which nobody vouches: what they say is checked before it leads anywhere.

The index and mapped shards as a split is read, and a whole store with all its problems.
`shared.store` hands the rows out; nothing here writes.
"""
