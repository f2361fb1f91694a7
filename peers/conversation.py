"""The peer's end of the conversation that `wootz scale --with` has with a program.

Threads of this process do the work, each waiting for every result. JSON lines over standard
input and output; `crates/cli/src/scale/peer.rs` tells what is said when.
"""

import argparse
import contextlib
import json
import sys
import threading
import time
from collections import Counter


def say(message):
    print(json.dumps(message), flush=True)


@contextlib.contextmanager
def needed():
    """Around the import of the library: says so when this Python lacks it, and leaves."""
    try:
        yield
    except ImportError as error:
        say({"error": f"{error} (the Python is {sys.executable})"})
        sys.exit(1)


def seven_bits(nanos):
    """The value to within 1/64, so that few different ones remain."""
    shift = max(0, nanos.bit_length() - 7)
    return nanos >> shift << shift


def caller(make_call, window, warm, go, results):
    """One thread: warms up, meets the others, then counts and times its calls."""
    with contextlib.ExitStack() as held:
        try:
            call = held.enter_context(make_call())
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


def serve_round(make_call, request):
    count, window = request["callers"], request["window_ns"]
    warm, go = threading.Barrier(count + 1), threading.Barrier(count + 1)
    results = []
    arguments = (make_call, window, warm, go, results)
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


def chained(op, x, count):
    """The op of its own result, `count` times in all."""

    def call():
        y = op(x)
        for _ in range(count - 1):
            y = op(y)
        return y

    return call


def serve(about, ops, dtypes, make_call, more=lambda parser: None):
    """Serves rounds until the input ends. `with make_call(args) as call` gives a thread its call."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    parser.add_argument("--op", required=True)
    parser.add_argument("--dtype", required=True)
    parser.add_argument("--chain", type=int, default=1)
    more(parser)
    args = parser.parse_args()
    if args.op not in ops or args.dtype not in dtypes:
        say({"error": f"no {args.op} in {args.dtype} here"})
        return
    say({"ready": about(args)})
    for line in sys.stdin:
        say(serve_round(lambda: make_call(args), json.loads(line)))
