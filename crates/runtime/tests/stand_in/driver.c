// A CUDA driver that has no device behind it, and fails when told to: what a machine with a GPU can
// hardly be made to do. Memory is the host's, everything is done at once, and kernels do nothing
// but for the one that writes a word, the executor (executor.c), and beside it one that adds.
//
// DRIVER_FAILS lists calls and the error each gives, after as many that go well: "cuMemHostAlloc=2",
// "cuLaunchKernel=700+1". A launch may name its kernel: "cuLaunchKernel:small_add=719".
// DRIVER_SAYS lists what attributes have other values than here: "75=7".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned Status;
typedef unsigned long long Address;

enum { INVALID = 1, NOT_READY = 600, MOST_CALLS = 64 };

// The number that a list has for a name, as in "name=12"; `otherwise` where it has none.
static int listed(const char* variable, const char* name, int otherwise, int* after) {
  const char* list = getenv(variable);
  size_t length = strlen(name);
  while (list && *list) {
    if (!strncmp(list, name, length) && list[length] == '=') {
      char* end;
      int value = (int)strtol(list + length + 1, &end, 10);
      if (after && *end == '+') *after = (int)strtol(end + 1, 0, 10);
      return value;
    }
    list = strchr(list, ',');
    if (list) ++list;
  }
  return otherwise;
}

static Status outcome(const char* call) {
  static struct { const char* name; int calls; } seen[MOST_CALLS];
  int after = 0;
  int code = listed("DRIVER_FAILS", call, 0, &after);
  if (!code) return 0;
  for (int i = 0; i < MOST_CALLS; ++i) {
    if (!seen[i].name) seen[i].name = strdup(call);
    if (!strcmp(seen[i].name, call)) return __sync_fetch_and_add(&seen[i].calls, 1) < after ? 0 : (Status)code;
  }
  return 0;
}

#include "executor.c"

// Whether the write of the value before comes after this one: "lost=2" has it so for every second.
static int overtaken_by(unsigned long long value) {
  int each = listed("DRIVER_SAYS", "lost", 0, 0);
  return each && value % each == 0;
}

// A call of the driver: fails as told, or does what follows.
#define CALL(name, parameters, ...)                \
  Status name parameters {                         \
    Status failed = outcome(#name);                \
    if (failed) return failed;                     \
    __VA_ARGS__;                                   \
    return 0;                                      \
  }
// A name for something that needs nothing behind it.
#define A_NAME ((void*)(size_t)64)

CALL(cuInit, (unsigned flags), )
CALL(cuDriverGetVersion, (int* out), *out = 13000)
CALL(cuGetErrorName, (Status code, const char** out), *out = code == INVALID ? "INVALID" : "A_FAILURE")
CALL(cuGetErrorString, (Status code, const char** out), *out = "as it was told to")
CALL(cuDeviceGetCount, (int* out), *out = 1)
CALL(cuDeviceGet, (int* out, int ordinal), *out = ordinal)
CALL(cuDeviceGetName, (char* out, int bytes, int device), snprintf(out, bytes, "No GPU"))
CALL(cuDeviceTotalMem_v2, (size_t* out, int device), *out = (size_t)1 << 30)

CALL(cuDeviceGetAttribute, (int* out, int attribute, int device), {
  char name[16];
  snprintf(name, sizeof name, "%d", attribute);
  int usual = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 97 || attribute == 81 ? 232448 : attribute == 16 ? 132 : 1;
  *out = listed("DRIVER_SAYS", name, usual, 0);
})

CALL(cuDevicePrimaryCtxRetain, (void** out, int device), *out = A_NAME)
CALL(cuCtxSetCurrent, (void* context), )
CALL(cuStreamCreate, (void** out, unsigned flags), *out = A_NAME)
CALL(cuStreamCreateWithPriority, (void** out, unsigned flags, int priority), *out = new_seat())
CALL(cuStreamDestroy_v2, (void* stream), )
CALL(cuStreamQuery, (void* stream),
     if (stream != A_NAME && __atomic_load_n(&((Seat*)stream)->running, __ATOMIC_ACQUIRE)) return NOT_READY)
CALL(cuStreamSynchronize, (void* stream), )
CALL(cuStreamWaitEvent, (void* stream, void* event, unsigned flags), )
CALL(cuStreamWaitValue64_v2, (void* stream, Address at, unsigned long long value, unsigned flags),
     while (executors() == 1 && load(at) < value) sched_yield())
CALL(cuStreamWriteValue64_v2, (void* stream, Address at, unsigned long long value, unsigned flags),
     if (!overtaken_by(value)) __atomic_store_n((unsigned long long*)at, value, __ATOMIC_RELEASE))
CALL(cuEventCreate, (void** out, unsigned flags), *out = A_NAME)
CALL(cuEventRecord, (void* event, void* stream), )
CALL(cuMemHostAlloc, (void** out, size_t bytes, unsigned flags), *out = aligned_alloc(4096, (bytes + 4095) & ~(size_t)4095))
CALL(cuMemHostGetDevicePointer_v2, (Address* out, void* host, unsigned flags), *out = (Address)host)
#ifndef OLD
CALL(cuMemPoolCreate, (void** out, const void* properties), *out = A_NAME)
#endif
CALL(cuMemPoolSetAttribute, (void* pool, unsigned attribute, void* value), )
CALL(cuMemPoolTrimTo, (void* pool, size_t keep), )
CALL(cuMemAllocFromPoolAsync, (Address* out, size_t bytes, void* pool, void* stream), *out = (Address)malloc(bytes))
CALL(cuMemFreeAsync, (Address memory, void* stream), free((void*)memory))
CALL(cuMemAlloc_v2, (Address* out, size_t bytes), *out = (Address)malloc(bytes))
CALL(cuMemsetD8Async, (Address at, unsigned char value, size_t bytes, void* stream), memset((void*)at, value, bytes))
CALL(cuMemcpyHtoDAsync_v2, (Address to, const void* from, size_t bytes, void* stream), memcpy((void*)to, from, bytes))
CALL(cuMemcpyDtoHAsync_v2, (void* to, Address from, size_t bytes, void* stream), memcpy(to, (void*)from, bytes))
CALL(cuModuleLoadData, (void** out, const void* image), *out = A_NAME)
// A function is its name.
CALL(cuModuleGetFunction, (void** out, void* module, const char* name), *out = strdup(name))
CALL(cuFuncSetAttribute, (void* function, unsigned attribute, int value), )
CALL(cuFuncGetAttribute, (int* out, unsigned attribute, void* function), *out = attribute == 0 ? 1024 : attribute == 1 ? 0 : 64)
CALL(cuOccupancyMaxActiveBlocksPerMultiprocessor, (int* out, void* function, int lanes, size_t scratch),
     *out = listed("DRIVER_SAYS", "fitting", 3, 0))
CALL(cuGraphCreate, (void** out, unsigned flags), *out = A_NAME)
CALL(cuGraphAddKernelNode, (void** out, void* graph, const void* after, size_t count, const void* params), *out = A_NAME)
CALL(cuGraphInstantiateWithFlags, (void** out, void* graph, unsigned long long flags), *out = A_NAME)
CALL(cuGraphExecKernelNodeSetParams, (void* executable, void* node, const void* params), )
CALL(cuGraphLaunch, (void* executable, void* stream), )
CALL(cuGraphExecDestroy, (void* executable), )
CALL(cuGraphDestroy, (void* graph), )

Status cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned lanes_x, unsigned lanes_y,
                      unsigned lanes_z, unsigned scratch, void* stream, void** arguments, void** extra) {
  char name[128];
  snprintf(name, sizeof name, "cuLaunchKernel:%s", (const char*)function);
  if (!strcmp(function, "wootz_mark"))
    __atomic_store_n(*(unsigned long long**)arguments[0], *(unsigned long long*)arguments[1], __ATOMIC_RELEASE);
  Status failed = outcome(name);
  if (!failed) failed = outcome("cuLaunchKernel");
  if (failed || !executors()) return failed;
  if (!strcmp(function, "wootz_resident")) start(arguments[0], stream);
  if (!strcmp(function, "small_add"))
    small_add(*(float**)arguments[0], *(float**)arguments[1], *(float**)arguments[2], *(Address*)arguments[3]);
  return 0;
}
