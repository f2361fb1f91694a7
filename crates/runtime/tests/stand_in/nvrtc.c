// A compiler for that driver. What says that it is no kernel is refused; the rest is taken as it is.
#include <stdlib.h>
#include <string.h>

static const char LOG[] = "kernel.cu(7): error: expected a declaration";
static char broken;  // the one program that is refused
static char sound;

int nvrtcCreateProgram(void** out, const char* text, const char* name, int headers, const char** h, const char** n) {
  *out = strstr(text, "this is no kernel") ? &broken : &sound;
  return 0;
}
int nvrtcCompileProgram(void* program, int count, const char** options) {
  const char* code = getenv("COMPILER_FAILS");
  return code ? atoi(code) : program == &broken ? 6 : 0;
}
int nvrtcDestroyProgram(void** program) { return 0; }
int nvrtcGetProgramLogSize(void* program, size_t* out) { return *out = sizeof LOG, 0; }
int nvrtcGetProgramLog(void* program, char* out) { return memcpy(out, LOG, sizeof LOG), 0; }
int nvrtcGetCUBINSize(void* program, size_t* out) { return *out = 4, 0; }
int nvrtcGetCUBIN(void* program, char* out) { return memcpy(out, "code", 4), 0; }
int nvrtcGetPTXSize(void* program, size_t* out) { return *out = 4, 0; }
int nvrtcGetPTX(void* program, char* out) { return memcpy(out, "text", 4), 0; }
int nvrtcGetNumSupportedArchs(int* out) { return *out = 1, 0; }
int nvrtcGetSupportedArchs(int* out) { return *out = 90, 0; }
const char* nvrtcGetErrorString(int code) { return "as it was told to"; }
