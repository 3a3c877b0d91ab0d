"""Values of Arrow columns as Python's, whatever their type: what Python cannot hold is written out as text."""

from typing import Any

import pyarrow as pa

from metaner_core.reading.record import Undecoded


class Failed(str):
    """In the place of a value that cannot be read: why."""


def values(column: pa.Array) -> list[Any]:
    """A column's values; those that have no like in Python as text, or Failed."""
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except Exception:  # what conversions raise is open: of time zones, dates, encodings, doubled names, ...
        return [_value(scalar) for scalar in column]


def leaves(type_: pa.DataType) -> int:
    """How many columns of a Parquet file a field of this type is."""
    if isinstance(type_, pa.BaseExtensionType):
        return leaves(type_.storage_type)
    if pa.types.is_struct(type_):
        return sum(leaves(field.type) for field in type_)
    if pa.types.is_map(type_):
        return leaves(type_.key_type) + leaves(type_.item_type)
    return leaves(type_.value_type) if pa.types.is_nested(type_) else 1  # all other nested types are lists


def unique(names: list[str]) -> list[str]:
    """The names, later ones of the same name with a number."""
    found: dict[str, None] = {}
    for name in names:
        n, other = 1, name
        while other in found:
            n += 1
            other = f"{name}#{n}"
        found[other] = None
    return list(found)


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        if hasattr(scalar, "as_buffer"):
            return Undecoded(scalar.as_buffer().to_pybytes())
        problem: Exception = error
    except Exception as error:
        problem = error
    try:
        return _inner(scalar)
    except Exception:
        return Failed(f"cannot be read: {problem}")


def _inner(scalar: pa.Scalar) -> Any:
    """A value that Python has no like for, part by part, or as text."""
    if isinstance(scalar, pa.ExtensionScalar | pa.DictionaryScalar):
        return _value(scalar.value)
    if isinstance(scalar, pa.StructScalar):
        names = unique([field.name for field in scalar.type])
        return {name: _value(scalar[n]) for n, name in enumerate(names)}
    if pa.types.is_nested(scalar.type):
        return [_value(inner) for inner in scalar.values]
    if pa.types.is_timestamp(scalar.type) and scalar.type.tz:
        return pa.scalar(scalar.value, pa.timestamp(scalar.type.unit)).cast(pa.string()).as_py() + "Z"
    return scalar.cast(pa.string()).as_py()
