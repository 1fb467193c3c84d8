"""The layout without Feast against Feast itself: the same bytes out, the same values in, for generated rows."""

from __future__ import annotations

from typing import Any

import pytest
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type, python_values_to_proto_values
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from domain.aggregates import ColumnType
from feature_repo.layout import (
    BucketColumns,
    EntityKeys,
    decode_timestamp_ms,
    decode_value,
    encode_timestamp_ms,
    encoder_of,
    field_key,
)

INT64 = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
COUNT = st.integers(min_value=0, max_value=200)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
INTS = st.lists(INT64) | st.lists(COUNT)
FLOAT = st.floats(allow_nan=False)

FEAST_TYPES = {
    ColumnType.INT: (ValueType.INT64, INT64),
    ColumnType.FLOAT: (ValueType.DOUBLE, FLOAT),
    ColumnType.STRING: (ValueType.STRING, TEXT),
    ColumnType.INTS: (ValueType.INT64_LIST, INTS),
    ColumnType.FLOATS: (ValueType.DOUBLE_LIST, st.lists(FLOAT)),
    ColumnType.STRINGS: (ValueType.STRING_LIST, st.lists(TEXT)),
    ColumnType.INT_LISTS: (ValueType.VALUE_LIST, st.lists(INTS)),
    ColumnType.STRING_LISTS: (ValueType.VALUE_LIST, st.lists(st.lists(TEXT))),
}
PER_BUCKET = (ColumnType.INT, ColumnType.FLOAT, ColumnType.STRING, ColumnType.INTS, ColumnType.STRINGS)


def feast_bytes(column_type: ColumnType, value: Any) -> bytes:
    (proto,) = python_values_to_proto_values([value], FEAST_TYPES[column_type][0])
    return bytes(proto.SerializeToString())


def test_every_column_type_has_a_feast_type() -> None:
    assert set(FEAST_TYPES) == set(ColumnType)


@pytest.mark.parametrize("column_type", list(ColumnType))
@given(data=st.data())
def test_a_value_has_feasts_bytes_and_reads_back(column_type: ColumnType, data: st.DataObject) -> None:
    value = data.draw(FEAST_TYPES[column_type][1])
    raw = encoder_of(column_type)(value)
    assert raw == feast_bytes(column_type, value)
    assert decode_value(raw) == value


@pytest.mark.parametrize("column_type", sorted(PER_BUCKET))
@given(data=st.data())
def test_buckets_that_were_encoded_one_by_one_have_feasts_bytes_of_the_list(
    column_type: ColumnType, data: st.DataObject
) -> None:
    members = data.draw(st.lists(FEAST_TYPES[column_type][1], max_size=8))
    columns = BucketColumns("view", [("feature", column_type)])
    (raw,) = columns.encode([columns.encode_bucket([member]) for member in members])
    assert raw == feast_bytes(column_type.per_bucket, members)


@pytest.mark.parametrize("size", [126, 127, 128, 129, 16_380, 16_383, 16_384, 20_000])
def test_lengths_at_the_borders_of_varints_have_feasts_bytes(size: int) -> None:
    text, numbers = "x" * size, [7] * size
    for column_type, value in (
        (ColumnType.STRING, text),
        (ColumnType.STRINGS, [text]),
        (ColumnType.STRING_LISTS, [[text], []]),
        (ColumnType.INTS, numbers),
        (ColumnType.INT_LISTS, [numbers, [1 << 40] * size]),
    ):
        assert encoder_of(column_type)(value) == feast_bytes(column_type, value)


@pytest.mark.parametrize("column_type", list(ColumnType))
@given(data=st.data())
def test_feast_reads_the_same_but_none_for_an_empty_inner_list(column_type: ColumnType, data: st.DataObject) -> None:
    value = data.draw(FEAST_TYPES[column_type][1])
    read = feast_value_type_to_python_type(Value.FromString(encoder_of(column_type)(value)))
    if column_type in (ColumnType.INT_LISTS, ColumnType.STRING_LISTS):
        read = [members or [] for members in read]
    assert read == value


@pytest.mark.parametrize("column_type", list(ColumnType))
def test_a_null_is_no_bytes_as_in_feast(column_type: ColumnType) -> None:
    assert feast_bytes(column_type, None) == b""
    assert decode_value(b"") is None


@given(project=st.from_regex(r"[a-z][a-z0-9_]{0,47}", fullmatch=True), value=TEXT)
def test_an_entity_has_feasts_keys_and_its_value_is_found_in_them(project: str, value: str) -> None:
    keys = EntityKeys(project, "visitor_id")
    entity = EntityKey(join_keys=["visitor_id"], entity_values=[Value(string_val=value)])
    assert keys.key(value) == _redis_key(project, entity, entity_key_serialization_version=3)
    assert keys.partition(value) == serialize_entity_key(entity, entity_key_serialization_version=3).hex()
    assert keys.value(keys.key(value)) == value


@given(view=TEXT, feature=TEXT)
def test_a_feature_has_feasts_hash_field(view: str, feature: str) -> None:
    assert field_key(view, feature) == _mmh3(f"{view}:{feature}")


@given(at_ms=st.integers(min_value=0, max_value=4_102_444_800_000))
def test_an_instant_has_protobufs_bytes_and_reads_back(at_ms: int) -> None:
    stamp = Timestamp()
    stamp.FromMilliseconds(at_ms)
    assert encode_timestamp_ms(at_ms) == stamp.SerializeToString()
    assert decode_timestamp_ms(stamp.SerializeToString()) == at_ms
