#pragma once
// What -fsanitize=thread makes compilers call. Reads and writes become hooks; the rest, which
// would describe functions and threads, has nothing to say here.

#define READS(bytes)                                                                           \
  UNCHECKED void __tsan_read##bytes(void* at) { wootz::hooks.read(at, bytes); }              \
  UNCHECKED void __tsan_unaligned_read##bytes(void* at) { wootz::hooks.read(at, bytes); }    \
  UNCHECKED void __tsan_write##bytes(void* at) { wootz::hooks.write(at, bytes); }            \
  UNCHECKED void __tsan_unaligned_write##bytes(void* at) { wootz::hooks.write(at, bytes); }  \
  UNCHECKED void __tsan_read_write##bytes(void* at) {                                          \
    wootz::hooks.read(at, bytes);                                                            \
    wootz::hooks.write(at, bytes);                                                           \
  }                                                                                            \
  UNCHECKED void __tsan_unaligned_read_write##bytes(void* at) {                                \
    wootz::hooks.read(at, bytes);                                                            \
    wootz::hooks.write(at, bytes);                                                           \
  }

extern "C" {
READS(1)
READS(2)
READS(4)
READS(8)
READS(16)
UNCHECKED void __tsan_read_range(void* at, unsigned long bytes) { wootz::hooks.read(at, bytes); }
UNCHECKED void __tsan_write_range(void* at, unsigned long bytes) { wootz::hooks.write(at, bytes); }
UNCHECKED void* __tsan_memcpy(void* to, const void* from, unsigned long bytes) {
  wootz::hooks.read(from, bytes);
  wootz::hooks.write(to, bytes);
  return __builtin_memcpy(to, from, bytes);
}
UNCHECKED void* __tsan_memmove(void* to, const void* from, unsigned long bytes) {
  wootz::hooks.read(from, bytes);
  wootz::hooks.write(to, bytes);
  return __builtin_memmove(to, from, bytes);
}
UNCHECKED void* __tsan_memset(void* to, int value, unsigned long bytes) {
  wootz::hooks.write(to, bytes);
  return __builtin_memset(to, value, bytes);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

__attribute__((visibility("default"))) UNCHECKED void wootz_attach(const wootz::Hooks* table) {
  wootz::hooks = *table;
}
}

#undef READS
