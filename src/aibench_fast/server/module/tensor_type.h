/* The type of keys that hold tensors. */
#ifndef AIBENCH_TENSOR_TYPE_H
#define AIBENCH_TENSOR_TYPE_H

#include "keyspace.h"
#include "tensor.h"

extern ValueKind tensor_kind;

int tensor_type_register(RedisModuleCtx *ctx);

#endif
