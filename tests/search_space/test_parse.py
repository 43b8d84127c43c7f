"""Texts: exact round trip, one clear line for everything that is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_space import RuleSet, load, zoo
from search_space.dataflow import dataflow
from search_space.parse import parse, parse_program
from search_space.printer import to_text
from search_space.program import Assign, Call, Const, Program, RuleError, Var
from tests.search_space.programs import live_program

ROOT = Path(__file__).resolve().parents[2]
HEAD = "def r(w, g, lr, *, m: full = zeros, b: unit = 0.9):\n"


@given(st.integers(0, 10**9))
def test_round_trip_of_random_programs(seed: int) -> None:
    program = live_program(Random(seed), 8)
    assert parse(to_text(program)) == program
    assert to_text(parse(to_text(program))) == to_text(program)


@given(
    st.recursive(
        st.sampled_from([Var("g"), Var("w"), Const(2.0), Const(-0.5), Const(1e-30)]),
        lambda inner: st.builds(
            lambda op, a, b: Call(op, (a, b)) if op in ("add", "sub", "mul", "div", "pow", "less") else Call(op, (a,)),
            st.sampled_from(["add", "sub", "mul", "div", "pow", "less", "neg", "sqrt"]),
            inner,
            inner,
        ),
        max_leaves=12,
    )
)
def test_round_trip_of_nested_expressions(expr: object) -> None:
    program = Program("r", (), (), (Assign("u", expr),), Var("u"))  # type: ignore[arg-type]
    again = parse(to_text(program))
    # `-` directly before a number belongs to the number, so neg of a positive constant comes back folded.
    assert again == _fold_negations(program)


def _fold_negations(program: Program) -> Program:
    def fold(e):
        if isinstance(e, Call):
            return Call(e.op, tuple(fold(a) for a in e.args))
        return e

    statement = program.body[0]
    assert isinstance(statement, Assign)
    return Program(program.name, (), (), (Assign("u", fold(statement.value)),), program.result)


@pytest.mark.parametrize("name", zoo.names())
def test_zoo_round_trip(name: str) -> None:
    assert parse(to_text(zoo.load(name))) == zoo.load(name)


def test_every_example_of_the_format_page_is_accepted() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/language.md").read_text(), re.S)
    assert len(blocks) == 8
    rules = [parse(b) for b in blocks]
    assert isinstance(rules[4], RuleSet) and rules[4].parts[0][0] == ("matrix",)
    for block, rule in zip(blocks, rules, strict=True):
        assert parse(to_text(rule)) == rule, block
        for program in [p for _, p in rule.parts] if isinstance(rule, RuleSet) else [rule]:
            dataflow(program)


def test_the_format_page_names_every_primitive() -> None:
    from search_space.ops import OPS

    page = (ROOT / "docs/language.md").read_text()
    assert [op for op in OPS if not re.search(rf"\b{op}\b", page)] == []


BAD = [
    ("", "no rule found"),
    ("import os", "`import` is not allowed"),
    ("x = 1", "`assign` is not allowed here"),
    ("def r(w, g):\n    return g", "must begin `w, g, lr`"),
    ("def r(w, g, lr, q):\n    return g", "unknown query input 'q'"),
    ("def r(w, g, lr, *args):\n    return g", "must begin `w, g, lr`"),
    ("def r(w, g, lr=1):\n    return g", "must begin `w, g, lr`"),
    ("def r(w, g, lr, *, m: half = zeros):\n    return g", "needs a kind or prior"),
    ("def r(w, g, lr, *, m: full):\n    return g", "needs an initial value"),
    ("def r(w, g, lr, *, m: full = twos):\n    return g", "zeros, ones, identity or first"),
    ("def r(w, g, lr, *, b: unit = 1.5):\n    return g", "lies in [0, 1]"),
    ("def r(w, g, lr, *, b: scale = -1.0):\n    return g", "not negative"),
    ("def r(w, g, lr, *, b: number = g):\n    return g", "must be a number"),
    ("def r(w, g, lr, *, g: full = zeros):\n    return g", "declared twice"),
    ("def r(w, g, lr, *, sqrt: full = zeros):\n    return g", "name of a primitive"),
    ("def r(w, g, lr):\n    g.x = 1\n    return g", "assign to one name"),
    ("def r(w, g, lr):\n    a = b = g\n    return g", "assign to one name"),
    ("def r(w, g, lr):\n    t = g\n    return g", "'t' cannot be assigned"),
    ("def r(w, g, lr):\n    a: int = g\n    return g", "is not allowed"),
    ("def r(w, g, lr):\n    a += g\n    return g", "is not allowed"),
    ("def r(w, g, lr):\n    if g: a = g\n    return g", "`if` is not allowed"),
    ("def r(w, g, lr):\n    while g: a = g\n    return g", "`while` is not allowed"),
    ("def r(w, g, lr):\n    for g in range(3):\n        a = g\n    return g", "the index of a loop is a new name"),
    ("def r(w, g, lr):\n    for i in range(3):\n        i = g\n    return g", "'i' cannot be assigned"),
    ("def r(w, g, lr):\n    for i in range(3):\n        a = g\n    return i", "'i' is not defined"),
    ("def r(w, g, lr):\n    for i, j in range(3):\n        a = g\n    return g", "the only loop allowed"),
    ("def r(w, g, lr, x=g):\n    return g", "a query is one of"),
    ("def r(w, g, lr, x=gradient()):\n    return g", "gradient takes 1 argument, got 0"),
    ("def r(w, g, lr, x=gradient(y)):\n    return g", "'y' is not defined"),
    ("def r(w, g, lr, x=gradient(w, every=0)):\n    return g", "literal N of at least 1"),
    ("def r(w, g, lr, x=gradient(w, often=2)):\n    return g", "the only keyword of a query"),
    ("def r(w, g, lr, w=gradient(g)):\n    return g", "is declared twice"),
    ("def r(w, g, lr, t=gradient(g)):\n    return g", "is the name of an input"),
    ("def r(w, g, lr, x=gradient(w)):\n    x = g\n    return g", "'x' cannot be assigned"),
    ("def r(w, g, lr):\n    return g, g", "'g' is not defined"),
    ("def r(w, g, lr):\n    return g, w, w", "is not allowed"),
    ("def r(w, g, lr, *, m: full = identity):\n    return g", "start as identity"),
    ("def r(w, g, lr, *, m: full[0] = zeros):\n    return g", "the depth of a history"),
    ("def r(w, g, lr, *, m: full[9999] = zeros):\n    return g", "the depth of a history"),
    ("def r(w, g, lr, *, m: row[3] = zeros):\n    return g", "needs a kind or prior"),
    ("def r(w, g, lr, *, m: full[3] = first(g)):\n    return g", "a history starts as zeros or ones"),
    ("def r(w, g, lr):\n    for _ in range(999):\n        a = g\n    return g", "the only loop allowed"),
    ("def r(w, g, lr):\n    for _ in range(3):\n        for _ in range(3):\n            a = g\n    return g", "not allowed in a loop"),
    ("def r(w, g, lr):\n    u = g", "must end with `return`"),
    ("def r(w, g, lr):\n    return", "must end with `return`"),
    ("def r(w, g, lr):\n    return undefined", "'undefined' is not defined"),
    ("def r(w, g, lr):\n    return os.system('x')", "only primitives can be called"),
    ("def r(w, g, lr):\n    return eval('x')", "unknown primitive 'eval'"),
    ("def r(w, g, lr):\n    return squrt(g)", "did you mean 'sqrt'?"),
    ("def r(w, g, lr):\n    return sqrt(g, g)", "takes 1 argument, got 2"),
    ("def r(w, g, lr):\n    return lerp(g, w)", "takes 3 arguments, got 2"),
    ("def r(w, g, lr):\n    return sqrt(x=g)", "plain arguments"),
    ("def r(w, g, lr):\n    return sqrt(*g)", "plain arguments"),
    ("def r(w, g, lr):\n    return g.__class__", "`attribute` is not allowed"),
    ("def r(w, g, lr):\n    return g[0]", "`subscript` is not allowed"),
    ("def r(w, g, lr):\n    return [x for x in g]", "`listcomp` is not allowed"),
    ("def r(w, g, lr):\n    return lambda: g", "`lambda` is not allowed"),
    ("def r(w, g, lr):\n    return 'g'", "`constant` is not allowed"),
    ("def r(w, g, lr):\n    return True", "`constant` is not allowed"),
    ("def r(w, g, lr):\n    return 1e39", "too large for float32"),
    ("def r(w, g, lr):\n    return 1e999", "too large for float32"),
    ("def r(w, g, lr):\n    return g <= w", "`compare` is not allowed"),
    ("def r(w, g, lr):\n    return g % w", "`binop` is not allowed"),
    ("def r(w, g, lr):\n    __a = g\n    return g", "two underscores"),
    ("@cache\ndef r(w, g, lr):\n    return g", "only decorator allowed"),
    ("@role('tensor')\ndef r(w, g, lr):\n    return g", "unknown role"),
    ("@role('matrix')\ndef r(w, g, lr):\n    return g", "the last must have none"),
    ("def r(w, g, lr):\n    return g\ndef q(w, g, lr):\n    return g", "every function but the last"),
    ("# rule-format: 2\ndef r(w, g, lr):\n    return g", "rule-format 2 is unknown"),
    ("def r(w, g, lr):\n return \0", "null bytes"),
    ("def r(w, g, lr):\n    return (g", "was never closed"),
    ("def r(w, g, lr):\n" + "    a = g\n" * 2100 + "    return a", "2100 statements"),
    ("x" * 10**7, "10000000 characters"),
    ("def r(w, g, lr):\n    return " + "(" * 5000 + "g" + ")" * 5000, "nested parentheses"),
    ("def r(w, g, lr):\n    return " + "-" * 90000 + "g", "nested too deeply"),
    ("def r(w, g, lr):\n    return " + "+".join(["g"] * 40000), "nested too deeply"),
    ("def r(w, g, lr):\n    return " + "sqrt(" * 90 + "g" + ")" * 90, "nested too deeply"),
]


@pytest.mark.parametrize(("text", "message"), BAD, ids=range(len(BAD)))
def test_wrong_text_gets_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(RuleError) as error:
        parse(text)
    line = str(error.value)
    assert message in line and "\n" not in line and re.match(r"line \d+, column \d+: ", line), line


@given(st.text(max_size=200))
def test_any_text_is_refused_or_accepted_never_a_crash(text: str) -> None:
    for candidate in (text, HEAD + "    return " + text):
        try:
            parse(candidate)
        except RuleError as error:
            assert "\n" not in str(error)


def test_paths_and_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.rule"
    path.write_text("def mine(w, g, lr):\n    return lr * g\n")
    assert load(path) == load(str(path)) == load(path.read_text())
    assert load("sign-sgd") == load("sign_sgd")
    path.write_text("def mine(w, g, lr):\n    return lr * q\n")
    with pytest.raises(RuleError, match=r"mine.rule: line 2, column 17: 'q' is not defined"):
        load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RuleError, match="not a text file"):
        load(path)
    with pytest.raises(RuleError, match="no such file"):
        load(tmp_path / "none.rule")
    with pytest.raises(RuleError, match="unknown rule 'loin' \\(did you mean 'lion'"):
        load("loin")


KIND_ERRORS = [
    ("    return norm(lr)", "norm: sum takes a value of kind full or row or col or left or right, not global"),
    ("    return row_mean(mean(g))", "row_mean takes a value of kind full or left, not tensor"),
    ("    return cos_sim(lr, lr)", "cos_sim"),
]


@pytest.mark.parametrize(("body", "message"), KIND_ERRORS)
def test_kind_errors(body: str, message: str) -> None:
    with pytest.raises(RuleError, match=re.escape(message)):
        dataflow(parse_program(HEAD + body))


def test_a_slot_takes_its_kind_or_lower() -> None:
    dataflow(parse_program("def r(w, g, lr, *, v: row = zeros):\n    v = mean(g)\n    return v * g"))
    with pytest.raises(RuleError, match="slot 'v' is row and cannot take a full value"):
        dataflow(parse_program("def r(w, g, lr, *, v: row = zeros):\n    v = g\n    return v * g"))
    with pytest.raises(RuleError, match="the slot is tensor"):
        dataflow(parse_program("def r(w, g, lr, *, v: tensor = first(g)):\n    return v * g"))
