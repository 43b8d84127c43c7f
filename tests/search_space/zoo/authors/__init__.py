"""What every known rule is checked against: one table, rule name → reference, from the `TABLE` of every module here."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from tests.search_space.zoo.harness import Reference

REFERENCES: dict[str, Reference] = {}
for module in pkgutil.iter_modules(__path__):
    table = getattr(import_module(f"{__name__}.{module.name}"), "TABLE", {})
    assert not REFERENCES.keys() & table.keys()
    REFERENCES |= table
