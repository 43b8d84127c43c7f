"""The instructions that some programs need: an interpreter of these alone compiles faster than one that knows them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from search_space.encode import Array, Encoded
from search_space.instructions import FULL_OPS, NUMBER_OPS, SMALL_OPS

_BANKS = {"number": NUMBER_OPS, "small": SMALL_OPS, "full": FULL_OPS}


class Repertoire(NamedTuple):
    """Names of instructions for each bank, in the order of the instruction tables."""

    number: tuple[str, ...]
    small: tuple[str, ...]
    full: tuple[str, ...]


ALL = Repertoire(*(tuple(table) for table in _BANKS.values()))


def repertoire(programs: Iterable[Encoded]) -> Repertoire:
    """What these programs (without a leading axis) use, at least one instruction for each bank."""
    used: dict[str, set[int]] = {bank: {0} for bank in _BANKS}
    for program in programs:
        stops = program.segments[int(program.segment_count) - 1]
        for bank, stop in zip(_BANKS, stops, strict=True):
            used[bank].update(getattr(program, f"{bank}_code")[:stop, 0].tolist())
    return Repertoire(*(tuple(name for name, number in table.items() if number in used[bank]) for bank, table in _BANKS.items()))


def renumber(programs: Encoded, known: Repertoire) -> Encoded:
    """The same programs with instructions numbered as in a repertoire that holds them all; leaves may have leading axes or be traced."""
    if known == ALL:
        return programs
    return programs._replace(**{f"{bank}_code": _renumber(programs, known, bank) for bank in _BANKS})


def _renumber(programs: Encoded, known: Repertoire, bank: str) -> Array:
    import jax.numpy as jnp

    places = np.zeros(len(_BANKS[bank]), np.int32)
    for place, name in enumerate(getattr(known, bank)):
        places[_BANKS[bank][name]] = place
    code = jnp.asarray(getattr(programs, f"{bank}_code"))
    return code.at[..., 0].set(jnp.asarray(places)[code[..., 0]])
