"""Classic mistakes, as users make them; test_mistakes.py compares what they print with expected.txt."""

import numpy as np

import graphflow as gf
from graphflow.graph.errors import GraphflowError


def dense(x, units):
    w = gf.shared(np.zeros((784, units), "float32"), name="w")
    return x @ w


def block(x):
    return dense(x, 10)


def shape_mismatch_in_a_layer_three_calls_deep():
    x = gf.placeholder("float32", (None, 300), name="x")
    block(x)


def wrong_dtype_fed():
    ids = gf.placeholder("int32", (None,), name="ids")
    f = gf.function([ids], ids + 1)
    f(np.array([1.5, 2.5]))


def missing_feed():
    x = gf.placeholder("float32", (3,), name="x")
    y = gf.placeholder("float32", (3,), name="y")
    with gf.Session() as s:
        s.run(x + y, {x: [1, 2, 3]})


def gradient_through_an_integer():
    x = gf.placeholder("float32", (3,), name="x")
    count = gf.sum(gf.cast(x, "int32"))
    gf.grad(count, x)


def disconnected_gradient():
    x = gf.placeholder("float32", (), name="x")
    y = gf.placeholder("float32", (), name="y")
    gf.grad(x * x, y)


def state_of_another_rank():
    w = gf.shared(np.zeros(3), name="w")
    w.set_value(np.zeros((2, 2)))


def update_of_something_that_is_no_state():
    x = gf.placeholder("float32", (3,), name="x")
    gf.function([x], None, updates=[(x, x + 1)])


def feed_of_a_wrong_rank():
    image = gf.placeholder("float32", (None, 784), name="image")
    f = gf.function([image], gf.sum(image))
    f(np.zeros(784, "float32"))


def truth_value_of_a_graph():
    x = gf.placeholder("float32", (3,), name="x")
    if x > 0:
        print("positive")


def broadcast_of_unequal_sizes():
    x = gf.placeholder("float32", (3,), name="x")
    y = gf.placeholder("float32", (4,), name="y")
    x + y


def cost_that_is_no_scalar():
    x = gf.placeholder("float32", (None, 5), name="x")
    gf.grad(x * 2, x)


def batches_of_different_sizes():
    x = gf.placeholder("float32", (None, 5), name="x")
    t = gf.placeholder("float32", (None, 5), name="t")
    f = gf.function([x, t], gf.mean(gf.square(x - t)))
    f(np.zeros((4, 5)), np.zeros((3, 5)))


def index_out_of_range():
    table = gf.shared(np.zeros((10, 2), "float32"), name="table")
    i = gf.placeholder("int32", (None,), name="i")
    f = gf.function([i], table[i])
    f([3, 12])


def axis_out_of_range():
    x = gf.placeholder("float32", (None, 5), name="x")
    gf.sum(x, axis=2)


def misspelt_dtype():
    gf.placeholder("float33", (3,))


def numpy_function_that_graphs_do_not_have():
    x = gf.placeholder("float32", (3,), name="x")
    np.linalg.norm(x)


def integer_that_does_not_fit():
    x = gf.placeholder("uint8", (3,), name="x")
    gf.function([x], x)([1, 2, 300])


MISTAKES = [f for name, f in list(globals().items()) if callable(f) and getattr(f, "__module__", "") == "__main__" and name not in ("dense", "block")]


def main():
    for mistake in MISTAKES:
        print(f"=== {mistake.__name__}")
        try:
            mistake()
        except GraphflowError as error:
            print(f"{type(error).__name__}: {error}\n")
        else:
            print("no error\n")


if __name__ == "__main__":
    main()
