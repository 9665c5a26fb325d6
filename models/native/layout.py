"""Structures of the native library's C interface, field by field as in its headers."""

import ctypes
from ctypes import POINTER, Structure, c_double, c_float, c_int32, c_int64, c_void_p
from functools import reduce


class Linear(Structure):
    _fields_ = (("weight", c_void_p), ("bias", c_void_p), ("inputs", c_int32), ("outputs", c_int32))


class NativeBlock(Structure):
    _fields_ = (
        ("query", Linear),
        ("key", Linear),
        ("value", Linear),
        ("out", Linear),
        ("folded", Linear),
        ("attention_gate", Linear),
        ("feed_forward_gate", Linear),
        ("wide", Linear),
        ("narrow", Linear),
        ("attention_epsilon", c_float),
        ("feed_forward_epsilon", c_float),
    )


class Model(Structure):
    _fields_ = (
        ("blocks", POINTER(NativeBlock)),
        *((name, c_void_p) for name in ("vectors", "codes", "intervals", "periods", "boundaries")),
        *((name, c_void_p) for name in ("request_intervals", "request_periods")),
        *((name, c_void_p) for name in ("cos", "sin", "norm_weight", "norm_bias")),
        ("num_items", c_int64),
        *((name, c_int32) for name in ("dim", "heads", "value_width", "hidden", "max_len", "layers")),
        *((name, c_int32) for name in ("num_subspaces", "codebook_size", "code_bytes", "codes_are_packed")),
        *((name, c_int32) for name in ("is_cone", "window", "num_periods", "longest_interval")),
        ("scale", c_float),
        ("norm_epsilon", c_float),
    )


class Codes(Structure):
    _fields_ = (
        ("codes", c_void_p),
        ("num_items", c_int64),
        *((name, c_int32) for name in ("num_subspaces", "codebook_size", "code_bytes", "are_packed")),
    )


class Queries(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("lookup_tables", "excluded", "excluded_starts", "allow_masks")),
        ("count", c_int32),
        ("k", c_int32),
    )


class Blocks(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("blocks", "items", "starts", "codes", "groups")),
        *((name, c_int64) for name in ("num_items", "num_blocks", "num_lists")),
        ("num_subspaces", c_int32),
        ("codebook_size", c_int32),
    )


class Transitions(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("rows", "probabilities", "gate", "normalizer_in", "normalizer_out")),
        *((name, c_void_p) for name in ("vectors", "codes")),
        ("num_items", c_int64),
        *((name, c_int32) for name in ("num_followers", "index_bytes", "dim", "units")),
        *((name, c_int32) for name in ("num_subspaces", "codebook_size", "code_bytes", "codes_are_packed")),
        *((name, c_float) for name in ("count_step", "max_exponent", "scale", "damping")),
    )


class Rules(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("classes", "bonuses", "places", "numbers", "fields", "limits", "members")),
        ("largest", c_double),
        ("num_items", c_int64),
        ("num_values", c_int32),
        ("num_numbers", c_int32),
    )


class Answers(Structure):
    _fields_ = (
        *((name, c_void_p) for name in ("items", "scores", "used_up", "lengths", "needed", "is_whole")),
        ("count", c_int32),
        ("k", c_int32),
    )


class RuledBatch(Structure):
    _fields_ = (
        ("queries", Queries),
        *((name, c_void_p) for name in ("newest", "lengths", "hidden", "new_scores", "pools")),
        ("num_new", c_int64),
        *((name, c_int32) for name in ("table_size", "depth", "num_searches")),
    )


STRUCTURES = (Model, NativeBlock, Codes, Queries, Blocks, Transitions, Rules, Answers, RuledBatch)
LAYOUT = reduce(lambda total, kind: (total * 1000 + ctypes.sizeof(kind)) % 1_000_000_000_000_007, STRUCTURES, 0)
"""Fingerprint of the structure sizes, computed as by `nextup_layout`."""
