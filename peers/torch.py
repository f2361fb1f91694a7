#!/usr/bin/env python3
"""PyTorch as a contender in `wootz scale`.

    wootz scale --with peers/torch.py

Does the work of `wootz scale` with PyTorch, from the Python on the PATH: as many threads as
asked, each with its own input and, on a GPU, its own stream, each waiting for every result.
On the CPU an operation runs on its caller's thread alone. Speaks JSON lines over standard
input and output; `crates/cli/src/scale/peer.rs` has the conversation.
"""

import argparse
import json
import sys
import threading
import time
from collections import Counter

sys.path.pop(0)  # this file's folder, where its own name would hide the library
import torch
import torch.nn.functional as F


def rows(dtype, device):
    return torch.randn(64, 1024, device=device).to(dtype)


def unary(function):
    def load(dtype, device):
        x = rows(dtype, device)
        return lambda: function(x)

    return load


def rms_norm(dtype, device):
    x, weight = rows(dtype, device), torch.ones(1024, dtype=dtype, device=device)
    return lambda: F.rms_norm(x, (1024,), weight, 1e-5)


def layer_norm(dtype, device):
    x, weight = rows(dtype, device), torch.ones(1024, dtype=dtype, device=device)
    bias = torch.zeros_like(weight)
    return lambda: F.layer_norm(x, (1024,), weight, bias, 1e-5)


def linear(dtype, device):
    x = torch.randn(32, 768, device=device).to(dtype)
    weight = torch.randn(768, 768, device=device).to(dtype)
    return lambda: F.linear(x, weight)


def layer(dtype, device):
    model = torch.nn.TransformerEncoderLayer(
        384, 12, dim_feedforward=1536, dropout=0.0, activation="gelu", batch_first=True
    )
    model = model.eval().to(device=device, dtype=dtype)
    x = torch.randn(1, 64, 384, device=device).to(dtype)
    return lambda: model(x)


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


def device_of(name):
    if name.startswith("cuda"):
        return torch.device("cuda")
    return torch.device("mps" if name.startswith("metal") else "cpu")


def waiting(submit, device):
    """The call and the wait for its result, on this thread's own stream."""
    if device.type == "cpu":
        return submit
    if device.type == "mps":

        def call():
            submit()
            torch.mps.synchronize()

        return call
    stream = torch.cuda.Stream()
    torch.cuda.set_stream(stream)

    def call():
        submit()
        stream.synchronize()

    return call


def caller(load, dtype, device, window, warm, go, results):
    """One thread: warms up, meets the others, then counts and times its calls."""
    with torch.inference_mode():
        try:
            call = waiting(load(dtype, device), device)
            deadline = time.perf_counter_ns() + window // 8
            call()
            while time.perf_counter_ns() < deadline:
                call()
        finally:
            warm.wait()
            go.wait()
        times = []
        start = last = time.perf_counter_ns()
        while last - start < window:
            call()
            now = time.perf_counter_ns()
            times.append(now - last)
            last = now
        results.append((len(times) / ((last - start) * 1e-9), times))


def seven_bits(nanos):
    """The value to within 1/64, so that few different ones remain."""
    shift = max(0, nanos.bit_length() - 7)
    return nanos >> shift << shift


def serve_round(load, dtype, device, request):
    count, window = request["callers"], request["window_ns"]
    warm, go = threading.Barrier(count + 1), threading.Barrier(count + 1)
    results = []
    arguments = (load, dtype, device, window, warm, go, results)
    threads = [threading.Thread(target=caller, args=arguments) for _ in range(count)]
    for thread in threads:
        thread.start()
    warm.wait()
    say({"warm": True})
    sys.stdin.readline()
    go.wait()
    for thread in threads:
        thread.join()
    if len(results) != count:
        return {"error": "a thread failed; its traceback is above"}
    latency = Counter(seven_bits(nanos) for _, times in results for nanos in times)
    return {"rate": sum(rate for rate, _ in results), "latency": sorted(latency.items())}


def say(message):
    print(json.dumps(message), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", required=True)
    parser.add_argument("--op", required=True)
    parser.add_argument("--dtype", required=True)
    args = parser.parse_args()
    if args.op not in LOADS or args.dtype not in DTYPES:
        say({"error": f"no {args.op} in {args.dtype} here"})
        return
    torch.set_num_threads(1)
    say({"ready": f"PyTorch {torch.__version__}, one stream for each thread"})
    for line in sys.stdin:
        request = json.loads(line)
        say(serve_round(LOADS[args.op], DTYPES[args.dtype], device_of(args.device), request))


if __name__ == "__main__":
    main()
