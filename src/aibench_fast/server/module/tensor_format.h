/* Tensors as commands carry them: the arguments of AI.TENSORSET and the replies of AI.TENSORGET. */
#ifndef AIBENCH_TENSOR_FORMAT_H
#define AIBENCH_TENSOR_FORMAT_H

#include "arguments.h"
#include "tensor.h"

enum { FORMAT_META = 1, FORMAT_BLOB = 2, FORMAT_VALUES = 4 };

/* Reads `dtype dim... [BLOB data | VALUES value...]`, all the arguments that are left. Without data
 * the tensor is of zeros. The caller owns the tensor, which holds the data's argument. Main thread. */
int tensor_parse(RedisModuleCtx *ctx, Arguments *arguments, Tensor **tensor, Error *error);

/* Reads `[META] [BLOB | VALUES]`, all the arguments that are left, as FORMAT_ flags. */
int tensor_parse_format(Arguments *arguments, int *format, Error *error);

/* Replies with the tensor in this format. Main thread. */
int tensor_reply(RedisModuleCtx *ctx, const Tensor *tensor, int format);

#endif
