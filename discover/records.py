"""Rows of the run store and their JSON columns."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from discover.schema import Candidate, Evaluation

CANDIDATE_COLUMNS = tuple(f.name for f in fields(Candidate))
EVALUATION_COLUMNS = tuple(f.name for f in fields(Evaluation))


def upsert(table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    """An INSERT that updates the row where its key exists (REPLACE would delete it first and break references)."""
    update = ", ".join(f"{c} = excluded.{c}" for c in columns if c not in key)
    places = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) ON CONFLICT ({', '.join(key)}) DO UPDATE SET {update}"


def candidate_row(row: Candidate) -> tuple[Any, ...]:
    """A candidate as its columns."""
    return tuple(dump(row.detail) if c == "detail" else getattr(row, c) for c in CANDIDATE_COLUMNS)


def evaluation_row(row: Evaluation) -> tuple[Any, ...]:
    """An evaluation as its columns."""
    return tuple(dump(row.detail) if c == "detail" else getattr(row, c) for c in EVALUATION_COLUMNS)


def record(columns: tuple[str, ...], row: tuple[Any, ...]) -> dict[str, Any]:
    """A row by column names, its detail read."""
    named = dict(zip(columns, row, strict=True))
    return {**named, "detail": json.loads(named["detail"])}


def dump(value: Any) -> str:
    """A value as compact JSON; infinities and NaN are written as Python reads them."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
