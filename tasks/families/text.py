"""Byte-level language models: transformer, LSTM and gated linear recurrence, on texts or on a grammar of known entropy.

Letters: N sequences, L positions, V tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from tasks import corpora, variation
from tasks.contracts import PyTree, Split, Task, TensorMeta
from tasks.nets import recurrent, transformer
from tasks.nets.blocks import affine, dense, dense_meta, keys
from tasks.streams import derive, draw, normal

BASE_WIDTH = 32
Net = Literal["transformer", "lstm", "recurrence"]
Text = Literal["text", "grammar", "newsgroups", "own_text"]


@dataclass(frozen=True)
class LanguageModel:
    """Predict the next token; cross-entropy in nats per token.

    Texts have 97 tokens: "text" is the running Python's standard library, "newsgroups" and "own_text" are files of the data folder
    (see `external`). "grammar" is a Markov chain whose entropy rate is the optimum.
    `rotary` chooses the transformer's positions (0 learned).
    """

    net: Net = "transformer"
    text: Text = "text"
    width: int = BASE_WIDTH
    depth: int = 2
    context: int = 32
    batch: int = 16
    rotary: int = 0
    vary: float = 0.0  # 1: log-normal scale of the initial weights, deviation 0.5

    @property
    def name(self) -> str:
        return f"{self.text}_{self.net}"

    def sample(self, key: jax.Array) -> PyTree:
        return variation.init_scale(derive(key, 0), self.vary)

    def task(self, config: PyTree) -> Task:
        corpus = corpora.load(self.text)

        def batch(key: jax.Array, split: Split) -> jax.Array:
            """i32[N, L + 1]; held-out batches are fixed and 8 times larger."""
            tokens = jnp.asarray(corpus.part(split))
            last = tokens.shape[0] - self.context - 1
            if split == "train":
                starts = draw(key, self.batch, last)
            else:
                starts = jnp.linspace(0, last - 1, 8 * self.batch).astype(jnp.int32)
            return tokens[starts[:, None] + jnp.arange(self.context + 1)[None, :]].astype(jnp.int32)

        def loss(params: PyTree, batch: jax.Array, key: jax.Array) -> jax.Array:
            del key
            logits = self._logits(params, batch[:, :-1])
            return variation.cross_entropy(logits.reshape(-1, corpus.size), batch[:, 1:].reshape(-1))

        return Task(
            name=self.name,
            init=lambda key: self._init(key, corpus.size, config["init_scale"]),
            batch=batch,
            loss=loss,
            metadata=self._metadata(corpus.size),
            optimum=corpus.entropy,
            metric="cross-entropy, nats per token",
        )

    def _init(self, key: jax.Array, tokens: int, gain: jax.Array) -> PyTree:
        k, width = keys(key, ("embed", "place", "body", "head")), self.width
        params = {"embed": normal(k["embed"], (tokens, width)) * 0.5, "head": dense(k["head"], width, tokens, gain)}
        if self.net == "transformer":
            params["body"] = transformer.init(k["body"], self.depth, width, gain)
            if not self.rotary:
                params["place"] = normal(k["place"], (self.context, width)) * 0.1
            return params
        make = recurrent.lstm_init if self.net == "lstm" else recurrent.gated_init
        params["body"] = {f"layer_{i}": make(derive(k["body"], i), width, width, gain) for i in range(self.depth)}
        return params

    def _metadata(self, tokens: int) -> PyTree:
        width, mult = self.width, self.width / BASE_WIDTH
        meta = {"embed": TensorMeta("input", tokens, width, mult), "head": dense_meta("output", width, tokens, mult)}
        if self.net == "transformer":
            meta["body"] = transformer.metadata(self.depth, width, mult)
            if not self.rotary:
                meta["place"] = TensorMeta("input", self.context, width, mult)
            return meta
        make = recurrent.lstm_meta if self.net == "lstm" else recurrent.gated_meta
        meta["body"] = {f"layer_{i}": make(width, width, mult) for i in range(self.depth)}
        return meta

    def _logits(self, params: PyTree, tokens: jax.Array) -> jax.Array:
        x = params["embed"][tokens]
        if self.net == "transformer":
            x = x if self.rotary else x + params["place"][None, : tokens.shape[1]]
            x = transformer.apply(params["body"], x, heads=transformer.head_count(self.width, 16), causal=True, rotary=bool(self.rotary))
        else:
            layer = recurrent.lstm if self.net == "lstm" else recurrent.gated
            for i in range(self.depth):
                x = x + layer(params["body"][f"layer_{i}"], x)
        return affine(params["head"], x)
