"""Agreement of the three executors on random programs and the zoo: `python -m benchmarks.agreement [COUNT]`.

The compiled executor runs operation by operation on all programs, and jitted (a second of compilation each) on the first 100. Prints the
distribution of primitives and the verdicts.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import tyro
from tyro.conf import Positional

from search_space import zoo
from search_space.dataflow import dataflow
from search_space.ops import OPS
from tests.search_space.agreement import check
from tests.search_space.programs import live_program


def main(count: Positional[int] = 600) -> None:
    """Check `count` random programs and the zoo."""
    rng = Random(7)
    programs = [live_program(rng, rng.choice((4, 8, 14))) for _ in range(count)]
    used = Counter(name for p in programs for name in {c.value.op for c in p.statements() if hasattr(c.value, "op")})
    live = Counter(n.op for p in programs for n in dataflow(p).nodes if n.op in OPS)
    print("programs that call each primitive:", ", ".join(f"{op} {used[op]}" for op in OPS))
    print("live uses of base primitives:", ", ".join(f"{op} {n}" for op, n in live.most_common()))
    for title, part, jit in (("random programs", programs, False), ("first 100, jitted", programs[:100], True)):
        verdicts = check(part, jit=jit)
        print(f"{title}:", dict(verdicts.counts()), flush=True)
        print("disagreements:", [o for o in verdicts.outcome if o not in ("agree", "sensitive", "too large")], flush=True)
    programs = [program for n in zoo.names() for program in zoo.programs(n)]
    counts = check(programs, jit=True).counts()
    print(f"zoo: {dict(counts)}; the interpreter holds {len(programs) - counts['too large']} of {len(programs)} programs")


if __name__ == "__main__":
    tyro.cli(main)
