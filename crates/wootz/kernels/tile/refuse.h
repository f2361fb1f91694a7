#pragma once
#include "dialect/dialect.h"

// Elements that a kernel cannot use, such as an index outside of what it is for: they are left out
// and noted. `refused` keeps the least number of such an element.

namespace wootz {

inline void refuse(device u32* refused, u64 element) {
  // The least of several: the greatest of what is left of a u32. 0 is none.
  u32 number = element < 0xfffffffeu ? u32(element) : 0xfffffffeu;
  atomic_max(refused, 0xffffffffu - number);
}

}  // namespace wootz
