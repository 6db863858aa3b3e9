# What _core.pyx uses of native/*.h, declared again; no logic here.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef extern from "errstr.h" nogil:
    ctypedef char errstr_t[256]


cdef extern from "failures.h" nogil:
    enum:
        FAILURE_NONE
        FAILURE_KINDS
    const char *const failure_names[FAILURE_KINDS]
    struct failure_counter:
        uint64_t count
        errstr_t first_message
    struct failures:
        failure_counter kinds[FAILURE_KINDS]


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
        int64_t counts[HISTOGRAM_COUNTS]
        int64_t min_us
        int64_t max_us
        int64_t saturated
    void histogram_init(histogram *h)
    void histogram_record(histogram *h, int64_t latency_ns)
    bint histogram_is_empty(const histogram *h)


cdef extern from "machine.h" nogil:
    double machine_clock_cost_ns(uint64_t readings)
    int machine_timer_errors(
        histogram *errors, uint64_t count, int64_t period_ns, errstr_t errstr)


cdef extern from "tensordata.h" nogil:
    enum tensor_dtype:
        pass
    enum:
        TENSOR_DTYPES
    const char *const tensor_dtype_names[TENSOR_DTYPES]


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
    int tensormap_ring(
        tensormap *ring, const tensormap *of, uint64_t first, uint64_t count, errstr_t errstr)
    size_t tensormap_batch_bytes(const tensormap *map, uint64_t first, uint64_t batch)
    int tensormap_read(
        const tensormap *map, uint64_t first, uint64_t batch, char *out, errstr_t errstr)


cdef extern from "bodymap.h" nogil:
    int bodymap_open_files(
        tensormap *map, const char **paths, size_t count, errstr_t errstr)
    int bodymap_open_lines(tensormap *map, const char *path, errstr_t errstr)


cdef extern from "jsoncheck.h" nogil:
    enum:
        JSONCHECK_ROOM_BYTES
    int jsoncheck(char *text, size_t bytes, errstr_t errstr)


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
    struct stream_protocol:
        pass
    struct protocol:
        bint may_pipeline
        const stream_protocol *streams


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
        expected_reply expected[REPLY_PLAN_MAX]
    const protocol resp_protocol
    const char *resp_library_version()


cdef extern from "oip.h" nogil:
    enum:
        OIP_OUTPUTS_MAX
        OIP_DIMENSIONS_MAX
        OIP_ANY_LENGTH
    struct oip_output:
        const char *name
        const char *datatype
        tensor_dtype dtype
        int64_t shape[OIP_DIMENSIONS_MAX]
        size_t dimensions
        size_t bytes
    struct oip_outputs:
        size_t count
        oip_output all[OIP_OUTPUTS_MAX]
        size_t bytes
        bint has_strings
        bint in_memory


cdef extern from "http.h" nogil:
    enum:
        HTTP_STATUSES_MAX
        HTTP_STATUS_WORDS
    enum http_body_rule:
        HTTP_BODY_ANY
        HTTP_BODY_SAME_SIZE
        HTTP_BODY_JSON
    struct http_plan:
        const char *json
        size_t json_bytes
        size_t json_bytes_max
        oip_outputs outputs
        uint64_t successes[HTTP_STATUS_WORDS]
        http_body_rule body_rule
        size_t body_bytes
    const protocol http_protocol
    const protocol http_any_protocol
    void http_judge(const protocol *of, replycheck *check, const char *bytes, size_t count)
    const char *http_library_version()


cdef extern from "oipmessage.h" nogil:
    void oipmessage_judge(replycheck *check, const char *message, size_t bytes)


cdef extern from "tokenstream.h" nogil:
    const protocol tokenstream_protocol


cdef extern from "<nghttp2/nghttp2.h>" nogil:
    const char *LINKED_NGHTTP2 "NGHTTP2_VERSION"


cdef extern from "http2.h" nogil:
    enum:
        HTTP2_FIELDS_MAX
        HTTP2_GREETING_BYTES
        HTTP2_HEAD_BYTES_MAX
    size_t http2_greeting(char *to)
    size_t http2_head_bytes(const char *piece, size_t count)


cdef extern from "grpc.h" nogil:
    const protocol grpc_protocol


cdef extern from "grpcstream.h" nogil:
    enum:
        GRPC_ID_BYTES
    const protocol grpc_stream_protocol


cdef extern from "tls.h" nogil:
    struct tls_config:
        const char *ca_file
        const char *ca_folder
        const char *certificate
        const char *key
        const char *server_name
        bint insecure
        bint http2
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


cdef extern from "iostatus.h" nogil:
    enum io_status:
        IO_FAILED
        IO_AGAIN
        IO_DONE


cdef extern from "grpcstatus.h" nogil:
    enum:
        GRPC_NO_STATUS
        GRPC_STATUSES_COUNT "GRPC_STATUSES"
    const char *const grpcstatus_names[GRPC_STATUSES_COUNT]


cdef extern from "grpc.h" nogil:
    struct grpc_answer:
        int http_status
        int status
        errstr_t words
        bint is_refused
        const char *message
        size_t message_bytes


cdef extern from "grpccall.h" nogil:
    struct grpccall:
        pass
    grpccall *grpccall_open(const endpoint *endpoint, errstr_t errstr)
    io_status grpccall_begin(
        grpccall *c, const char *fields, size_t fields_bytes, const char *message,
        size_t message_bytes, size_t most_bytes,
        bint has_several)
    io_status grpccall_go_on(grpccall *c, int64_t wait_ns)
    bint grpccall_is_over(grpccall *c)
    const grpc_answer *grpccall_answer(const grpccall *c)
    const char *grpccall_error(const grpccall *c)
    void grpccall_close(grpccall *c)


cdef extern from "clock.h" nogil:
    int64_t monotonic_ns()


cdef extern from "figures.h" nogil:
    enum:
        FIGURE_COUNTERS
        FIGURE_HISTOGRAMS
        RUN_COUNTERS
        RUN_HISTOGRAMS
    const char *const figure_counter_names[FIGURE_COUNTERS]
    const char *const figure_histogram_names[FIGURE_HISTOGRAMS]
    const char *const run_counter_names[RUN_COUNTERS]
    const char *const run_histogram_names[RUN_HISTOGRAMS]
    union figure_counters:
        uint64_t all[FIGURE_COUNTERS]
    union figure_histograms:
        histogram all[FIGURE_HISTOGRAMS]
    union run_counters:
        uint64_t all[RUN_COUNTERS]
    union run_histograms:
        histogram all[RUN_HISTOGRAMS]
    struct figures:
        figure_counters counters
        failures failures
        figure_histograms histograms
    struct counted:
        run_counters counters
        run_histograms histograms
        figures measured
        figures burn_in
    bint figures_have_service(const figures *f)


cdef extern from "tokenfigures.h" nogil:
    enum:
        TOKEN_COUNTERS
        TOKEN_HISTOGRAMS
    const char *const token_counter_names[TOKEN_COUNTERS]
    const char *const token_histogram_names[TOKEN_HISTOGRAMS]
    union token_counters:
        uint64_t all[TOKEN_COUNTERS]
    union token_histograms:
        histogram all[TOKEN_HISTOGRAMS]
    struct token_figures:
        token_counters counters
        token_histograms histograms


cdef extern from "parts.h" nogil:
    enum dimension:
        DIMENSIONS
    const char *const dimension_names[DIMENSIONS]


cdef extern from "tokenstream.h" nogil:
    enum stream_end_rule:
        STREAM_END_USUAL
        STREAM_END_DONE
        STREAM_END_FINISH
        STREAM_END_HTTP
    struct token_limits:
        int64_t first_token_ns
        int64_t first_answer_ns
        int64_t token_ns
        int64_t latency_ns
    struct token_plan:
        stream_end_rule end
        int64_t first_token_timeout_ns
        int64_t token_timeout_ns
        uint64_t min_tokens
        token_limits limits


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
        const tensormap *inputs[KIND_INPUTS_MAX]
        uint32_t input_count
        const request_text *texts
        uint64_t batch
        uint64_t first_tensor
        reply_plan plan
        http_plan http
        oip_outputs grpc
        token_plan tokens
        const char *const *written
        size_t output_bytes
        size_t output_bytes_max
        size_t text_bytes
        const char *references
        float tolerance
        double weight
        size_t id_at


cdef extern from "schedule.h" nogil:
    enum:
        SCHEDULE_NO_STEP
    enum arrivals:
        ARRIVALS_CLOSED_LOOP
        ARRIVALS_CLOSED_LOOP_SHARE
        ARRIVALS_CONVERSATIONS
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
    struct schedule_conversations:
        const uint64_t *first_turns
        uint64_t count
        const int64_t *delays_ns
    struct schedule_config:
        arrivals arrivals
        schedule_share share
        const schedule_segment *segments
        uint32_t segment_count
        uint64_t seed
        const int64_t *offsets_ns
        uint64_t offset_count
        schedule_conversations conversations
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


cdef extern from "eventlog.h" nogil:
    struct event_log_entry:
        pass
    struct event_log:
        event_log_entry *entries
        uint64_t count


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
    const uint64_t NATIVE_BURN_IN_UNTIL_MEASURING "BURN_IN_UNTIL_MEASURING"
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
        uint64_t event_log_entries
    struct loadgen_snapshot:
        counted counted
        bint has_tokens
        token_figures tokens
        int64_t steady_from_ns
        int64_t steady_until_ns
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
    struct part:
        dimension dimension
        uint32_t number
        figures figures
        token_figures tokens
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
    uint32_t loadgen_parts(const loadgen *g)
    void loadgen_read_part(loadgen *g, uint32_t place, part *part)
    uint64_t loadgen_read_outages(loadgen *g, uint32_t server, outage *outages)
    bint loadgen_tls(loadgen *g, const char **version, const char **cipher)
    const event_log *loadgen_event_log(const loadgen *g, uint32_t thread)
    void loadgen_want_sample(loadgen *g)
    bint loadgen_take_sample(
        loadgen *g, char *output, size_t *bytes, uint32_t *kind, uint64_t *tensor)
    void loadgen_free(loadgen *g)


cdef extern from *:
    """
    #if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    #define COMPILED_OPTIMISED 1
    #else
    #define COMPILED_OPTIMISED 0
    #endif
    """
    int COMPILED_OPTIMISED
