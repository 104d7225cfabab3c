// The kernels, compiled once for every instruction set, and the choice of one when first called.

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core.hpp"

#define RLGAN_INLINE static inline __attribute__((always_inline))
#define RLGAN_UNROLL _Pragma("GCC unroll 16")

#define RLGAN_NAME "portable"
#define RLGAN_LANES 4
#define RLGAN_ROWS 6
namespace portable {
#include "kernels.hpp"
}
#undef RLGAN_NAME
#undef RLGAN_LANES
#undef RLGAN_ROWS

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define RLGAN_X86 1
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define RLGAN_NAME "avx2"
#define RLGAN_LANES 8
#define RLGAN_ROWS 6
namespace avx2 {
#include "kernels.hpp"
}
#undef RLGAN_NAME
#undef RLGAN_LANES
#undef RLGAN_ROWS
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl")
#define RLGAN_NAME "avx512"
#define RLGAN_LANES 16
#define RLGAN_ROWS 12
namespace avx512 {
#include "kernels.hpp"
}
#undef RLGAN_NAME
#undef RLGAN_LANES
#undef RLGAN_ROWS
#pragma GCC pop_options
#endif

namespace {

// The kernels by name, or the best for this processor where the name is empty; null where they cannot run.
const Kernels* find_kernels(const char* name) {
    const bool any = name == nullptr || *name == 0;
#ifdef RLGAN_X86
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (has_avx512 && (any || !strcmp(name, "avx512"))) return &avx512::kernels;
    if (has_avx2 && (any || !strcmp(name, "avx2"))) return &avx2::kernels;
#endif
    return any || !strcmp(name, "portable") ? &portable::kernels : nullptr;
}

const Kernels* chosen = nullptr;

}  // namespace

const Kernels& kernels() { return *(chosen ? chosen : chosen = find_kernels(nullptr)); }

RLGAN_EXPORT const char* rlgan_instruction_set() { return kernels().name; }

// Returns 1 if the named kernels can run here and are used from now on; an empty name stands for the best.
RLGAN_EXPORT int rlgan_choose_instruction_set(const char* name) {
    const Kernels* found = find_kernels(name);
    if (found) chosen = found;
    return found != nullptr;
}
