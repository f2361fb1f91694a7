#!/usr/bin/env python3
"""The row ops on a GPU against PyTorch's and against the copy rate, in turns.

    cargo build --release -p wootz --example device_rounds
    python peers/device.py target/release/examples/device_rounds [OP…] [--dtype f32,bf16] [--shape 512x131072]

Each row is the median over turns: Wootz's GB/s, its share of PyTorch's copy of as many bytes in the
same turns, and PyTorch's time over Wootz's.
"""

import argparse
import statistics
import subprocess
import sys
import time

sys.path.pop(0)  # this folder, where a file has the library's name
import torch
import torch.nn.functional as F

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
COUNT = 1 << 26
LENGTHS = [128, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144]
ROWS = [f"{COUNT // n}x{n}" for n in LENGTHS]
COLUMNS = ["128x524288", "1024x65536", "8192x8192", "65536x1024", "1048576x64"]
FLAT = ["8192x8192"]


def one(function):
    return lambda x: lambda: function(x)


def with_weights(function, count):
    def case(x):
        weights = [torch.rand(x.shape[1], device="cuda").to(x.dtype) for _ in range(count)]
        return lambda: function(x, *weights)

    return case


def added(shape):
    def case(x):
        other = torch.rand(*shape(x), device="cuda").to(x.dtype)
        return lambda: x + other

    return case


def picked(x):
    index = (torch.arange(x.shape[0], device="cuda") * 7919 + 13) % x.shape[0]
    return lambda: F.embedding(index, x)


def rope(x):
    size = x.shape[-1] // 2
    at = torch.arange(x.shape[-2], device="cuda")[:, None] * 1e4 ** (-torch.arange(size, device="cuda") / size)
    cos, sin = at.cos().to(x.dtype), at.sin().to(x.dtype)

    def call():
        a, b = x[..., :size], x[..., size:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    return call


# What PyTorch does, at which shapes, and the tables that are moved.
CASES = {
    "softmax": (one(lambda x: torch.softmax(x, -1)), ROWS, 2),
    "log_softmax": (one(lambda x: torch.log_softmax(x, -1)), ROWS, 2),
    "rms_norm": (with_weights(lambda x, w: F.rms_norm(x, w.shape, w, 1e-5), 1), ROWS, 2),
    "layer_norm": (with_weights(lambda x, w, b: F.layer_norm(x, w.shape, w, b, 1e-5), 2), ROWS, 2),
    "sum": (one(lambda x: x.sum(-1)), ROWS, 1),
    "max": (one(lambda x: x.amax(-1)), ROWS, 1),
    "argmax": (one(lambda x: x.argmax(-1)), ROWS, 1),
    "softmax_columns": (one(lambda x: torch.softmax(x, 0)), COLUMNS, 2),
    "sum_columns": (one(lambda x: x.sum(0)), COLUMNS, 1),
    "max_columns": (one(lambda x: x.amax(0)), COLUMNS, 1),
    "argmax_columns": (one(lambda x: x.argmax(0)), COLUMNS, 1),
    "sum_all": (one(lambda x: x.sum()), FLAT, 1),
    "transposed": (one(lambda x: x.transpose(-2, -1).contiguous()),
                   ["8192x8192", "65536x1024", "1024x65536", "1048576x64", "64x1024x1024", "8191x8193"], 2),
    "add_row": (added(lambda x: (x.shape[-1],)), ["524288x128", "16384x4096", "1024x65536"], 2),
    "add_column": (added(lambda x: (x.shape[0], 1)), ["524288x128", "16384x4096", "1024x65536"], 2),
    "gelu": (one(F.gelu), FLAT, 2),
    "silu": (one(F.silu), FLAT, 2),
    "copy": (one(torch.clone), FLAT, 2),
    "cast": (one(lambda x: x.to(torch.bfloat16 if x.dtype == torch.float32 else torch.float32)), FLAT, 0),
    "group_norm": (with_weights(lambda x, w, b: F.group_norm(x, 32, w, b, 1e-5), 2),
                   ["32x512x4096", "16x1024x4096", "256x256x1024", "1024x1024x64"], 2),
    "rows_picked": (picked, ["524288x128", "65536x1024", "16384x4096", "4096x16384"], 2),
    "rope": (rope, ["16x32x1024x128", "16x32x2048x64"], 2),
}


def seconds(call, least):
    calls, end = 1, time.perf_counter() + 4 * least
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
        taken = time.perf_counter() - start
        if taken >= least or time.perf_counter() > end:
            return taken / calls
        calls *= 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", nargs="+", help="the example device_rounds, built; then ops")
    parser.add_argument("--builds", type=int, default=1, help="how many of those are builds to compare")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", default="f32,bf16")
    parser.add_argument("--shape")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--ms", type=float, default=5)
    parser.add_argument("--below", type=float, default=9, help="only show rows below this share of either")
    args = parser.parse_args()
    builds, ops = args.rounds[: args.builds], args.rounds[args.builds :]
    children = [subprocess.Popen([build, args.device], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for build in builds]

    def ask(child, op, dtype, shape):
        print(op, dtype, shape, args.ms, file=child.stdin, flush=True)
        answer = child.stdout.readline().strip()
        try:
            return float(answer)
        except ValueError:
            print(f"{op} {dtype} {shape}: {answer or 'the program ended'}")
            return float("nan")

    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}; GB/s, of the copy rate, PyTorch's time over it")
    with torch.inference_mode():
        values = (torch.rand(COUNT, device="cuda") * 2 - 1)
        typed = {name: values.to(DTYPES[name]) for name in args.dtype.split(",")}
        copies = {}
        for op in ops or CASES:
            make, shapes, tables = CASES[op]
            for dtype in typed:
                for shape in [args.shape] if args.shape else shapes:
                    dims = [int(n) for n in shape.split("x")]
                    count = 1
                    for n in dims:
                        count *= n
                    x = (typed[dtype] if count <= COUNT else values.repeat(count // COUNT + 1).to(DTYPES[dtype]))
                    x = x[:count].view(dims)
                    call = make(x)
                    bytes_moved = count * (x.element_size() * tables if tables else 6)
                    half = torch.empty(bytes_moved // 2, dtype=torch.uint8, device="cuda")
                    call()
                    for child in children:
                        ask(child, op, dtype, shape)
                    ours = [[] for _ in children]
                    theirs, copy = [], []
                    for _ in range(args.turns):
                        for k, child in enumerate(children):
                            ours[k].append(ask(child, op, dtype, shape))
                        theirs.append(seconds(call, args.ms / 1000))
                        copy.append(seconds(half.clone, args.ms / 1000))
                    theirs, copy = statistics.median(theirs), statistics.median(copy)
                    row = f"{op:<16}{dtype:<5}{shape:<16}"
                    least = 9
                    for times in ours:
                        mine = statistics.median(times)
                        least = min(least, copy / mine / 0.93, theirs / mine)
                        row += f"{bytes_moved / mine * 1e-9:>7.0f}{copy / mine:>6.0%}{theirs / mine:>7.2f} |"
                    if least < args.below:
                        print(row + f"{' <' if least < 1 else ''}", flush=True)
                    del x, call, half


if __name__ == "__main__":
    main()
