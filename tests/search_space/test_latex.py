"""Formulas of rules are LaTeX that a typesetter accepts, and say what the rule says."""

from __future__ import annotations

import pytest
from matplotlib.mathtext import MathTextParser

from search_space import load, zoo
from search_space.latex import to_latex

PARSER = MathTextParser("agg")


@pytest.mark.parametrize("name", zoo.names())
def test_every_rule_can_be_typeset(name: str) -> None:
    for line in to_latex(zoo.load(name)).splitlines():
        if not line.startswith((r"\begin", r"\end", "%")):
            plain = line.replace(r" \\", "").replace("&", "").replace(r"\textstyle", "").replace(r"\text{", r"\mathrm{")
            PARSER.parse(f"${plain}$")


def test_adam_reads_as_in_the_paper() -> None:
    lines = to_latex(load("adam")).splitlines()
    assert lines[1] == r"m_{t} &= \beta_{1} m_{t-1} + \left(1 - \beta_{1}\right) g_t \\"
    assert lines[2] == r"v_{t} &= \beta_{2} v_{t-1} + \left(1 - \beta_{2}\right) g_t^{2} \\"
    assert r"\sqrt{\frac{v_{t}}{1 - \beta_{2}^{t}}} + \epsilon" in lines[3]


def test_parentheses_where_they_are_needed() -> None:
    text = "def r(w, g, lr):\n    a = (g + w) * (g - (w - g)) / -g\n    return lr * (a + w) ** 2"
    lines = to_latex(load(text)).splitlines()
    assert r"\left(g_t + \theta_{t-1}\right) \, \left(g_t - \left(\theta_{t-1} - g_t\right)\right)" in lines[1]
    assert r"\left(a + \theta_{t-1}\right)^{2}" in lines[2]
