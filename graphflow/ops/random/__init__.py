"""Random tensors: a pure function of key, step, stream and element.

The key (the seed) and the step are state, one process-wide shared variable that the runtime
advances by a step for every run of a function that reads it.  The stream is the number of the
construction since the last `seed`; the body of a loop draws from states that `fold_in` derives.  So a
program has the same random bits on every machine and with any number of threads, and every call of a
function, and every iteration of a loop, has new ones.

`shape` None takes the shape the parameters broadcast to.  `seed` pins the key of one construction
(two with the same seed are equal), `step` gives it a step of its own: an int, or an integer scalar
such as the index of a loop.
"""

from graphflow.ops.random.continuous import (
    cauchy,
    exponential,
    gumbel,
    laplace,
    logistic,
    lognormal,
    normal,
    truncated_normal,
    uniform,
    weibull,
)
from graphflow.ops.random.counts import binomial, negative_binomial, poisson
from graphflow.ops.random.discrete import (
    bernoulli,
    bits,
    categorical,
    choice,
    geometric,
    multinomial,
    permutation,
    randint,
    shuffle,
)
from graphflow.ops.random.gamma import beta, chisquare, dirichlet, gamma, student_t
from graphflow.ops.random.state import fold_in, is_rng_state, rng_state, seed

__all__ = [
    "bernoulli", "beta", "binomial", "bits", "categorical", "cauchy", "chisquare", "choice", "dirichlet", "exponential",
    "fold_in", "gamma", "geometric", "gumbel", "is_rng_state", "laplace", "logistic", "lognormal", "multinomial",
    "negative_binomial", "normal", "permutation", "poisson", "randint", "rng_state", "seed", "shuffle", "student_t",
    "truncated_normal", "uniform", "weibull",
]  # fmt: skip
