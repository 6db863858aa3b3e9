/* The part of OpenVINO's C interface that is used, opened at run time: neither the build nor a model
 * of the NULL backend needs OpenVINO. Types and signatures as in its headers, 2025 and later. */
#ifndef AIBENCH_OPENVINO_API_H
#define AIBENCH_OPENVINO_API_H

#include "dtype.h"
#include "error.h"

typedef struct ov_core ov_core_t;
typedef struct ov_model ov_model_t;
typedef struct ov_compiled_model ov_compiled_model_t;
typedef struct ov_infer_request ov_infer_request_t;
typedef struct ov_tensor ov_tensor_t;
typedef struct ov_output_const_port ov_output_const_port_t;

typedef struct {
    const char *build_number;
    const char *description;
} ov_version_t;

typedef struct {
    int64_t rank;
    int64_t *dims;
} ov_shape_t;

typedef struct {
    int64_t min, max; /* equal where the dimension is fixed; max is -1 where it has no limit */
} ov_dimension_t;

typedef struct {
    ov_dimension_t rank;
    ov_dimension_t *dims;
} ov_partial_shape_t;

typedef int ov_status_e; /* 0: done */
typedef unsigned ov_element_type_e;

#define OPENVINO_FUNCTIONS(F)                                                                      \
    F(ov_status_e, get_openvino_version, (ov_version_t *))                                         \
    F(void, version_free, (ov_version_t *))                                                        \
    F(const char *, get_last_err_msg, (void))                                                      \
    F(void, free, (const char *))                                                                  \
    F(ov_status_e, core_create, (ov_core_t **))                                                    \
    F(ov_status_e, core_read_model,                                                                \
      (const ov_core_t *, const char *path, const char *weights_path, ov_model_t **))              \
    F(ov_status_e, core_read_model_from_memory_buffer,                                             \
      (const ov_core_t *, const char *text, size_t bytes, const ov_tensor_t *weights,              \
       ov_model_t **))                                                                             \
    F(ov_status_e, core_compile_model,                                                             \
      (const ov_core_t *, const ov_model_t *, const char *device, size_t property_arguments,       \
       ov_compiled_model_t **, ...))                                                               \
    F(void, model_free, (ov_model_t *))                                                            \
    F(ov_status_e, model_inputs_size, (const ov_model_t *, size_t *))                              \
    F(ov_status_e, model_outputs_size, (const ov_model_t *, size_t *))                             \
    F(ov_status_e, model_const_input_by_index,                                                     \
      (const ov_model_t *, size_t, ov_output_const_port_t **))                                     \
    F(ov_status_e, model_const_output_by_index,                                                    \
      (const ov_model_t *, size_t, ov_output_const_port_t **))                                     \
    F(ov_status_e, model_const_input_by_name,                                                      \
      (const ov_model_t *, const char *, ov_output_const_port_t **))                               \
    F(ov_status_e, model_const_output_by_name,                                                     \
      (const ov_model_t *, const char *, ov_output_const_port_t **))                               \
    F(ov_status_e, model_reshape,                                                                  \
      (const ov_model_t *, const char **names, const ov_partial_shape_t *, size_t count))          \
    F(ov_status_e, port_get_any_name, (const ov_output_const_port_t *, char **))                   \
    F(ov_status_e, port_get_partial_shape,                                                         \
      (const ov_output_const_port_t *, ov_partial_shape_t *))                                      \
    F(ov_status_e, port_get_element_type, (const ov_output_const_port_t *, ov_element_type_e *))   \
    F(void, output_const_port_free, (ov_output_const_port_t *))                                    \
    F(void, partial_shape_free, (ov_partial_shape_t *))                                            \
    F(ov_status_e, shape_free, (ov_shape_t *))                                                     \
    F(ov_status_e, compiled_model_create_infer_request,                                            \
      (const ov_compiled_model_t *, ov_infer_request_t **))                                        \
    F(void, compiled_model_free, (ov_compiled_model_t *))                                          \
    F(ov_status_e, infer_request_get_tensor,                                                       \
      (const ov_infer_request_t *, const char *name, ov_tensor_t **))                              \
    F(ov_status_e, infer_request_infer, (ov_infer_request_t *))                                    \
    F(void, infer_request_free, (ov_infer_request_t *))                                            \
    F(ov_status_e, tensor_set_shape, (ov_tensor_t *, ov_shape_t))                                  \
    F(ov_status_e, tensor_get_shape, (const ov_tensor_t *, ov_shape_t *))                          \
    F(ov_status_e, tensor_get_element_type, (const ov_tensor_t *, ov_element_type_e *))            \
    F(ov_status_e, tensor_data, (const ov_tensor_t *, void **))                                    \
    F(void, tensor_free, (ov_tensor_t *))

/* OpenVINO's functions without their `ov_`, and one core for all models. */
typedef struct OpenVino {
    void *library; /* NULL until it is open */
    ov_core_t *core;
    char *version;
#define DECLARE_FUNCTION(result, name, arguments) result(*name) arguments;
    OPENVINO_FUNCTIONS(DECLARE_FUNCTION)
#undef DECLARE_FUNCTION
} OpenVino;

extern OpenVino openvino;

/* Opens the library at the configured path, once; it stays open. Main thread. */
int openvino_open(Error *error);

/* The type that an OpenVINO element type is; false where RedisAI has none like it. */
bool openvino_dtype(ov_element_type_e element_type, DType *dtype);

/* Sets the error to `what: why`, the reason in OpenVINO's own words. The thread that failed calls. */
int openvino_error(Error *error, const char *what);

#endif
