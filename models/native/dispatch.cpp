// Selects the levels of the library that this processor can run.

#include "level.h"

extern const Level level_generic;
#ifdef __x86_64__
extern const Level level_avx2;
extern const Level level_avx512;
extern const Level level_avx512vbmi;
#endif

const Level* get_level(int number) {
    const Level* levels[4] = {};
    int count = 0;
#ifdef __x86_64__
    __builtin_cpu_init();
    const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool wide = fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    if (wide && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("bmi2"))
        levels[count++] = &level_avx512vbmi;
    if (wide) levels[count++] = &level_avx512;
    if (fma) levels[count++] = &level_avx2;
#endif
    levels[count] = &level_generic;
    return number >= 0 && number <= count ? levels[number] : nullptr;
}
