// Compiled once for each instruction set, with NAME, LANES and ROWS from the build.

#include "cone.h"
#include "dense.h"
#include "embedding.h"
#include "level.h"
#include "scan_blocks.h"
#include "scan_codes.h"

namespace {

int64_t workspace(const Model& model) { return Scratch(model, nullptr).floats; }

void encode(const Model& model, const int64_t* items, const uint32_t* times, uint32_t request_time, int length,
            float* work, float* out) {
    Scratch scratch(model, work);
    embed(model, items, times, request_time, length, scratch.rows);
    const float* last = model.is_cone ? run_cone(model, length, scratch) : run_dense(model, length, scratch);
    normalize(last, model.dim, model.norm_epsilon, scratch.target);
    for (int i = 0; i < model.dim; i++) out[i] = scratch.target[i] * model.norm_weight[i] + model.norm_bias[i];
}

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
#define JOINED_OF(a, b) a##b
#define JOINED(a, b) JOINED_OF(a, b)

}  // namespace

extern const Level JOINED(level_, NAME);
const Level JOINED(level_, NAME) = {TEXT(NAME), workspace,        encode,     codes_workspace,
                                    scan_codes, blocks_workspace, scan_blocks};
