"""Where the files of a store lie: a folder, or a bucket that speaks S3. The same promises for both.

A name that exists is complete, and is never written twice. What stands in the files, and in which order they are
written, is the other rooms' matter. One machine with a local store imports nothing of object storage: only `opening`
reaches for `s3_bucket`, and only for an address that begins with `s3://`.
"""
