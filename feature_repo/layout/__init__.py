"""Feast's online bytes without Feast: the keys, fields and values that stock Feast 0.67 writes and reads.

The feature writer and the serving path use it, because `import feast` takes seconds and its SDK 0.5-1 ms a read. The
test suite holds everything here equal to Feast, byte for byte. Imports protobuf, mmh3, `domain` and `schemas` only.
"""

from feature_repo.layout.columns import Bucket, BucketColumns, Columns, UnstorableValue
from feature_repo.layout.decoding import decode_timestamp_ms, decode_value
from feature_repo.layout.encoding import encode_timestamp_ms, encoder_of
from feature_repo.layout.keys import EntityKeys, field_key, timestamp_field
from feature_repo.layout.rows import UnreadableValue, ViewLayout

__all__ = [
    "Bucket",
    "BucketColumns",
    "Columns",
    "EntityKeys",
    "UnreadableValue",
    "UnstorableValue",
    "ViewLayout",
    "decode_timestamp_ms",
    "decode_value",
    "encode_timestamp_ms",
    "encoder_of",
    "field_key",
    "timestamp_field",
]
