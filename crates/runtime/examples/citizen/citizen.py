"""PyTorch in one process with threads that keep executors busy.

Does what libraries do that share a device: waits for all of it, allocates and frees memory, gives
memory back, computes. Each must end soon, and nothing may hang. `citizen.py LIBRARY [SECONDS]`
"""

import ctypes
import sys
import time

import torch

THREADS = 4
# An executor leaves after a millisecond without work and asks to be replaced after four; who waits
# for the device waits for all of them, and for what PyTorch itself takes.
LONGEST = 0.25


def cuda_runtime():
    for name in ("libcudart.so.13", "libcudart.so.12", "libcudart.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def main():
    library = ctypes.CDLL(sys.argv[1])
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    library.citizen_start.restype = ctypes.c_void_p
    library.citizen_done.argtypes = library.citizen_stop.argtypes = [ctypes.c_void_p]
    library.citizen_done.restype = ctypes.c_uint64
    library.citizen_stop.restype = ctypes.c_bool
    a = torch.randn(1024, 1024, device="cuda")
    expected = (a @ a).sum().item()
    crowd = library.citizen_start(THREADS)
    if not crowd:
        return 1
    runtime = cuda_runtime()
    memory = ctypes.c_void_p()

    def malloc_and_free():
        assert runtime.cudaMalloc(ctypes.byref(memory), ctypes.c_size_t(64 << 20)) == 0
        assert runtime.cudaFree(memory) == 0

    def compute():
        assert (a @ a).sum().item() == expected

    def empty_cache():
        torch.empty(32 << 20, device="cuda")
        torch.cuda.empty_cache()

    steps = {
        "synchronize": torch.cuda.synchronize,
        "empty_cache": empty_cache,
        "matmul and item": compute,
        "new stream": lambda: torch.cuda.Stream().synchronize(),
    }
    if runtime:
        steps["cudaMalloc, cudaFree"] = malloc_and_free
        steps["cudaDeviceSynchronize"] = runtime.cudaDeviceSynchronize
    times = {name: [] for name in steps}
    start, done = time.perf_counter(), library.citizen_done(crowd)
    while time.perf_counter() - start < seconds:
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begin)
    lasted = time.perf_counter() - start
    done = library.citizen_done(crowd) - done
    sound = library.citizen_stop(crowd)
    worst = 0.0
    for name, taken in times.items():
        taken.sort()
        worst = max(worst, taken[-1])
        half, most = taken[len(taken) // 2] * 1e3, taken[-1] * 1e3
        print(f"{name:<22} {len(taken):>6} times, {half:.3f} ms half, {most:.3f} ms at most")
    print(f"{done / lasted:,.0f} ops/s of {THREADS} threads meanwhile; results {'right' if sound else 'WRONG'}")
    if not sound or worst > LONGEST or done == 0:
        print("FAILED")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
