"""GAN and LDMGAN on points of the plane in JAX: the step jitted, scanned over steps and mapped over seeds.

A contender of step_points.py, which starts it in an interpreter that has JAX; nothing else is needed there.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

from turns import Repeated, say_absent, serve

BATCH = 128
STEPS = 100
"""Steps of one call."""
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.5, 0.999, 1e-8


def contender() -> None:
    import jax
    import jax.numpy as jnp
    from jax import random

    def linear(key: Any, inputs: int, outputs: int) -> Any:
        a, b = random.split(key)
        bound = inputs**-0.5
        weight = random.uniform(a, (inputs, outputs), minval=-bound, maxval=bound)
        return weight, random.uniform(b, (outputs,), minval=-bound, maxval=bound)

    def network(key: Any, *widths: int) -> Any:
        keys = random.split(key, len(widths) - 1)
        return [linear(k, a, b) for k, a, b in zip(keys, widths, widths[1:], strict=False)]

    def apply(layers: Any, x: Any) -> Any:
        for weight, bias in layers[:-1]:
            x = jax.nn.relu(x @ weight + bias)
        weight, bias = layers[-1]
        return x @ weight + bias

    def adam(gradient: Any, state: Any) -> Any:
        p, m, v, t = state
        t = t + 1
        m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, m, gradient)
        v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, v, gradient)

        def moved(p: Any, m: Any, v: Any) -> Any:
            return p - RATE * (m / (1 - BETA1**t)) / (jnp.sqrt(v / (1 - BETA2**t)) + EPSILON)

        return jax.tree.map(moved, p, m, v), m, v, t

    def ring(key: Any) -> Any:
        a, b = random.split(key)
        angle = 2 * jnp.pi * random.randint(a, (BATCH,), 0, 8) / 8
        return jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1) + 0.01 * random.normal(b, (BATCH, 2))

    def rows(key: Any) -> Any:
        a, b = random.split(key)
        return ring(a), random.normal(b, (BATCH, 2))

    def softplus(score: Any) -> Any:
        return jnp.logaddexp(score, 0.0).mean()

    def moment_kl(codes: Any) -> Any:
        variance = codes.var(0)
        return 0.5 * (codes.mean(0) ** 2 + variance - jnp.log(variance) - 1).sum()

    def gan(state: Any, key: Any) -> Any:
        G, D = state
        x, z = rows(key)
        y, back = jax.vjp(lambda p: apply(p, z), G[0])
        D = adam(jax.grad(lambda p: softplus(-apply(p, x)) + softplus(apply(p, y)))(D[0]), D)
        (gradient,) = back(jax.grad(lambda y: softplus(-apply(D[0], y)))(y))
        return (adam(gradient, G), D), None

    def ldmgan(state: Any, key: Any) -> Any:
        G, D, E = state
        x, z = rows(key)
        y, r = apply(G[0], z), apply(G[0], apply(E[0], x))

        def of_d(p: Any) -> Any:
            return softplus(-apply(p, x)) + softplus(apply(p, y)) + softplus(apply(p, r))

        def of_e(p: Any) -> Any:
            code = apply(p, x)
            return ((x - apply(G[0], code)) ** 2).mean() + moment_kl(code)

        def of_g(p: Any) -> Any:
            y, r = apply(p, z), apply(p, apply(E[0], x))
            adversarial = softplus(-apply(D[0], y)) + softplus(-apply(D[0], r))
            return adversarial + ((x - r) ** 2).mean() + moment_kl(apply(E[0], y))

        gradients = jax.grad(of_g)(G[0]), jax.grad(of_d)(D[0]), jax.grad(of_e)(E[0])
        return tuple(adam(gradient, s) for gradient, s in zip(gradients, state, strict=True)), None

    def first(widths: Any, seed: Any) -> Any:
        keys = random.split(random.PRNGKey(seed), len(widths))
        made = [network(key, *w) for key, w in zip(keys, widths, strict=True)]
        return tuple((p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), 0) for p in made)

    G_like, D_like = (2, 64, 64, 2), (2, 64, 1)
    known = {"gan": (gan, (G_like, D_like)), "ldmgan": (ldmgan, (G_like, D_like, G_like))}

    @functools.cache
    def prepared(words: str) -> Repeated:
        name, seeds = words.split()
        step, widths = known[name]
        state = jax.vmap(functools.partial(first, widths))(jnp.arange(int(seeds)))
        keys = random.split(random.PRNGKey(1), int(seeds))

        @jax.jit
        def many(state: Any, keys: Any) -> Any:
            return jax.vmap(lambda s, k: jax.lax.scan(step, s, random.split(k, STEPS))[0])(state, keys)

        def call() -> None:
            nonlocal state
            state = jax.block_until_ready(many(state, keys))

        return Repeated(call, warm_up=2)

    def answer(words: str) -> float:
        return prepared(words).turn() / STEPS / int(words.split()[1])

    serve(answer, {"versions": {"jax": jax.__version__}})


if __name__ == "__main__":
    if importlib.util.find_spec("jax") is None:
        say_absent("JAX is not installed (pip install '.[bench]', or name an interpreter that has it with --jax)")
    else:
        contender()
