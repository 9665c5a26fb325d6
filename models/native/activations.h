// exp, sigmoid, SiLU and GELU of whole vectors, accurate to about one float ulp.
//
// The polynomials are least-squares fits on Chebyshev points of their intervals.
#pragma once

#include "vector.h"

namespace {

// 2^n · e^r for whole numbers n from −126 to 127 and |r| ≤ 0.3475: relative error 3e-9 before rounding.
inline vec scaled_exp(vec n_with_magic, vec r) {
    vec value = all(1.394890470e-03f);
    value = value * r + 8.375356119e-03f;
    value = value * r + 4.166621340e-02f;
    value = value * r + 1.666641274e-01f;
    value = value * r + 5.000000110e-01f;
    value = value * r + 1.0f;
    value = value * r + 1.0f;
    // The lowest bits of n + 1.5 · 2^23 are n; added to the exponent of a float they multiply it by 2^n.
    return (vec)((ivec)value + ((ivec)n_with_magic << 23));
}

constexpr float MAGIC = 12582912.0f;  // 1.5 · 2^23: adding it rounds to a whole number

// 2^x for x ≤ 0; smaller results become 2^-126.
inline vec exp2_of(vec x) {
    x = greater_of(x, all(-126.0f));
    const vec n = x + MAGIC;
    return scaled_exp(n, (x - (n - MAGIC)) * 0.693147182f);
}

inline vec exp_of(vec x) {
    x = greater_of(x, all(-87.0f));
    x = x < 87.0f ? x : all(87.0f);
    const vec n = x * 1.44269504f + MAGIC;
    const vec whole = n - MAGIC;
    return scaled_exp(n, (x - whole * 0.693359375f) + whole * 2.12194440e-4f);  // ln 2 in two parts, the first exact
}

inline vec sigmoid(vec x) { return 1.0f / (1.0f + exp_of(-x)); }

inline vec silu(vec x) { return x * sigmoid(x); }

// x · Φ(x), with Φ(x) − 1/2 = x · p(x²) up to 5.4, where it is constant in float precision.
inline vec gelu(vec x) {
    constexpr float coefficients[] = {
        1.309281141e-01f, -6.532797217e-02f, 4.849937558e-02f, -3.920972720e-02f, 3.212166578e-02f,
        -2.571792901e-02f, 1.960337535e-02f, -1.408062130e-02f, 9.807188064e-03f, -6.484698039e-03f,
        3.370308084e-03f, -1.401103917e-03f, 1.132658683e-03f, -9.524011402e-04f, 3.043550823e-04f};
    vec inside = x < 5.4f ? x : all(5.4f);
    inside = greater_of(inside, all(-5.4f));
    const vec s = inside * inside * (2.0f / (5.4f * 5.4f)) - 1.0f;
    vec value = all(coefficients[14]);
    for (int i = 13; i >= 0; i--) value = value * s + coefficients[i];
    return x * (inside * value + 0.5f);
}

}  // namespace
