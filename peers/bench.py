#!/usr/bin/env python3
"""The CPU kernels against PyTorch's on one core, in turns.

    cargo build --release -p wootz --example rounds
    python peers/bench.py target/release/examples/rounds [OP…] [--dtype f32,bf16] [--core 0]

Each row is the fewest microseconds of either over several turns, and PyTorch's time over Wootz's.
Products also show GFLOP/s, as a share of what multiply-adds in registers reach on that core; all
others GB/s, as a share of what a copy of the operand reaches there.
"""

import argparse
import os
import subprocess
import sys
import time

sys.path.pop(0)  # this folder, where a file has the library's name
import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
ROWS = ["64x1024", "4096x4096"]


def spread(dtype, *dims):
    return (torch.rand(*dims) * 2 - 1).to(DTYPES[dtype])


def unary(function):
    def case(dtype, dims):
        x = spread(dtype, *dims)
        return lambda: function(x)

    return case


def binary(function):
    def case(dtype, dims):
        x, y = spread(dtype, *dims), spread(dtype, *dims)
        return lambda: function(x, y)

    return case


def layer_norm(dtype, dims):
    x, w, b = spread(dtype, *dims), spread(dtype, dims[1]), spread(dtype, dims[1])
    return lambda: F.layer_norm(x, (dims[1],), w, b, 1e-5)


def rms_norm(dtype, dims):
    x, w = spread(dtype, *dims), spread(dtype, dims[1])
    return lambda: F.rms_norm(x, (dims[1],), w, 1e-5)


def matmul(dtype, dims):
    a, b = spread(dtype, dims[0], dims[2]), spread(dtype, dims[2], dims[1])
    return lambda: a @ b


def linear(dtype, dims):
    x, w = spread(dtype, dims[0], dims[2]), spread(dtype, dims[1], dims[2])
    return lambda: F.linear(x, w)


# Tables that an op reads or writes, where it is not one of each.
TABLES = {"add": 3, "sum": 1}
PRODUCTS = ["16x16x16", "64x64x64", "256x256x256", "1024x1024x1024", "1x4096x4096"]
LINEARS = ["32x768x768", "64x384x384", "512x3072x768", "1x4096x4096"]
CASES = {
    "copy": (unary(torch.clone), ROWS),
    "add": (binary(torch.add), ROWS),
    "sum": (unary(lambda x: x.sum(-1)), ROWS),
    "exp": (unary(torch.exp), ROWS),
    "gelu": (unary(F.gelu), ROWS),
    "gelu_tanh": (unary(lambda x: F.gelu(x, approximate="tanh")), ROWS),
    "silu": (unary(F.silu), ROWS),
    "softmax": (unary(lambda x: torch.softmax(x, -1)), ROWS),
    "rms_norm": (rms_norm, ROWS),
    "layer_norm": (layer_norm, ROWS),
    "matmul": (matmul, PRODUCTS),
    "linear": (linear, LINEARS),
}


def fastest(call, seconds):
    best, calls, times, end = float("inf"), 1, 0, time.perf_counter() + seconds
    while time.perf_counter() < end or times < 4:
        times += 1
        start = time.perf_counter()
        for _ in range(calls):
            call()
        taken = time.perf_counter() - start
        best = min(best, taken / calls)
        if taken < 20e-6:
            calls *= 2
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", help="the example of that name, built")
    parser.add_argument("ops", nargs="*")
    parser.add_argument("--dtype", default="f32,bf16")
    parser.add_argument("--shape")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--ms", type=int, default=30)
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {args.core})  # before the child starts, which inherits it
    torch.set_num_threads(1)
    child = subprocess.Popen([args.rounds], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(op, dtype, shape):
        print(op, dtype, shape, args.ms, file=child.stdin, flush=True)
        answer = child.stdout.readline().strip()
        try:
            return float(answer)
        except ValueError:
            sys.exit(f"{op} {dtype} {shape}: {answer or 'the program ended'}")

    print(f"PyTorch {torch.__version__}, one thread each, core {args.core}")
    print(f"{'op':<12}{'dtype':<6}{'shape':<16}{'µs':>10}{'PyTorch':>10}{'ratio':>7}")
    with torch.inference_mode():
        for op in args.ops or CASES:
            case, shapes = CASES[op]
            for dtype in args.dtype.split(","):
                for shape in [args.shape] if args.shape else shapes:
                    dims = [int(n) for n in shape.split("x")]
                    call, flops = case(dtype, dims), 0
                    call()
                    ours = theirs = fma = copy = float("inf")
                    for _ in range(args.turns):
                        ours = min(ours, ask(op, dtype, shape))
                        theirs = min(theirs, fastest(call, args.ms / 1000))
                        if case in (matmul, linear):
                            flops = 2 * dims[0] * dims[1] * dims[2]
                            fma = min(fma, ask("fma", dtype, "-"))
                        else:
                            copy = min(copy, ask("copy", dtype, shape))
                    row = f"{op:<12}{dtype:<6}{shape:<16}{ours * 1e6:>10.2f}{theirs * 1e6:>10.2f}{theirs / ours:>7.2f}"
                    if flops:
                        rate = flops / ours * 1e-9
                        row += f"{rate:>8.1f} GF {rate * fma:>5.0%} of {1 / fma:.0f}"
                    else:
                        table = DTYPES[dtype].itemsize * dims[0] * dims[1] * 1e-9
                        rate, most = TABLES.get(op, 2) * table / ours, 2 * table / copy
                        row += f"{rate:>8.1f} GB {rate / most:>5.0%} of {most:.0f}"
                    print(row, flush=True)


if __name__ == "__main__":
    main()
