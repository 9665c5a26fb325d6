"""Compiles the kernel for compute capability 9.0 with its usual sizes; needs no GPU. Argument: a key of `FORMS`."""

import sys
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from models.triton.group_maxima import ITEMS, WARPS
from models.triton.maxima_kernel import group_maxima_kernel

FORMS: dict[str, dict[str, Any]] = {
    "full": {"CENTROID_WIDTH": 0, "CODEBOOK_SIZE": 0, "IS_PACKED": False},
    "packed": {"CENTROID_WIDTH": 2, "CODEBOOK_SIZE": 64, "IS_PACKED": True},
    "bytes": {"CENTROID_WIDTH": 8, "CODEBOOK_SIZE": 256, "IS_PACKED": False},
}


def main(form: str) -> None:
    table = "*fp32" if form == "full" else "*u8"
    kinds = {"query": "*fp32", "table": table, "codebooks": "*fp32", "maxima": "*fp32", "rows": "i32", "end": "i32"}
    signature = {name: kinds.get(name, "constexpr") for name in group_maxima_kernel.arg_names}
    aligned = {(place,): [["tt.divisibility", 16]] for place in range(4)}
    for queries, warps in WARPS.items():
        sizes = {"WIDTH": 64, "FEATURES": 64, "ITEMS": ITEMS, "GROUP": 64, "QUERIES": queries, **FORMS[form]}
        source = ASTSource(fn=group_maxima_kernel, signature=signature, constexprs=sizes, attrs=aligned)
        compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
        print(next(name for name in compiled.asm if name == "cubin"))


if __name__ == "__main__":
    main(sys.argv[1])
