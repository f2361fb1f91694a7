#!/usr/bin/env python3
"""MLX as a contender in `wootz scale`.

    wootz scale --with peers/mlx.py

Does the work of `wootz scale` with MLX, from the Python on the PATH: as many threads as asked,
each with its own input and its own stream, each waiting for every result.
"""

import contextlib
import sys

from conversation import chained, needed, serve

sys.path.pop(0)  # this file's folder, where its own name would hide the library
with needed():
    import mlx.core as mx
    import mlx.nn as nn


def rows(dtype):
    return mx.random.normal((64, 1024)).astype(dtype)


def unary(function):
    return lambda dtype: (function, rows(dtype))


def rms_norm(dtype):
    weight = mx.ones((1024,), dtype)
    return lambda x: mx.fast.rms_norm(x, weight, 1e-5), rows(dtype)


def layer_norm(dtype):
    weight, bias = mx.ones((1024,), dtype), mx.zeros((1024,), dtype)
    return lambda x: mx.fast.layer_norm(x, weight, bias, 1e-5), rows(dtype)


def linear(dtype):
    weight = mx.random.normal((768, 768)).astype(dtype)
    return lambda x: x @ weight.T, mx.random.normal((32, 768)).astype(dtype)


def layer(dtype):
    # The norms come first in it, which makes no difference to the work.
    model = nn.TransformerEncoderLayer(384, 12, 1536, activation=nn.gelu)
    model.eval()
    model.set_dtype(dtype)
    return lambda x: model(x, None), mx.random.normal((1, 64, 384)).astype(dtype)


# Each gives an op of one argument, and the argument.
LOADS = {
    "softmax": unary(lambda x: mx.softmax(x, -1)),
    "log_softmax": unary(lambda x: x - mx.logsumexp(x, -1, keepdims=True)),
    "gelu": unary(nn.gelu),
    "rms_norm": rms_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "layer": layer,
}

DTYPES = {"f32": mx.float32, "f16": mx.float16, "bf16": mx.bfloat16}


@contextlib.contextmanager
def make_call(args):
    """The call and the wait for its result, on this thread's own stream."""
    device = mx.cpu if args.device == "cpu" else mx.gpu
    mx.set_default_device(device)
    with mx.stream(mx.new_stream(device)):
        op, x = LOADS[args.op](DTYPES[args.dtype])
        mx.eval(x)
        submit = chained(op, x, args.chain)
        yield lambda: mx.eval(submit())


def about(_):
    return f"MLX {mx.__version__}, one stream for each thread"


if __name__ == "__main__":
    serve(about, LOADS, DTYPES, make_call)
