# What _core.pyx uses of native/*.h, declared again; no logic here.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "errstr.h" nogil:
    ctypedef char errstr_t[256]


cdef extern from "failures.h" nogil:
    enum:
        FAILURE_NONE
        FAILURE_KINDS
    struct failure_counter:
        uint64_t count
        errstr_t first_message
    struct failures:
        failure_counter kinds[15]


cdef extern from "replycheck.h" nogil:
    struct request_kind
    struct replycheck:
        const request_kind *expected
        int kind
        errstr_t message
    void replycheck_start(replycheck *check, char *output)


cdef extern from "histogram.h" nogil:
    enum:
        HISTOGRAM_COUNTS
    struct histogram:
        int64_t counts[23552]
        int64_t min_us
        int64_t max_us
        int64_t saturated
    void histogram_init(histogram *h)
    void histogram_record(histogram *h, int64_t latency_ns)


cdef extern from "machine.h" nogil:
    double machine_clock_cost_ns(uint64_t readings)
    int machine_timer_errors(
        histogram *errors, uint64_t count, int64_t period_ns, errstr_t errstr)


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
        TENSOR_FP16
        TENSOR_BF16
        TENSOR_UINT32
        TENSOR_UINT64
        TENSOR_STRINGS


cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len


cdef extern from "tensormap.h" nogil:
    struct tensormap:
        size_t tensor_bytes
        uint64_t tensor_count
        size_t lead_bytes
        iovec *batches
    int tensormap_open(
        tensormap *map, const char **paths, size_t path_count, size_t tensor_bytes,
        errstr_t errstr)
    int tensormap_generate(
        tensormap *map, uint64_t tensor_count, size_t tensor_bytes, tensor_dtype dtype,
        uint64_t seed, errstr_t errstr)
    void tensormap_close(tensormap *map)
    int tensormap_of_batches(tensormap *map, uint64_t count, uint64_t batch, errstr_t errstr)
    size_t tensormap_batch_bytes(const tensormap *map, uint64_t first, uint64_t batch)
    int tensormap_read(
        const tensormap *map, uint64_t first, uint64_t batch, char *out, errstr_t errstr)


cdef extern from "jsontensors.h" nogil:
    struct jsontensors:
        uint64_t most
        uint64_t count
        size_t text_bytes
        size_t tensor_bytes
    int jsontensors_open(
        jsontensors *j, tensor_dtype dtype, size_t tensor_bytes, uint64_t most, errstr_t errstr)
    int jsontensors_add(jsontensors *j, const char *tensor, errstr_t errstr)
    void jsontensors_finish(jsontensors *j, uint64_t count, tensormap *map)
    void jsontensors_close(jsontensors *j)


cdef extern from "protocol.h" nogil:
    struct protocol:
        bint may_pipeline


cdef extern from "resp.h" nogil:
    enum:
        REPLY_PLAN_MAX
        RESP_TEXT_BYTES
    enum reply_type:
        REPLY_STATUS
        REPLY_BULK
        REPLY_STRINGS
    struct expected_reply:
        reply_type type
        size_t bytes
        size_t strings
    struct reply_plan:
        size_t count
        size_t in_array
        expected_reply expected[64]
    const protocol resp_protocol
    const char *resp_library_version()


cdef extern from "http.h" nogil:
    enum:
        HTTP_OUTPUTS_MAX
        HTTP_DIMENSIONS_MAX
        HTTP_ANY_LENGTH
    struct http_output:
        const char *name
        const char *datatype
        tensor_dtype dtype
        int64_t shape[8]
        size_t dimensions
        size_t bytes
    struct http_plan:
        const char *json
        size_t json_bytes
        size_t output_count
        http_output outputs[16]
        size_t output_bytes
        size_t json_bytes_max
        bint has_strings
    const protocol http_protocol
    void http_judge(replycheck *check, const char *bytes, size_t count)
    const char *http_library_version()


cdef extern from "tls.h" nogil:
    struct tls_config:
        const char *ca_file
        const char *ca_folder
        const char *certificate
        const char *key
        const char *server_name
        bint insecure
    struct tls:
        pass
    tls *tls_create(const tls_config *config, errstr_t errstr)
    void tls_free(tls *tls)


cdef extern from "transport.h" nogil:
    struct endpoint:
        const char *host
        int port
        const char *socket
        tls *tls
        bint closes_each


cdef extern from "figures.h" nogil:
    struct figures:
        uint64_t successes
        uint64_t inferences
        uint64_t late_starts
        uint64_t shed
        failures failures
        histogram latencies
        histogram service_latencies
    bint figures_have_service(const figures *f)


cdef extern from "kind.h" nogil:
    enum:
        KIND_INPUTS_MAX
        KINDS_MAX
    struct request_text:
        const char *bytes
        size_t count
    struct greeting:
        const char *bytes
        size_t count
        uint32_t replies
    struct request_kind:
        const tensormap *inputs[14]
        uint32_t input_count
        const request_text *texts
        uint64_t batch
        uint64_t first_tensor
        reply_plan plan
        http_plan http
        size_t output_bytes
        size_t output_bytes_max
        size_t text_bytes
        const char *references
        float tolerance
        double weight


cdef extern from "schedule.h" nogil:
    enum:
        SCHEDULE_NO_STEP
    enum arrivals:
        ARRIVALS_CLOSED_LOOP
        ARRIVALS_CLOSED_LOOP_SHARE
        ARRIVALS_EVEN
        ARRIVALS_POISSON
        ARRIVALS_RECORDED
    struct schedule_segment:
        double from_per_s
        double to_per_s
        double duration_s
        uint32_t step
    struct schedule_share:
        uint64_t client
        uint64_t clients
        uint64_t workers
        uint64_t all_workers
    struct schedule_config:
        arrivals arrivals
        schedule_share share
        const schedule_segment *segments
        uint32_t segment_count
        uint64_t seed
        const int64_t *offsets_ns
        uint64_t offset_count
    struct arrival:
        uint64_t number
        int64_t due_ns
        uint32_t step
    struct schedule:
        int64_t start_ns
    void schedule_init(schedule *s, const schedule_config *config)
    bint schedule_is_open(const schedule *s)
    bint schedule_next(schedule *s, arrival *arrival)
    void schedule_close(schedule *s)


cdef extern from "outages.h" nogil:
    enum:
        OUTAGES_KEPT
    struct outage:
        int64_t from_ns
        int64_t to_ns
        uint64_t attempts


cdef extern from "cluster.h" nogil:
    struct cluster_node:
        const char *name
        endpoint endpoint
    struct cluster:
        const cluster_node *nodes
        uint32_t node_count
        const request_kind *asking_kinds
        const greeting *asking_greetings


cdef extern from "loadgen.h" nogil:
    const uint64_t BURN_IN_UNTIL_TOLD
    struct loadgen_config:
        const protocol *protocol
        const endpoint *servers
        uint32_t server_count
        const greeting *greetings
        const cluster *cluster
        const request_kind *kinds
        uint32_t kind_count
        uint64_t mix_seed
        uint32_t workers
        uint32_t threads
        uint32_t pipeline
        schedule_config schedule
        uint32_t step_count
        uint64_t burn_in_requests
        int64_t burn_in_ns
        int64_t measured_after_ns
        uint64_t max_requests
        int64_t max_lag_ns
        bint shed_late
        int64_t duration_ns
        int64_t reply_timeout_ns
        int64_t connect_timeout_ns
        int64_t reconnect_for_ns
        bint stop_on_disconnect
        bint stop_on_failure
    struct loadgen_snapshot:
        uint64_t begun
        uint64_t requests
        uint64_t answered_tensors
        uint64_t reconnects
        uint64_t remade
        uint64_t resent
        uint64_t moved
        uint64_t asked
        uint64_t abandoned
        uint64_t burn_in_shed
        int64_t started_ns
        int64_t began_ns
        int64_t measured_from_ns
        int64_t last_completed_ns
        int64_t cpu_ns
        double busiest_thread
        int64_t longest_cpu_wait_ns
        uint64_t least_worker_requests
        uint64_t most_worker_requests
        int64_t cut_after_ns
        int64_t cut_ns
        bint lag_exceeded
        failures burn_in_failures
        histogram burn_in_latencies
        figures measured
        histogram start_lags
        histogram timer_lags
        histogram reply_waits
        histogram connect_times
    struct loadgen:
        pass
    loadgen *loadgen_create(const loadgen_config *config, errstr_t errstr)
    int loadgen_start(loadgen *g, int64_t at_ns, errstr_t errstr)
    bint loadgen_wait(loadgen *g, int64_t timeout_ns)
    bint loadgen_measuring(loadgen *g)
    bint loadgen_is_ending(loadgen *g)
    void loadgen_begin_measuring(loadgen *g)
    void loadgen_stop(loadgen *g)
    void loadgen_read(loadgen *g, loadgen_snapshot *snapshot)
    void loadgen_read_kind(loadgen *g, uint32_t kind, figures *figures)
    void loadgen_read_server(loadgen *g, uint32_t server, figures *figures)
    void loadgen_read_step(loadgen *g, uint32_t step, figures *figures)
    uint64_t loadgen_read_outages(loadgen *g, uint32_t server, outage *outages)
    uint64_t loadgen_unsent(loadgen *g, uint64_t *of_steps)
    bint loadgen_tls(loadgen *g, const char **version, const char **cipher)
    void loadgen_want_sample(loadgen *g)
    bint loadgen_take_sample(
        loadgen *g, char *output, size_t *bytes, uint32_t *kind, uint64_t *tensor)
    void loadgen_free(loadgen *g)


cdef extern from *:
    """
    /* Cython takes no constant of C as the length of an array: those above are numbers. */
    _Static_assert(FAILURE_KINDS == 15, "failures.kinds");
    _Static_assert(HISTOGRAM_COUNTS == 23552, "histogram.counts");
    _Static_assert(REPLY_PLAN_MAX == 64, "reply_plan.expected");
    _Static_assert(HTTP_DIMENSIONS_MAX == 8, "http_output.shape");
    _Static_assert(HTTP_OUTPUTS_MAX == 16, "http_plan.outputs");
    _Static_assert(KIND_INPUTS_MAX == 14, "request_kind.inputs");
    """


cdef extern from *:
    """
    #if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    #define COMPILED_OPTIMISED 1
    #else
    #define COMPILED_OPTIMISED 0
    #endif
    """
    int COMPILED_OPTIMISED
