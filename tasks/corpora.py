"""Texts as tokens: the running Python's own standard library, local files, and a grammar whose entropy is known."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tasks import external
from tasks.errors import TaskError

_FILES = (
    "argparse.py", "ast.py", "bdb.py", "calendar.py", "cmd.py", "codecs.py", "configparser.py", "copy.py", "csv.py", "datetime.py",
    "difflib.py", "dis.py", "doctest.py", "enum.py", "fractions.py", "ftplib.py", "functools.py", "gettext.py", "heapq.py", "inspect.py",
    "locale.py", "mailbox.py", "optparse.py", "pickle.py", "platform.py", "pprint.py", "random.py", "shutil.py", "smtplib.py", "ssl.py",
    "statistics.py", "subprocess.py", "tarfile.py", "tempfile.py", "textwrap.py", "threading.py", "typing.py", "uuid.py", "zipfile.py",
)  # fmt: skip
"""Modules that every supported Python has; those that moved into packages are skipped."""

PRINTABLE = 97  # printable ASCII, newline, and one token for everything else


@dataclass(frozen=True, eq=False)
class Corpus:
    """Token streams u8[T] of each split, the number of tokens, and the entropy rate in nats where it is known."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    size: int
    entropy: float | None = None

    def part(self, split: str) -> np.ndarray:
        """The stream called "train", "valid" or "test"."""
        return getattr(self, split)


@cache
def standard_library() -> Corpus:
    """About 1.3 MB of Python source; whole files are held out. Raises `TaskError` where the sources are not installed."""
    folder = Path(sysconfig.get_path("stdlib"))
    texts = [(folder / name).read_bytes() for name in _FILES if (folder / name).is_file()]
    if len(texts) < 20:
        raise TaskError(f"the standard library's sources are not in {folder}; install them, or use the grammar tasks")
    tokens = [_tokens(text) for text in texts]
    train, valid, test = [t for i, t in enumerate(tokens) if i % 4], tokens[0::8], tokens[4::8]
    return Corpus(np.concatenate(train), np.concatenate(valid), np.concatenate(test), PRINTABLE)


def load(name: str) -> Corpus:
    """ "grammar", "text" (the standard library), or a local text. Raises `TaskError` where it is not there."""
    return grammar() if name == "grammar" else standard_library() if name == "text" else local(name)


LEAST = 20_000
"""Bytes that a local text must have, so that a held-out tenth still has windows of every allowed length."""


def local(name: str) -> Corpus:
    """A local text ("newsgroups" or "own_text", see `external`): the last two tenths are held out. Raises `TaskError`."""
    return _local(external.require(name))


@cache
def _local(path: Path) -> Corpus:
    try:
        tokens = _tokens(path.read_bytes())
    except OSError as error:
        raise TaskError(f"{path} cannot be read: {error.strerror}") from error
    if len(tokens) < LEAST:
        raise TaskError(f"{path} has {len(tokens)} bytes, a language model's text needs at least {LEAST}")
    if np.mean(tokens == PRINTABLE - 1) > 0.9:
        raise TaskError(f"{path} is hardly a text: more than nine tenths of its bytes are not printable ASCII")
    first, second = int(0.8 * len(tokens)), int(0.9 * len(tokens))
    return Corpus(tokens[:first], tokens[first:second], tokens[second:], PRINTABLE)


def _tokens(text: bytes) -> np.ndarray:
    """Printable ASCII 0-94, newline 95, all else 96."""
    table = np.full(256, 96, np.uint8)
    table[32:127] = np.arange(95)
    table[10] = 95
    return table[np.frombuffer(text, np.uint8)]


@cache
def grammar(tokens: int = 16, length: int = 200_000) -> Corpus:
    """A Markov chain of order 2 with random, peaked transitions; `entropy` is its entropy rate, below which no model gets."""
    random = np.random.default_rng(3)
    chance = random.dirichlet(np.full(tokens, 0.2), size=(tokens, tokens))
    cumulative = np.cumsum(chance, axis=-1)
    cumulative[..., -1] = 1.0
    stream = np.zeros(length, np.uint8)
    draws = random.random(length)
    a, b = 0, 0
    for i in range(length):
        a, b = b, int(np.searchsorted(cumulative[a, b], draws[i], side="right"))
        stream[i] = b
    first, second = int(0.8 * length), int(0.9 * length)
    return Corpus(stream[:first], stream[first:second], stream[second:], tokens, _entropy_rate(chance))


def _entropy_rate(chance: np.ndarray) -> float:
    """Σ stationary probability of a pair × entropy of what follows, in nats."""
    tokens = chance.shape[0]
    pair = np.full((tokens, tokens), 1.0 / tokens**2)
    for _ in range(2_000):
        pair = np.einsum("ab,abc->bc", pair, chance)
    logs = np.log(np.where(chance > 0, chance, 1.0))
    return float(-np.einsum("ab,abc,abc->", pair, chance, logs))
