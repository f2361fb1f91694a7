#pragma once

namespace wootz {

// What an entry point in call form gets, once per lane.
struct Call {
  Place at;
  void* const* buffers;
  const void* params;
};

}  // namespace wootz

// Call form: an entry point takes its buffers from an array, so that whoever owns a Place can run
// it: the emulator, or a resident kernel that walks descriptors.
#define IN(index, type) const type* b##index = static_cast<const type*>(call->buffers[index]);
#define OUT(index, type) type* b##index = static_cast<type*>(call->buffers[index]);
#define ENTRY(name, lanes, count, Params, BUFFERS, ARGUMENTS, ...)                 \
  extern "C" CALLED void name(const wootz::Call* call) {                      \
    BUFFERS                                                                   \
    __VA_ARGS__(call->at, BARE ARGUMENTS, *static_cast<const Params*>(call->params));   \
  }
