# What _core.pyx uses of native/*.h, declared again; no logic here.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "errstr.h" nogil:
    ctypedef char errstr_t[256]


cdef extern from "failures.h" nogil:
    enum:
        FAILURE_KINDS
    struct failure_counter:
        uint64_t count
        errstr_t first_message
    struct failures:
        failure_counter kinds[11]


cdef extern from "histogram.h" nogil:
    enum:
        HISTOGRAM_COUNTS
    struct histogram:
        int64_t counts[23552]
        int64_t min_us
        int64_t max_us
        int64_t saturated
    void histogram_reset(histogram *h)
    void histogram_record(histogram *h, int64_t latency_ns)


cdef extern from "tensordata.h" nogil:
    enum tensor_dtype:
        TENSOR_FLOAT
        TENSOR_DOUBLE
        TENSOR_INT8
        TENSOR_INT16
        TENSOR_INT32
        TENSOR_INT64
        TENSOR_UINT8
        TENSOR_UINT16
        TENSOR_BOOL


cdef extern from "tensormap.h" nogil:
    struct tensormap:
        size_t tensor_bytes
        uint64_t tensor_count
    int tensormap_open(tensormap *map, const char *path, size_t tensor_bytes, errstr_t errstr)
    int tensormap_generate(
        tensormap *map, uint64_t tensor_count, size_t tensor_bytes, tensor_dtype dtype,
        uint64_t seed, errstr_t errstr)
    void tensormap_close(tensormap *map)
    int tensormap_read(
        const tensormap *map, uint64_t first, uint64_t batch, char *out, errstr_t errstr)


cdef extern from "replycheck.h" nogil:
    enum:
        REPLY_PLAN_MAX
    enum reply_type:
        REPLY_STATUS
        REPLY_BULK
    struct expected_reply:
        reply_type type
        size_t bytes
    struct reply_plan:
        bint in_array
        size_t count
        expected_reply expected[4]


cdef extern from "connection.h" nogil:
    struct endpoint:
        const char *host
        int port
        const char *socket
    const char *connection_library_version()


cdef extern from "loadgen.h" nogil:
    struct request_text:
        const char *prefix
        size_t prefix_bytes
        const char *suffix
        size_t suffix_bytes
    struct loadgen_config:
        endpoint endpoint
        const char *greeting
        size_t greeting_bytes
        const tensormap *tensors
        const char *references
        float tolerance
        const request_text *texts
        reply_plan plan
        size_t output_bytes
        uint32_t workers
        uint32_t threads
        uint32_t pipeline
        uint64_t batch
        uint64_t first_tensor
        uint64_t burn_in_requests
        uint64_t max_requests
        double requests_per_s
        int64_t duration_ns
        int64_t reply_timeout_ns
        int64_t connect_timeout_ns
        bint stop_on_failure
    struct loadgen_snapshot:
        uint64_t requests
        uint64_t successes
        uint64_t abandoned
        uint64_t late_starts
        int64_t started_ns
        int64_t measured_from_ns
        int64_t last_completed_ns
        int64_t cpu_ns
        double busiest_thread
        uint64_t least_worker_requests
        uint64_t most_worker_requests
        failures burn_in_failures
        failures failures
        histogram latencies
        histogram service_latencies
    struct loadgen:
        pass
    loadgen *loadgen_create(const loadgen_config *config, errstr_t errstr)
    int loadgen_start(loadgen *g, errstr_t errstr)
    bint loadgen_wait(loadgen *g, int64_t timeout_ns)
    bint loadgen_measuring(loadgen *g)
    void loadgen_stop(loadgen *g)
    void loadgen_read(loadgen *g, loadgen_snapshot *snapshot)
    void loadgen_want_sample(loadgen *g)
    bint loadgen_take_sample(loadgen *g, char *output, uint64_t *tensor)
    void loadgen_free(loadgen *g)
