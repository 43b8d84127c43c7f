"""What every known rule is checked against: one table, rule name → reference."""

from __future__ import annotations

from tests.search_space.zoo.authors import adam_family, by_optax, row_column
from tests.search_space.zoo.harness import Reference

REFERENCES: dict[str, Reference] = {}
for table in (by_optax.TABLE, adam_family.TABLE, row_column.TABLE):
    assert not REFERENCES.keys() & table.keys()
    REFERENCES |= table
