"""What every known rule is checked against: one table, rule name → reference."""

from __future__ import annotations

from tests.search_space.zoo.authors import (
    adam_family,
    adam_variants,
    by_optax,
    distance,
    lion_family,
    momentum_family,
    row_column,
    tensor_family,
    trust_ratio,
)
from tests.search_space.zoo.harness import Reference

REFERENCES: dict[str, Reference] = {}
for family in (adam_family, adam_variants, by_optax, distance, lion_family, momentum_family, row_column, tensor_family, trust_ratio):
    assert not REFERENCES.keys() & family.TABLE.keys()
    REFERENCES |= family.TABLE
