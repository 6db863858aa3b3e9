"""The native core as Python sees it: lifetimes, checks, codes to errors.

In this order: what was counted, the machine, tensors, schedules, kinds of request, servers, and the
load generator, which takes all of them. Each `_Native...` holds a part of the generator's config
together with the memory that it points to. coretypes.py has what goes in and what comes out.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals

import os

from aibench_fast import coretypes
from aibench_fast.errors import ConfigError, InternalError, ServerError

cdef int64_t NS_PER_S = 1_000_000_000
cdef int64_t SIGNALS_EVERY_NS = 100_000_000


cdef bytes _greeting():
    cdef char greeting[HTTP2_GREETING_BYTES]
    return PyBytes_FromStringAndSize(greeting, http2_greeting(greeting))


HIREDIS_VERSION = resp_library_version().decode()
LLHTTP_VERSION = http_library_version().decode()
NGHTTP2_VERSION = LINKED_NGHTTP2.decode()
ANY_LENGTH = OIP_ANY_LENGTH
BURN_IN_UNTIL_MEASURING = NATIVE_BURN_IN_UNTIL_MEASURING
HTTP2_GREETING = _greeting()
STREAM_ID_BYTES = GRPC_ID_BYTES
IS_OPTIMISED = bool(COMPILED_OPTIMISED)


cdef str _text(const char *text):
    return text.decode("utf-8", "replace")


# ---- What was counted ----


cdef tuple _names(const char *const *names, int count):
    return tuple([names[i].decode() for i in range(count)])


cdef tuple _FAILURE_NAMES = _names(failure_names, FAILURE_KINDS)
cdef tuple _DIMENSION_NAMES = _names(dimension_names, DIMENSIONS)
cdef tuple _FIGURE_COUNTER_NAMES = _names(figure_counter_names, FIGURE_COUNTERS)
cdef tuple _FIGURE_HISTOGRAM_NAMES = _names(figure_histogram_names, FIGURE_HISTOGRAMS)
cdef tuple _RUN_COUNTER_NAMES = _names(run_counter_names, RUN_COUNTERS)
cdef tuple _RUN_HISTOGRAM_NAMES = _names(run_histogram_names, RUN_HISTOGRAMS)

cdef tuple _TOKEN_COUNTER_NAMES = _names(token_counter_names, TOKEN_COUNTERS)
cdef tuple _TOKEN_HISTOGRAM_NAMES = _names(token_histogram_names, TOKEN_HISTOGRAMS)

cdef bytes _NO_COUNTS = bytes(HISTOGRAM_COUNTS * sizeof(int64_t))


cdef dict _counters(tuple names, const uint64_t *counters):
    return {name: counters[i] for i, name in enumerate(names)}


cdef dict _failures(const failures *f):
    return {
        name: (f.kinds[kind].count, _text(f.kinds[kind].first_message))
        for kind, name in enumerate(_FAILURE_NAMES)
        if f.kinds[kind].count
    }


cdef _latency_counts(const histogram *h):
    # Most histograms of most runs are empty. They share their counts: a watch keeps many snapshots.
    cdef bytes kept = _NO_COUNTS
    if not histogram_is_empty(h):
        kept = PyBytes_FromStringAndSize(<const char *>h.counts, sizeof(h.counts))
    return coretypes.LatencyCounts(
        counts=kept, min_us=h.min_us, max_us=h.max_us, saturated=h.saturated)


cdef dict _histograms(tuple names, const histogram *histograms):
    return {name: _latency_counts(&histograms[i]) for i, name in enumerate(names)}


cdef _figures(const figures *f, bint scheduled):
    found = coretypes.Figures(
        counters=_counters(_FIGURE_COUNTER_NAMES, <const uint64_t *>f.counters.all),
        failures=_failures(&f.failures),
        histograms=_histograms(_FIGURE_HISTOGRAM_NAMES, f.histograms.all),
    )
    if not scheduled and not figures_have_service(f):
        del found.histograms["service_latencies"]
    return found


cdef _add_tokens(found, const token_figures *f):
    found.counters.update(_counters(_TOKEN_COUNTER_NAMES, <const uint64_t *>f.counters.all))
    found.histograms.update(_histograms(_TOKEN_HISTOGRAM_NAMES, f.histograms.all))
    return found


cdef class Histogram:
    """The native latency histogram, as I/O threads fill it."""

    cdef histogram *_histogram

    def __cinit__(self):
        self._histogram = <histogram *>calloc(1, sizeof(histogram))
        if self._histogram is NULL:
            raise MemoryError
        histogram_init(self._histogram)

    def __dealloc__(self):
        free(self._histogram)

    def record(self, int64_t latency_ns):
        histogram_record(self._histogram, latency_ns)

    def counts(self):
        return _latency_counts(self._histogram)


# ---- The machine ----


def clock_cost_ns(uint64_t readings):
    cdef double cost
    with nogil:
        cost = machine_clock_cost_ns(readings)
    return cost


def timer_errors(uint64_t count, int64_t period_ns):
    cdef Histogram errors = Histogram()
    cdef errstr_t errstr
    cdef int status
    with nogil:
        status = machine_timer_errors(errors._histogram, count, period_ns, errstr)
    if status < 0:
        raise InternalError(_text(errstr))
    return errors.counts()


# ---- Tensors ----


cdef dict _DTYPES = {
    name: place for place, name in enumerate(_names(tensor_dtype_names, TENSOR_DTYPES))
}


cdef tensor_dtype _dtype(str name) except *:
    return <tensor_dtype><int>_DTYPES[name]


cdef const char **_native_paths(list paths) except NULL:
    """An array of paths, which the caller frees; `paths` keep their bytes alive."""
    cdef const char **native_paths = <const char **>calloc(len(paths), sizeof(char *))
    cdef size_t place
    if native_paths == NULL:
        raise MemoryError
    for place, path in enumerate(paths):
        native_paths[place] = path
    return native_paths


cdef class Tensors:
    """Tensors in memory that requests are sent from; see native/tensormap.h."""

    cdef tensormap _map
    cdef object _kept  # alive: the bytes of batches, or the Tensors whose pages these are

    def __init__(self):
        raise TypeError("call Tensors.open, Tensors.generate or another of its functions")

    def __dealloc__(self):
        tensormap_close(&self._map)

    @staticmethod
    def open(files, size_t tensor_bytes):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        cdef errstr_t errstr
        paths = [os.fsencode(file) for file in files]
        cdef const char **native_paths = _native_paths(paths)
        cdef int status = tensormap_open(
            &tensors._map, native_paths, len(paths), tensor_bytes, errstr)
        free(native_paths)
        if status < 0:
            raise ConfigError(_text(errstr))
        return tensors

    @staticmethod
    def open_files(files):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        cdef errstr_t errstr
        paths = [os.fsencode(file) for file in files]
        cdef const char **native_paths = _native_paths(paths)
        cdef int status = bodymap_open_files(&tensors._map, native_paths, len(paths), errstr)
        free(native_paths)
        if status < 0:
            raise ConfigError(_text(errstr))
        return tensors

    @staticmethod
    def open_lines(file):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        cdef errstr_t errstr
        path = os.fsencode(file)
        cdef const char *native_path = path
        cdef int status
        with nogil:
            status = bodymap_open_lines(&tensors._map, native_path, errstr)
        if status < 0:
            raise ConfigError(_text(errstr))
        return tensors

    @staticmethod
    def generate(uint64_t tensor_count, size_t tensor_bytes, str dtype, uint64_t seed):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        cdef errstr_t errstr
        cdef tensor_dtype native_dtype = _dtype(dtype)
        cdef int status
        with nogil:
            status = tensormap_generate(
                &tensors._map, tensor_count, tensor_bytes, native_dtype, seed, errstr)
        if status < 0:
            raise ConfigError(_text(errstr))
        return tensors

    @staticmethod
    def of_batches(batches, uint64_t batch):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        cdef errstr_t errstr
        if not batches or batch == 0:
            raise InternalError(f"{len(batches)} batches of {batch} tensors: both must be at least 1")
        if tensormap_of_batches(&tensors._map, len(batches), batch, errstr) < 0:
            raise ConfigError(_text(errstr))
        tensors._kept = [bytes(one) for one in batches]
        for i, one in enumerate(tensors._kept):
            tensors._map.batches[i].iov_base = PyBytes_AS_STRING(one)
            tensors._map.batches[i].iov_len = len(one)
        return tensors

    def ring(self, uint64_t first, uint64_t count):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        cdef errstr_t errstr
        if self._map.batches == NULL or self._map.tensor_count == 0:
            raise InternalError("a ring is of tensors that each have their own length")
        if tensormap_ring(&tensors._map, &self._map, first, count, errstr) < 0:
            raise ConfigError(_text(errstr))
        tensors._kept = self
        return tensors

    def __len__(self):
        return self._map.tensor_count

    def batch_bytes(self, uint64_t count, uint64_t first=0):
        if first >= self._map.tensor_count:
            raise IndexError(f"tensor {first}: there are {self._map.tensor_count}")
        return tensormap_batch_bytes(&self._map, first, count)

    def read(self, uint64_t first, uint64_t count):
        cdef errstr_t errstr
        cdef int status
        if first >= self._map.tensor_count:
            raise IndexError(f"tensor {first}: there are {self._map.tensor_count}")
        data = PyBytes_FromStringAndSize(NULL, tensormap_batch_bytes(&self._map, first, count))
        cdef char *out = PyBytes_AS_STRING(data)
        with nogil:
            status = tensormap_read(&self._map, first, count, out, errstr)
        if status < 0:
            raise ConfigError(_text(errstr))
        return data

    def first_not_json(self):
        cdef errstr_t errstr
        cdef uint64_t place, count = self._map.tensor_count
        cdef size_t bytes, most = 0
        cdef int status = 0
        cdef bint is_json
        for place in range(count):
            most = max(most, tensormap_batch_bytes(&self._map, place, 1))
        cdef char *text = <char *>malloc(most + JSONCHECK_ROOM_BYTES)
        if text == NULL:
            raise MemoryError
        try:
            for place in range(count):
                bytes = tensormap_batch_bytes(&self._map, place, 1)
                with nogil:
                    status = tensormap_read(&self._map, place, 1, text, errstr)
                    is_json = status < 0 or jsoncheck(text, bytes, errstr) == 0
                if status < 0:
                    raise ConfigError(_text(errstr))
                if not is_json:
                    return place, _text(errstr)
                PyErr_CheckSignals()
        finally:
            free(text)
        return None


cdef class JsonTensors:
    """Tensors as JSON text; see native/jsontensors.h."""

    cdef jsontensors _texts

    def __cinit__(self, str dtype, size_t tensor_bytes, uint64_t most):
        cdef errstr_t errstr
        if jsontensors_open(&self._texts, _dtype(dtype), tensor_bytes, most, errstr) < 0:
            raise ConfigError(_text(errstr))

    def __dealloc__(self):
        jsontensors_close(&self._texts)

    def __len__(self):
        return self._texts.count

    @property
    def text_bytes(self):
        return self._texts.text_bytes

    def add(self, bytes tensors):
        cdef errstr_t errstr
        cdef const char *data = PyBytes_AS_STRING(tensors)
        cdef uint64_t count = len(tensors) // self._texts.tensor_bytes
        cdef uint64_t i = 0
        cdef int status = 0
        if self._texts.count + count > self._texts.most:
            raise InternalError(f"{self._texts.count + count} tensors: room for {self._texts.most}")
        with nogil:
            while i < count and status == 0:
                status = jsontensors_add(&self._texts, data + i * self._texts.tensor_bytes, errstr)
                i += 1
        if status < 0:
            raise ConfigError(f"as JSON, {_text(errstr)}")

    def finish(self, uint64_t count):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        if not 1 <= count <= self._texts.count:
            raise InternalError(f"{count} texts: there are {self._texts.count}")
        with nogil:
            jsontensors_finish(&self._texts, count, &tensors._map)
        return tensors


# ---- Schedules ----


_ARRIVALS = {
    "conversations": ARRIVALS_CONVERSATIONS,
    "even": ARRIVALS_EVEN,
    "poisson": ARRIVALS_POISSON,
    "recorded": ARRIVALS_RECORDED,
}


cdef class _NativeSchedule:
    """A schedule's config with the memory that it points to."""

    cdef schedule_config config
    cdef schedule_segment *_segments
    cdef uint32_t step_count
    cdef bytes _offsets
    cdef bytes _first_turns
    cdef bytes _delays

    def __cinit__(self, wanted, share=None):
        self.config.arrivals = ARRIVALS_CLOSED_LOOP
        if share is not None:
            self.config.arrivals = ARRIVALS_CLOSED_LOOP_SHARE
            self.config.share = schedule_share(
                share.client, share.clients, share.workers, share.all_workers)
        if wanted is None:
            return
        self.config.arrivals = _ARRIVALS[wanted.arrivals]
        self.config.seed = wanted.seed
        self._offsets = wanted.offsets_ns
        self.config.offsets_ns = <const int64_t *>PyBytes_AS_STRING(self._offsets)
        self.config.offset_count = len(self._offsets) // sizeof(int64_t)
        self._first_turns, self._delays = wanted.first_turns, wanted.delays_ns
        self.config.conversations.first_turns = <const uint64_t *>PyBytes_AS_STRING(self._first_turns)
        if wanted.first_turns:
            self.config.conversations.count = len(self._first_turns) // sizeof(uint64_t) - 1
        self.config.conversations.delays_ns = <const int64_t *>PyBytes_AS_STRING(self._delays)
        self._segments = <schedule_segment *>calloc(
            max(1, len(wanted.segments)), sizeof(schedule_segment))
        if self._segments is NULL:
            raise MemoryError
        for i, segment in enumerate(wanted.segments):
            self._segments[i].from_per_s = segment.from_per_s
            self._segments[i].to_per_s = segment.to_per_s
            self._segments[i].duration_s = segment.duration_s
            self._segments[i].step = SCHEDULE_NO_STEP if segment.step is None else segment.step
            if segment.step is not None:
                self.step_count = max(self.step_count, segment.step + 1)
        self.config.segments = self._segments
        self.config.segment_count = len(wanted.segments)

    def __dealloc__(self):
        free(self._segments)


def taken_requests(wanted, Py_ssize_t most, share=None):
    cdef _NativeSchedule native = _NativeSchedule(wanted, share)
    cdef schedule s
    cdef arrival a
    memset(&s, 0, sizeof(schedule))
    memset(&a, 0, sizeof(arrival))
    schedule_init(&s, &native.config)
    found = []
    while len(found) < most and schedule_next(&s, &a):
        found.append((a.number, a.due_ns))
    schedule_close(&s)
    return found


def due_times_ns(wanted, Py_ssize_t most):
    return [due_ns for _, due_ns in taken_requests(wanted, most)]


def first_due_ns(wanted, uint64_t number, int64_t from_ns):
    cdef _NativeSchedule native = _NativeSchedule(wanted)
    cdef schedule s
    cdef arrival a
    cdef bint found = True
    memset(&s, 0, sizeof(schedule))
    schedule_init(&s, &native.config)
    a.number, a.due_ns = 0, 0
    with nogil:
        found = schedule_next(&s, &a)
        while found and (a.number < number or a.due_ns < from_ns):
            found = schedule_next(&s, &a)
    schedule_close(&s)
    return a.due_ns if found else None


# ---- Kinds of request ----


cdef int _fill_resp(request_kind *native, plan) except -1:
    if not 1 <= len(plan.replies) <= REPLY_PLAN_MAX:
        raise InternalError(
            f"{len(plan.replies)} replies to a request: 1 to {REPLY_PLAN_MAX} are possible")
    native.plan.count = len(plan.replies)
    native.plan.in_array = plan.in_array
    native.output_bytes = native.output_bytes_max = native.text_bytes = 0
    for i, reply in enumerate(plan.replies):
        native.plan.expected[i].bytes = native.plan.expected[i].strings = 0
        if reply is None:
            native.plan.expected[i].type = REPLY_STATUS
            continue
        native.text_bytes += RESP_TEXT_BYTES
        if isinstance(reply, coretypes.RespStrings):
            native.plan.expected[i].type = REPLY_STRINGS
            native.plan.expected[i].strings = reply.strings
            native.plan.expected[i].bytes = reply.bytes_max
            native.output_bytes += reply.usual_bytes
        else:
            native.plan.expected[i].type = REPLY_BULK
            native.plan.expected[i].bytes = reply
            native.output_bytes += reply
        native.output_bytes_max += native.plan.expected[i].bytes
    if native.text_bytes == 0:
        native.text_bytes = RESP_TEXT_BYTES
    return 0


cdef int _fill_outputs(oip_outputs *native, outputs, list kept) except -1:
    """Append to `kept` what the native side reads and has to be kept alive."""
    if not 1 <= len(outputs) <= OIP_OUTPUTS_MAX:
        raise ConfigError(f"{len(outputs)} outputs: 1 to {OIP_OUTPUTS_MAX} are possible")
    native.count = len(outputs)
    native.bytes = 0
    native.has_strings = False
    for i, output in enumerate(outputs):
        if len(output.shape) > OIP_DIMENSIONS_MAX:
            raise ConfigError(
                f"output {output.name} has {len(output.shape)} dimensions: at most "
                f"{OIP_DIMENSIONS_MAX} are possible")
        names = (output.name.encode(), output.datatype.encode())
        kept.append(names)
        native.all[i].name = PyBytes_AS_STRING(names[0])
        native.all[i].datatype = PyBytes_AS_STRING(names[1])
        native.all[i].dtype = _dtype(output.dtype)
        native.all[i].dimensions = len(output.shape)
        for axis, length in enumerate(output.shape):
            native.all[i].shape[axis] = length
        native.all[i].bytes = output.output_bytes
        native.bytes += output.output_bytes
        native.has_strings |= output.dtype == "BYTES"
    return 0


cdef int _fill_sizes(request_kind *native, size_t output_bytes, plan) except -1:
    native.output_bytes = output_bytes
    native.output_bytes_max = max(output_bytes, plan.open_bytes)
    native.text_bytes = plan.text_bytes
    return 0


cdef int _fill_http(request_kind *native, plan, list kept) except -1:
    """`kept`: as above."""
    kept.append(plan.json)
    native.http.json = PyBytes_AS_STRING(plan.json)
    native.http.json_bytes = len(plan.json)
    native.http.json_bytes_max = 0 if plan.json else plan.open_bytes
    _fill_outputs(&native.http.outputs, plan.outputs, kept)
    native.http.outputs.in_memory = plan.in_memory
    return _fill_sizes(native, native.http.outputs.bytes, plan)


cdef dict _BODY_RULES = {
    "any": HTTP_BODY_ANY, "same-size": HTTP_BODY_SAME_SIZE, "json": HTTP_BODY_JSON,
}


cdef int _fill_any_http(request_kind *native, plan) except -1:
    for status in plan.statuses:
        if not 0 <= status < HTTP_STATUSES_MAX:
            raise InternalError(f"status {status}: from 0 to {HTTP_STATUSES_MAX - 1} are possible")
        native.http.successes[status // 64] |= <uint64_t>1 << (status % 64)
    native.http.body_rule = _BODY_RULES[plan.reply]
    native.http.body_bytes = plan.body_bytes
    native.http.json_bytes_max = plan.body_bytes_max
    native.text_bytes = plan.text_bytes
    return 0


cdef dict _STREAM_ENDS = {
    "usual": STREAM_END_USUAL, "done": STREAM_END_DONE, "finish": STREAM_END_FINISH,
    "http": STREAM_END_HTTP,
}


cdef int _fill_tokens(request_kind *native, plan) except -1:
    native.tokens.end = _STREAM_ENDS[plan.stream_end]
    native.tokens.first_token_timeout_ns = plan.first_token_timeout_ns
    native.tokens.token_timeout_ns = plan.token_timeout_ns
    native.tokens.min_tokens = plan.min_tokens
    native.tokens.limits.first_token_ns = plan.first_token_ns
    native.tokens.limits.first_answer_ns = plan.first_answer_ns
    native.tokens.limits.token_ns = plan.token_ns
    native.tokens.limits.latency_ns = plan.latency_ns
    native.text_bytes = plan.text_bytes
    return 0


cdef int _fill_grpc(request_kind *native, plan, list kept) except -1:
    """`kept`: as above."""
    _fill_outputs(&native.grpc, plan.outputs, kept)
    native.grpc.in_memory = plan.in_memory
    native.id_at = plan.id_at
    return _fill_sizes(native, native.grpc.bytes, plan)


cdef const protocol *_fill_plan(request_kind *native, plan, list kept) except NULL:
    """Return the protocol, by the type of the plan. `kept`: as above."""
    if isinstance(plan, coretypes.HttpPlan):
        _fill_http(native, plan, kept)
        return &http_protocol
    if isinstance(plan, coretypes.AnyHttpPlan):
        _fill_any_http(native, plan)
        return &http_any_protocol
    if isinstance(plan, coretypes.TokenPlan):
        _fill_tokens(native, plan)
        return &tokenstream_protocol
    if isinstance(plan, coretypes.GrpcPlan):
        _fill_grpc(native, plan, kept)
        return &grpc_stream_protocol if plan.id_at else &grpc_protocol
    _fill_resp(native, plan)
    return &resp_protocol


cdef _what_is_wrong(const replycheck *check):
    return None if check.kind == FAILURE_NONE else _text(check.message)


def judge_http(plan, bytes reply):
    cdef request_kind native
    cdef replycheck check
    kept = []
    memset(&native, 0, sizeof(native))
    cdef const protocol *of = _fill_plan(&native, plan, kept)
    check.expected = &native
    replycheck_start(&check, NULL)
    http_judge(of, &check, PyBytes_AS_STRING(reply), len(reply))
    return _what_is_wrong(&check)


def judge_grpc(plan, bytes message, bytearray output=None):
    cdef request_kind native
    cdef replycheck check
    cdef char *to = NULL
    kept = []
    memset(&native, 0, sizeof(native))
    _fill_grpc(&native, plan, kept)
    if output is not None:
        output.extend(bytes(native.output_bytes_max - len(output)))
        to = PyByteArray_AS_STRING(output)
    check.expected = &native
    replycheck_start(&check, to)
    oipmessage_judge(&check, PyBytes_AS_STRING(message), len(message))
    return _what_is_wrong(&check)


cdef class _NativeKinds:
    """Kinds with the memory that they point to."""

    cdef request_kind *kinds
    cdef uint32_t count
    cdef uint32_t workers
    cdef const protocol *protocol
    cdef size_t output_bytes_max
    cdef list _kept

    def __cinit__(self, wanted):
        if not 1 <= len(wanted) <= KINDS_MAX:
            raise InternalError(f"{len(wanted)} kinds of request: 1 to {KINDS_MAX} are possible")
        self.kinds = <request_kind *>calloc(len(wanted), sizeof(request_kind))
        if self.kinds is NULL:
            raise MemoryError
        self.count = len(wanted)
        self.workers = len(wanted[0].requests)
        self._kept = [wanted]
        for i, kind in enumerate(wanted):
            self._fill(&self.kinds[i], kind)

    def __dealloc__(self):
        for i in range(self.count if self.kinds is not NULL else 0):
            free(<void *>self.kinds[i].texts)
            free(<void *>self.kinds[i].written)
        free(self.kinds)

    cdef int _fill(self, request_kind *native, kind) except -1:
        cdef Tensors tensors
        cdef const protocol *protocol
        if not 1 <= len(kind.inputs) <= KIND_INPUTS_MAX:
            raise ConfigError(
                f"{len(kind.inputs)} inputs of a model: 1 to {KIND_INPUTS_MAX} are possible")
        for i, tensors in enumerate(kind.inputs):
            native.inputs[i] = &tensors._map
        native.input_count = len(kind.inputs)
        native.batch = kind.batch
        native.first_tensor = kind.first_tensor
        protocol = _fill_plan(native, kind.plan, self._kept)
        if self.protocol is not NULL and protocol is not self.protocol:
            raise InternalError("kinds of request for two protocols in one run")
        self.protocol = protocol
        self.output_bytes_max = max(self.output_bytes_max, native.output_bytes_max)
        native.weight = kind.weight
        native.tolerance = kind.tolerance
        if kind.references is not None:
            native.references = PyBytes_AS_STRING(self._checked_references(native, kind))
        if kind.written is not None:
            self._fill_written(native, kind.written)
        return self._fill_texts(native, kind)

    cdef int _fill_written(self, request_kind *native, wanted) except -1:
        cdef const char **written
        cdef const unsigned char[::1] memory
        if len(wanted) != self.workers or min(map(len, wanted)) < native.output_bytes_max:
            raise InternalError(f"memory for outputs of {len(wanted)} workers: {self.workers} need it")
        written = <const char **>calloc(len(wanted), sizeof(char *))
        if written is NULL:
            raise MemoryError
        native.written = <const char *const *>written
        for i, memory in enumerate(wanted):
            written[i] = <const char *>&memory[0]
        self._kept.append(wanted)
        return 0

    cdef int _fill_texts(self, request_kind *native, kind) except -1:
        cdef request_text *texts
        each = len(kind.inputs) + 1
        flat = [bytes(text) for worker in kind.requests for text in worker]
        if len(kind.requests) != self.workers or len(flat) != self.workers * each:
            raise InternalError(f"{len(flat)} texts: {self.workers} workers need {each} each")
        texts = <request_text *>calloc(len(flat), sizeof(request_text))
        if texts is NULL:
            raise MemoryError
        native.texts = texts
        for i, text in enumerate(flat):
            texts[i].bytes = PyBytes_AS_STRING(text)
            texts[i].count = len(text)
            if self.protocol is &grpc_protocol and i % each == 0:
                if not http2_head_bytes(texts[i].bytes, texts[i].count):
                    raise ConfigError(
                        "the header fields of a request are malformed, or more than "
                        f"{HTTP2_FIELDS_MAX} of them or {HTTP2_HEAD_BYTES_MAX} bytes")
                if native.id_at and (
                    http2_head_bytes(texts[i].bytes, texts[i].count) + native.id_at + GRPC_ID_BYTES
                    > texts[i].count
                ):
                    raise InternalError(f"an id at byte {native.id_at}: the text is shorter")
        self._kept.append(flat)
        return 0

    cdef bytes _checked_references(self, request_kind *native, kind):
        cdef Py_ssize_t wanted = len(kind.inputs[0]) * (native.output_bytes // native.batch)
        if native.output_bytes % (4 * native.batch) or len(kind.references) != wanted:
            raise InternalError(f"{len(kind.references)} bytes of references: {wanted} are needed")
        return kind.references


# ---- Servers ----


cdef class Tls:
    """The settings that TLS connections share; see native/tls.h."""

    cdef tls *_tls

    def __cinit__(
        self, *, ca_file, ca_folder, certificate, key, str server_name, bint insecure,
        bint http2=False,
    ):
        cdef tls_config config
        cdef errstr_t errstr
        memset(&config, 0, sizeof(config))
        kept = [
            None if path is None else os.fsencode(path)
            for path in (ca_file, ca_folder, certificate, key)
        ]
        name = server_name.encode()
        if kept[0] is not None:
            config.ca_file = kept[0]
        if kept[1] is not None:
            config.ca_folder = kept[1]
        if kept[2] is not None:
            config.certificate = kept[2]
        if kept[3] is not None:
            config.key = kept[3]
        config.server_name = name
        config.insecure = insecure
        config.http2 = http2
        with nogil:
            self._tls = tls_create(&config, errstr)
        if self._tls is NULL:
            raise ConfigError(f"--tls: {_text(errstr)}")

    def __dealloc__(self):
        if self._tls is not NULL:
            tls_free(self._tls)


cdef int _fill_endpoint(endpoint *native, wanted, list kept) except -1:
    """Append to `kept` what the native side reads and has to be kept alive."""
    cdef Tls tls = wanted.tls
    host = wanted.host.encode()
    socket = os.fsencode(wanted.socket) if wanted.socket else None
    kept.append((host, socket, tls))
    native.host = PyBytes_AS_STRING(host)
    native.port = wanted.port
    if socket is not None:
        native.socket = PyBytes_AS_STRING(socket)
    if tls is not None:
        native.tls = tls._tls
    native.closes_each = wanted.closes_each
    return 0


cdef greeting *_greetings(wanted, list kept) except? NULL:
    """Return one for each server, which the caller frees; NULL if all are empty. `kept`: as above."""
    cdef greeting *greetings
    if not any(wanted):
        return NULL
    greetings = <greeting *>calloc(len(wanted), sizeof(greeting))
    if greetings is NULL:
        raise MemoryError
    for i, commands in enumerate(wanted):
        text = b"".join(commands)
        kept.append(text)
        greetings[i].bytes = PyBytes_AS_STRING(text)
        greetings[i].count = len(text)
        greetings[i].replies = len(commands)
    return greetings


cdef class _NativeServers:
    """Servers, and the cluster whose shards they are, with the memory that they point to."""

    cdef endpoint *endpoints
    cdef greeting *greetings
    cdef cluster *cluster
    cdef uint32_t count
    cdef cluster _cluster
    cdef cluster_node *_nodes
    cdef greeting *_asking_greetings
    cdef _NativeKinds _asking_kinds
    cdef list _kept

    def __cinit__(self, wanted, cluster):
        if not wanted:
            raise InternalError("a load generator needs a server")
        self._kept = []
        self.count = len(wanted)
        self.endpoints = <endpoint *>calloc(self.count, sizeof(endpoint))
        if self.endpoints is NULL:
            raise MemoryError
        for i, one in enumerate(wanted):
            _fill_endpoint(&self.endpoints[i], one, self._kept)
        self.greetings = _greetings([one.greeting for one in wanted], self._kept)
        if cluster is not None:
            self._fill_cluster(cluster)

    cdef int _fill_cluster(self, wanted) except -1:
        self._nodes = <cluster_node *>calloc(len(wanted.nodes), sizeof(cluster_node))
        if self._nodes is NULL:
            raise MemoryError
        for i, (name, one) in enumerate(wanted.nodes):
            encoded = name.encode()
            self._kept.append(encoded)
            self._nodes[i].name = PyBytes_AS_STRING(encoded)
            _fill_endpoint(&self._nodes[i].endpoint, one, self._kept)
        self._asking_kinds = _NativeKinds(list(wanted.asking_kinds))
        self._cluster.asking_kinds = self._asking_kinds.kinds
        self._asking_greetings = _greetings(wanted.asking_greetings, self._kept)
        self._cluster.nodes = self._nodes
        self._cluster.node_count = len(wanted.nodes)
        self._cluster.asking_greetings = self._asking_greetings
        self.cluster = &self._cluster
        return 0

    def __dealloc__(self):
        free(self.endpoints)
        free(self.greetings)
        free(self._nodes)
        free(self._asking_greetings)


# ---- Calls before and after a run ----


GRPC_STATUSES = _names(grpcstatus_names, GRPC_STATUSES_COUNT)


cdef class GrpcChannel:
    """Calls of gRPC; see native/grpccall.h for what happens inside."""

    cdef grpccall *_call
    cdef endpoint _endpoint
    cdef bint _is_busy
    cdef list _kept

    def __cinit__(self, wanted, double timeout_s):
        self._kept = []
        _fill_endpoint(&self._endpoint, wanted, self._kept)
        self._connect(_deadline_ns(timeout_s))

    def __dealloc__(self):
        self._close()

    def close(self):
        """Close the connection."""
        self._close()

    cdef void _close(self):
        if self._call is not NULL:
            grpccall_close(self._call)
        self._call = NULL

    cdef int _connect(self, int64_t until_ns) except -1:
        cdef errstr_t errstr
        self._call = grpccall_open(&self._endpoint, errstr)
        if self._call is NULL:
            raise ServerError(_text(errstr))
        return self._complete(until_ns, "no connection")

    cdef int _complete(self, int64_t until_ns, str missing) except -1:
        """Connect, or complete a call; after an error the channel is closed."""
        cdef grpccall *call = self._call
        cdef io_status status = IO_AGAIN
        try:
            while status == IO_AGAIN:
                if monotonic_ns() >= until_ns:
                    raise ServerError(f"{missing} within the time allowed")
                with nogil:
                    status = grpccall_go_on(call, SIGNALS_EVERY_NS)
                PyErr_CheckSignals()
            if status == IO_FAILED:
                raise ServerError(_text(grpccall_error(call)))
        except BaseException:
            self._close()
            raise
        return 0

    def call(
        self, bytes fields, bytes message, double timeout_s, size_t most_bytes,
        bint has_several=False,
    ):
        cdef int64_t until_ns = _deadline_ns(timeout_s)
        if self._is_busy:
            raise InternalError("a channel of gRPC has one call at a time")
        self._is_busy = True
        try:
            self._call_once(fields, message, until_ns, most_bytes, has_several)
            if grpccall_answer(self._call).is_refused:
                self._close()
                self._call_once(fields, message, until_ns, most_bytes, has_several)
            if grpccall_answer(self._call).is_refused:
                raise ServerError("REFUSED_STREAM, also when sent again")
            return _reply(grpccall_answer(self._call))
        finally:
            self._is_busy = False

    cdef int _call_once(
        self, bytes fields, bytes message, int64_t until_ns, size_t most_bytes, bint has_several
    ) except -1:
        if self._call is not NULL and grpccall_is_over(self._call):
            self._close()
        if self._call is NULL:
            self._connect(until_ns)
        if grpccall_begin(
            self._call, PyBytes_AS_STRING(fields), len(fields), PyBytes_AS_STRING(message),
            len(message), most_bytes, has_several,
        ) != IO_DONE:
            raise InternalError(_text(grpccall_error(self._call)))
        return self._complete(until_ns, "no answer")


cdef int64_t _deadline_ns(double timeout_s):
    return monotonic_ns() + <int64_t>(timeout_s * NS_PER_S)


cdef _reply(const grpc_answer *answer):
    return coretypes.GrpcReply(
        status=None if answer.status == GRPC_NO_STATUS else answer.status,
        words=_text(answer.words),
        http_status=answer.http_status,
        message=answer.message[:answer.message_bytes],
    )


# ---- The load generator ----


cdef class LoadGenerator:
    """Workers over servers; see native/loadgen.h for what happens inside."""

    cdef loadgen *_loadgen
    cdef _NativeKinds _kinds
    cdef _NativeSchedule _schedule
    cdef loadgen_snapshot *_snapshot
    cdef _NativeServers _servers
    cdef uint32_t _threads

    def __cinit__(
        self,
        *,
        kinds,
        endpoints,
        uint32_t threads,
        uint64_t burn_in_requests,
        uint64_t max_requests,
        int64_t duration_ns,
        int64_t reply_timeout_ns,
        int64_t connect_timeout_ns,
        bint stop_on_failure,
        int64_t reconnect_for_ns=0,
        bint stop_on_disconnect=False,
        cluster=None,
        schedule=None,
        uint32_t pipeline=1,
        uint64_t mix_seed=0,
        int64_t max_lag_ns=0,
        bint shed_late=False,
        int64_t burn_in_ns=0,
        share=None,
        int64_t measured_after_ns=0,
        uint64_t event_log_entries=0,
    ):
        cdef loadgen_config config
        cdef errstr_t errstr
        memset(&config, 0, sizeof(config))
        self._servers = _NativeServers(list(endpoints), cluster)
        self._kinds = _NativeKinds(list(kinds))
        self._schedule = _NativeSchedule(schedule, share)
        workers = self._kinds.workers
        least = min([kind.batch for kind in kinds] + [pipeline])
        if not 1 <= threads <= workers or least < 1:
            raise ConfigError(
                f"{workers} workers, {threads} threads, {pipeline} requests outstanding: each, and "
                "each batch, must be at least 1, and there are at most as many threads as workers"
            )
        config.protocol = self._kinds.protocol
        if pipeline > 1 and not config.protocol.may_pipeline:
            raise ConfigError(f"{pipeline} requests outstanding on a connection: HTTP allows one")
        if self._servers.count > workers:
            raise ConfigError(
                f"{workers} workers for {self._servers.count} servers: each needs at least one")
        config.servers = self._servers.endpoints
        config.server_count = self._servers.count
        config.greetings = self._servers.greetings
        config.cluster = self._servers.cluster
        config.kinds = self._kinds.kinds
        config.kind_count = self._kinds.count
        config.mix_seed = mix_seed
        config.workers = workers
        config.threads = threads
        config.pipeline = pipeline
        config.schedule = self._schedule.config
        config.step_count = self._schedule.step_count
        config.burn_in_requests = burn_in_requests
        config.burn_in_ns = burn_in_ns
        config.measured_after_ns = measured_after_ns
        config.max_requests = max_requests
        config.max_lag_ns = max_lag_ns
        config.shed_late = shed_late
        config.duration_ns = duration_ns
        config.reply_timeout_ns = reply_timeout_ns
        config.connect_timeout_ns = connect_timeout_ns
        config.reconnect_for_ns = reconnect_for_ns
        config.stop_on_disconnect = stop_on_disconnect
        config.stop_on_failure = stop_on_failure
        config.event_log_entries = event_log_entries
        self._threads = threads
        self._snapshot = <loadgen_snapshot *>calloc(1, sizeof(loadgen_snapshot))
        if self._snapshot is NULL:
            raise MemoryError
        with nogil:
            self._loadgen = loadgen_create(&config, errstr)
        if self._loadgen is NULL:
            first = endpoints[0]
            named = first.socket or f"{first.host}:{first.port}"
            raise ServerError(
                f"cannot connect {workers} workers to "
                f"{named if self._servers.count == 1 else f'{self._servers.count} servers'}: "
                f"{_text(errstr)}"
            )

    def __dealloc__(self):
        self._free()  # not close(), which a subclass in Python may override

    def close(self):
        """Stop and join the I/O threads, and free everything."""
        self._free()

    cdef void _free(self):
        cdef loadgen *g = self._loadgen
        self._loadgen = NULL
        if g is not NULL:
            with nogil:
                loadgen_free(g)
        free(self._snapshot)
        self._snapshot = NULL

    cdef loadgen *_open(self) except NULL:
        if self._loadgen is NULL:
            raise InternalError("the load generator is closed")
        return self._loadgen

    cdef bint _scheduled(self):
        return self._schedule.config.arrivals > ARRIVALS_CONVERSATIONS

    def start(self, int64_t at_ns=0):
        cdef errstr_t errstr
        if loadgen_start(self._open(), at_ns, errstr) < 0:
            raise InternalError(_text(errstr))

    def wait(self, double timeout_s):
        cdef loadgen *g = self._open()
        cdef int64_t timeout_ns = <int64_t>(timeout_s * NS_PER_S)
        cdef bint ended
        with nogil:
            ended = loadgen_wait(g, timeout_ns)
        return ended

    def measuring(self):
        return loadgen_measuring(self._open())

    def is_ending(self):
        return loadgen_is_ending(self._open())

    def begin_measuring(self):
        loadgen_begin_measuring(self._open())

    def stop(self):
        loadgen_stop(self._open())

    def snapshot(self):
        cdef loadgen *g = self._open()
        cdef loadgen_snapshot *s = self._snapshot
        with nogil:
            loadgen_read(g, s)
        measured = _figures(&s.counted.measured, self._scheduled())
        return coretypes.Snapshot(
            counters=_counters(_RUN_COUNTER_NAMES, <const uint64_t *>s.counted.counters.all),
            histograms=_histograms(_RUN_HISTOGRAM_NAMES, s.counted.histograms.all),
            measured=_add_tokens(measured, &s.tokens) if s.has_tokens else measured,
            steady_from_ns=s.steady_from_ns,
            steady_until_ns=s.steady_until_ns,
            burn_in=_figures(&s.counted.burn_in, self._scheduled()),
            started_ns=s.started_ns,
            began_ns=s.began_ns,
            measured_from_ns=s.measured_from_ns,
            last_completed_ns=s.last_completed_ns,
            cpu_ns=s.cpu_ns,
            busiest_thread=s.busiest_thread,
            longest_cpu_wait_ns=s.longest_cpu_wait_ns,
            least_worker_requests=s.least_worker_requests,
            most_worker_requests=s.most_worker_requests,
            cut_after_ns=s.cut_after_ns,
            cut_ns=s.cut_ns,
            lag_exceeded=bool(s.lag_exceeded),
        )

    def parts(self):
        cdef loadgen *g = self._open()
        cdef part *read = <part *>calloc(1, sizeof(part))
        if read is NULL:
            raise MemoryError
        found = []
        try:
            for place in range(loadgen_parts(g)):
                loadgen_read_part(g, place, read)
                counted = _figures(&read.figures, self._scheduled())
                if self._kinds.protocol is &tokenstream_protocol:
                    _add_tokens(counted, &read.tokens)
                found.append(coretypes.Part(
                    dimension=_DIMENSION_NAMES[<int>read.dimension],
                    number=read.number,
                    figures=counted,
                ))
        finally:
            free(read)
        return found

    def outages(self):
        cdef outage kept[OUTAGES_KEPT]
        cdef uint64_t count, total = 0
        found = []
        for server in range(self._servers.count):
            count = loadgen_read_outages(self._open(), server, kept)
            total += count
            for i in range(min(<int>count, <int>OUTAGES_KEPT)):
                found.append(coretypes.Outage(
                    server=server,
                    from_ns=kept[i].from_ns,
                    to_ns=kept[i].to_ns,
                    attempts=kept[i].attempts,
                ))
        return total, sorted(found, key=lambda one: one.from_ns)[:OUTAGES_KEPT]

    def event_log(self):
        import numpy as np

        cdef const event_log *log
        if not self.wait(0):
            raise InternalError("the event log of a run that is not over")
        found = []
        for thread in range(self._threads):
            log = loadgen_event_log(self._open(), thread)
            found.append(PyBytes_FromStringAndSize(
                <const char *>log.entries, log.count * sizeof(event_log_entry)))
        return np.frombuffer(b"".join(found), dtype=list(coretypes.EVENT_LOG_ENTRY))

    def tls(self):
        cdef const char *version
        cdef const char *cipher
        if not loadgen_tls(self._open(), &version, &cipher):
            return None
        return version.decode(), cipher.decode()

    def want_sample(self):
        loadgen_want_sample(self._open())

    def take_sample(self):
        cdef loadgen *g = self._open()
        cdef uint64_t tensor
        cdef uint32_t kind
        cdef size_t count
        output = PyBytes_FromStringAndSize(NULL, self._kinds.output_bytes_max)
        if not loadgen_take_sample(g, PyBytes_AS_STRING(output), &count, &kind, &tensor):
            return None
        return kind, tensor, output[:count]
