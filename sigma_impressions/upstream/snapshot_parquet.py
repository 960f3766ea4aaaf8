"""Rows of a snapshot from a Parquet file, as far as its footer and its values stay within bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from sigma_impressions.errors import ResourcesUnreadable
from sigma_impressions.upstream.contract import LISTED, RESOURCES, ROWS_LIMIT, Contract

FOOTER_LIMIT: Final = 16 * 2**20
"""Bytes of the footer, which becomes many times that in memory."""

_BATCH_ROWS = 16_384

_STRINGS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BINARIES = (
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view),
    pa.types.is_fixed_size_binary,
)
_WITH_A_SCALE = (pa.types.is_timestamp, pa.types.is_date, pa.types.is_decimal128)
_PLAIN = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_null)


def parquet_frame(path: Path, limit: int, contract: Contract = RESOURCES) -> pl.DataFrame:
    """The columns of a Parquet file whose values take at most `limit` bytes. Raises `ResourcesUnreadable`.

    Whatever is wrong with the file otherwise is an error of pyarrow's.
    """
    import pyarrow.parquet as pq

    _check_footer(path)
    with path.open("rb") as source:
        schema = pq.read_schema(source)
        if len(set(schema.names)) < len(schema.names):
            raise ResourcesUnreadable("it has two columns of one name")
        if not set(contract.required) <= set(schema.names):
            return pl.DataFrame(schema=dict.fromkeys(schema.names, pl.String))  # the contract says what is missing
        wanted = [name for name in schema.names if name in contract.schema]
        for name in wanted:
            may_be_list = isinstance(contract.schema[name], pl.List)
            if not (_is_read(schema.field(name).type) or (may_be_list and _is_list(schema.field(name).type))):
                raise ResourcesUnreadable(f"its column {name} holds no texts, numbers, times or truth values")
        # Texts stay what they mostly are in the file, a dictionary and numbers, until their bytes are counted.
        texts = [name for name in wanted if _is_text(schema.field(name).type)]
        file = pq.ParquetFile(source, read_dictionary=texts)
        _check_sizes(file.metadata, limit)
        batches, size = [], 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=wanted, use_threads=False):
            size += sum(map(_text_bytes, batch.columns))
            if size > limit:
                raise ResourcesUnreadable(f"its texts have more than the {limit:,} bytes that are read")
            decoded = pa.RecordBatch.from_arrays([_decoded(column) for column in batch.columns], names=wanted)
            decoded.validate(full=True)  # polars takes for granted that texts are valid UTF-8
            batches.append(decoded)
        plain = pa.schema([(name, _decoded_type(schema.field(name).type)) for name in wanted])
    frame = pl.from_arrow(pa.Table.from_batches(batches, plain))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _check_footer(path: Path) -> None:
    with path.open("rb") as source:
        source.seek(-min(8, path.stat().st_size), os.SEEK_END)
        size = int.from_bytes(source.read(4), "little")
    if size > FOOTER_LIMIT:
        raise ResourcesUnreadable(f"its footer has more than {FOOTER_LIMIT:,} bytes, or it is no Parquet file")


def _check_sizes(footer: Any, limit: int) -> None:
    # Not by column: what the footer says of one is not looked at by pyarrow, and a damaged one ends the process.
    groups = [footer.row_group(at) for at in range(footer.num_row_groups)]
    rows, size = sum(group.num_rows for group in groups), sum(group.total_byte_size for group in groups)
    if rows > ROWS_LIMIT:
        raise ResourcesUnreadable(f"it has {rows:,} rows, and more than {ROWS_LIMIT:,} are not read")
    if size > limit:
        raise ResourcesUnreadable(f"it holds {size:,} bytes, and more than {limit:,} are not read")


def _is_text(kind: pa.DataType) -> bool:
    return any(is_one(kind) for is_one in (*_STRINGS, *_BINARIES))


def _is_read(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return _is_text(kind) or _is_uuid(kind) or any(is_one(kind) for is_one in (*_WITH_A_SCALE, *_PLAIN))


def _is_list(kind: pa.DataType) -> bool:
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and any(
        is_one(kind.value_type) for is_one in _STRINGS
    )


def _is_uuid(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.UuidType)


def _text_bytes(column: pa.Array) -> int:
    """The bytes of a column's texts, written out."""
    if _is_list(column.type):
        return _text_bytes(column.flatten())
    if pa.types.is_dictionary(column.type):
        sizes = pc.take(pc.binary_length(column.dictionary), column.indices)
    elif _is_text(column.type):
        sizes = pc.binary_length(column.cast(_decoded_type(column.type)))
    else:
        return 0
    return pc.sum(sizes).as_py() or 0


def _decoded_type(kind: pa.DataType) -> pa.DataType:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if _is_uuid(kind) or _is_list(kind):
        return pa.large_string()
    if _is_text(kind):
        return pa.large_string() if any(is_one(kind) for is_one in _STRINGS) else pa.large_binary()
    # Every time is an instant in UTC; what else a zone may be called is of no use here.
    return pa.timestamp(kind.unit, "UTC") if pa.types.is_timestamp(kind) else kind


def _decoded(column: pa.Array) -> pa.Array:
    if _is_list(column.type):
        column.validate(full=True)  # as below: before polars sees it
        parts = pl.Series(column).list.drop_nulls()
        return (LISTED + parts.cast(pl.List(pl.String)).list.join(LISTED)).to_arrow().cast(pa.large_string())
    if _is_uuid(column.type):
        digits = pl.Series(column.storage.cast(pa.large_binary())).bin.encode("hex")
        return (
            digits.str.replace("^(.{8})(.{4})(.{4})(.{4})", "${1}-${2}-${3}-${4}-").to_arrow().cast(pa.large_string())
        )
    decoded = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    kind = _decoded_type(column.type)
    return decoded.view(kind) if pa.types.is_timestamp(kind) else decoded.cast(kind)
