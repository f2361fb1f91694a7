#!/usr/bin/env python3
"""PyTorch as a contender in `wootz scale`.

    wootz scale --with peers/torch.py

Does the work of `wootz scale` with PyTorch, from the Python on the PATH: as many threads as
asked, each with its own input and, on a GPU, its own stream, each waiting for every result.
On the CPU an operation runs on its caller's thread alone. `--graph`, which `torch-graph.py`
gives, captures each call as a CUDA graph.
"""

import contextlib
import sys
import threading

from conversation import chained, needed, serve

sys.path.pop(0)  # this file's folder, where its own name would hide the library
with needed():
    import torch
    import torch.nn.functional as F


def rows(dtype, device):
    return torch.randn(64, 1024, device=device).to(dtype)


def unary(function):
    return lambda dtype, device: (function, rows(dtype, device))


def rms_norm(dtype, device):
    weight = torch.ones(1024, dtype=dtype, device=device)
    return lambda x: F.rms_norm(x, (1024,), weight, 1e-5), rows(dtype, device)


def layer_norm(dtype, device):
    weight = torch.ones(1024, dtype=dtype, device=device)
    bias = torch.zeros_like(weight)
    return lambda x: F.layer_norm(x, (1024,), weight, bias, 1e-5), rows(dtype, device)


def linear(dtype, device):
    x = torch.randn(32, 768, device=device).to(dtype)
    weight = torch.randn(768, 768, device=device).to(dtype)
    return lambda x: F.linear(x, weight), x


def layer(dtype, device):
    model = torch.nn.TransformerEncoderLayer(
        384, 12, dim_feedforward=1536, dropout=0.0, activation="gelu", batch_first=True
    )
    model = model.eval().to(device=device, dtype=dtype)
    return model, torch.randn(1, 64, 384, device=device).to(dtype)


# Each gives an op of one argument, and the argument.
LOADS = {
    "softmax": unary(lambda x: torch.softmax(x, -1)),
    "log_softmax": unary(lambda x: torch.log_softmax(x, -1)),
    "gelu": unary(F.gelu),
    "rms_norm": rms_norm,
    "layer_norm": layer_norm,
    "linear": linear,
    "layer": layer,
}

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


PREPARING = threading.Lock()


def device_of(name):
    if name.startswith("cuda"):
        return torch.device("cuda")
    return torch.device("mps" if name.startswith("metal") else "cpu")


@contextlib.contextmanager
def make_call(args):
    """The call and the wait for its result, on this thread's own stream."""
    with torch.inference_mode():
        # One thread at a time: none may make random numbers while another captures.
        with PREPARING:
            submit, wait = prepared(args)

        def call():
            submit()
            wait()

        yield call


def prepared(args):
    device = device_of(args.device)
    op, x = LOADS[args.op](DTYPES[args.dtype], device)
    submit = chained(op, x, args.chain)
    if device.type == "cpu":
        return submit, lambda: None
    if device.type == "mps":
        return submit, torch.mps.synchronize
    stream = torch.cuda.Stream()
    torch.cuda.set_stream(stream)
    if args.graph:
        submit = captured(submit, stream)
    return submit, stream.synchronize


def captured(submit, stream):
    """The call as a CUDA graph."""
    for _ in range(3):
        submit()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        submit()
    return graph.replay


def about(args):
    torch.set_num_threads(1)
    how = ", a CUDA graph" if args.graph else ""
    return f"PyTorch {torch.__version__}, one stream{how} for each thread"


if __name__ == "__main__":
    serve(about, LOADS, DTYPES, make_call, lambda p: p.add_argument("--graph", action="store_true"))
