"""Rows of a data set's CSV file, with the columns that its loader needs."""

import csv
from pathlib import Path

from training.datasets.pictures import BadData

Row = dict[str, str]


def read_manifest(path: Path, *columns: str) -> list[Row]:
    """Read a CSV file with a header.

    Args:
        path: of the file.
        columns: that it has to have.

    Raises:
        BadData: the file is missing or empty, or has not these columns.
    """
    try:
        # Spreadsheets put a mark in front.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"{path} cannot be read: {error}") from error
    found = reader.fieldnames or ()
    if missing := sorted(set(columns) - set(found)):
        raise BadData(f"{path} has no column {', '.join(missing)}; it has {', '.join(found)}")
    if not rows:
        raise BadData(f"{path} has no rows")
    for number, row in enumerate(rows, 1):
        if any(row[name] is None for name in columns):
            raise BadData(f"{path}: row {number} has fewer columns than the header")
    return rows
