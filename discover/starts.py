"""From a configuration to what a search begins with: start rules, search space, strategy."""

from __future__ import annotations

from discover.config import SearchConfig
from discover.errors import UserError
from discover.genome import Genome, from_program
from discover.mutate import Mutator
from discover.space import CHANGE_WEIGHTS, Space, slot_kinds_of
from discover.strategies import HYPER_ONLY, Evolution, RandomSearch, Restart, Strategy
from search_space.dataflow import dataflow
from search_space.lowering import lower
from search_space.program import Program
from search_space.use import load


def start_genomes(config: SearchConfig) -> list[Genome]:
    """The start rules, checked against the constraints. Raises UserError, or RuleError where kinds do not fit."""
    genomes = []
    for rule in config.start:
        program = load(rule)
        if not isinstance(program, Program):
            raise UserError("a start with one rule for each role cannot be searched from: give a single rule")
        if asked := (*program.queries, *(e.name for e in program.plan)):
            raise UserError(f"start rule {program.name} asks for {asked[0]}; search by training offers gradients only")
        if program.view is not None:
            raise UserError(
                f"start rule {program.name} is evaluated at other weights than it trains; search by training offers no such view"
            )
        lower(dataflow(program))  # a kind error, or a primitive that only compiled rules have, is told here
        genome = from_program(program)
        _check_start(config, genome)
        genomes.append(genome)
    return genomes


def _check_start(config: SearchConfig, genome: Genome) -> None:
    if len(genome.slots) > config.max_slots:
        raise UserError(f"start rule {genome.name} has {len(genome.slots)} slots; allowed by max_slots: {config.max_slots}")
    if len(genome.lines) > config.max_statements:
        raise UserError(f"start rule {genome.name} has {len(genome.lines)} statements; allowed by max_statements: {config.max_statements}")
    if config.ops:
        for _, op, _ in genome.lines:
            if op and op not in config.ops:
                raise UserError(f"start rule {genome.name} uses {op}; allowed by ops: {', '.join(config.ops)}")


def space_of(config: SearchConfig) -> Space:
    """The search space that a configuration describes."""
    weights = HYPER_ONLY if config.strategy == "hyper" else tuple(CHANGE_WEIGHTS.items())
    ops = config.allowed_ops()
    return Space(ops, config.max_slots, config.max_statements, slot_kinds_of(ops, config.slot_kinds), weights=weights)


def strategy_of(config: SearchConfig, mutator: Mutator) -> Strategy:
    """The strategy that a configuration names."""
    starts = start_genomes(config)
    if config.strategy == "random":
        return RandomSearch(starts, mutator)
    restart = Restart(config.restart_patience, config.restart_from)
    return Evolution(starts, mutator, config.population, config.tournament, restart)
