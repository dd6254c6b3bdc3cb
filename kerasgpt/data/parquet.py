"""Documents from a parquet file, one row of its column ``text`` each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasgpt.data.pieces import Piece
from kerasgpt.data.reading import ErrorHandling
from kerasgpt.errors import KerasGPTError, first_line
from kerasgpt.extras import require

MAGIC = b"PAR1"  # the first and the last four bytes

_COLUMN = "text"
_ROWS_AT_ONCE = 1024
# Arrow's default keeps every part of the column that it has read until the file's end.
_BOUNDED = {"pre_buffer": False, "buffer_size": 1 << 20, "page_checksum_verification": True}


def parquet_documents(path: Path, errors: ErrorHandling) -> Iterator[Piece]:
    """Read a parquet file a few rows at a time; an empty text is no document.

    Args:
        path: the file.
        errors: what to do about texts that are not UTF-8.

    Raises:
        MissingExtraError: pyarrow is not installed.
        KerasGPTError: the file is damaged, has no column of texts, or a row of it is null or not UTF-8.
    """
    arrow = require("pyarrow", "train", "reading parquet")
    parquet = require("pyarrow.parquet", "train", "reading parquet")
    number = 0
    try:
        with parquet.ParquetFile(path, **_BOUNDED) as file:
            _refuse_other_columns(path, file.schema_arrow, arrow)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[_COLUMN]):
                for value in batch.column(0).cast(arrow.large_string()).cast(arrow.large_binary()):
                    number += 1
                    if text := _text_of(value.as_py(), f"{path}, row {number}", errors):
                        yield Piece(text, begins_document=True)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of a column's name
        reason = first_line(error).rstrip(".")
        raise KerasGPTError(f"{path}: cannot read this parquet file ({reason}); fetch it again") from error


def _refuse_other_columns(path: Path, schema: Any, arrow: Any) -> None:
    if _COLUMN not in schema.names:
        raise KerasGPTError(
            f"{path}: has no column '{_COLUMN}' but {', '.join(schema.names)}; rename the one that holds"
            " the text"
        )
    if (count := schema.names.count(_COLUMN)) > 1:
        raise KerasGPTError(f"{path}: has {count} columns '{_COLUMN}'; rename those that are not the text")
    kind = schema.field(_COLUMN).type
    value_kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
    if value_kind not in (arrow.string(), arrow.large_string(), arrow.string_view()):
        raise KerasGPTError(f"{path}: its column '{_COLUMN}' holds {kind} and no text; give one of strings")


def _text_of(value: bytes | None, place: str, errors: ErrorHandling) -> str:
    if value is None:
        raise KerasGPTError(f"{place}: its {_COLUMN} is null; leave the row out, or give it an empty text")
    try:
        return value.decode("utf-8", errors)
    except UnicodeDecodeError as error:
        raise KerasGPTError(
            f"{place}: not UTF-8 at byte {error.start}; mend it, or go on with '--errors replace'"
        ) from error
