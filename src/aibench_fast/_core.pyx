"""The native core as Python sees it: lifetimes, checks, codes to errors."""

from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

import os
from typing import NamedTuple

from aibench_fast.errors import ConfigError, InternalError, ServerError

cdef int64_t NS_PER_S = 1_000_000_000

# In the order of `enum failure_kind`; the names stand in results, so they never change.
FAILURE_NAMES = (
    "error_reply",
    "server_timeout",
    "not_run",
    "wrong_reply",
    "wrong_size",
    "wrong_output",
    "protocol",
    "tensor_file",
    "connection_lost",
    "client_timeout",
    "connect",
)
assert len(FAILURE_NAMES) == FAILURE_KINDS

HIREDIS_VERSION = connection_library_version().decode()


class LatencyCounts(NamedTuple):
    counts: bytes
    min_us: int
    max_us: int
    saturated: int


class Snapshot(NamedTuple):
    requests: int
    successes: int
    abandoned: int
    late_starts: int
    started_ns: int
    measured_from_ns: int
    last_completed_ns: int
    cpu_ns: int
    busiest_thread: float
    least_worker_requests: int
    most_worker_requests: int
    burn_in_failures: dict
    failures: dict
    latencies: LatencyCounts
    service_latencies: object  # LatencyCounts or None


cdef dict _failures(failures *f):
    return {
        FAILURE_NAMES[kind]: (
            f.kinds[kind].count, f.kinds[kind].first_message.decode("utf-8", "replace")
        )
        for kind in range(FAILURE_KINDS)
        if f.kinds[kind].count
    }


cdef _latency_counts(const histogram *h):
    return LatencyCounts(
        PyBytes_FromStringAndSize(<const char *>h.counts, sizeof(h.counts)),
        h.min_us, h.max_us, h.saturated,
    )


cdef class Histogram:
    """The native latency histogram by itself, as each I/O thread fills one."""

    cdef histogram *_histogram

    def __cinit__(self):
        self._histogram = <histogram *>calloc(1, sizeof(histogram))
        if self._histogram is NULL:
            raise MemoryError
        histogram_reset(self._histogram)

    def __dealloc__(self):
        free(self._histogram)

    def record(self, int64_t latency_ns):
        histogram_record(self._histogram, latency_ns)

    def counts(self):
        return _latency_counts(self._histogram)


_DTYPES = {
    "FLOAT": TENSOR_FLOAT,
    "DOUBLE": TENSOR_DOUBLE,
    "INT8": TENSOR_INT8,
    "INT16": TENSOR_INT16,
    "INT32": TENSOR_INT32,
    "INT64": TENSOR_INT64,
    "UINT8": TENSOR_UINT8,
    "UINT16": TENSOR_UINT16,
    "BOOL": TENSOR_BOOL,
}


cdef class Tensors:
    """Tensors in memory that requests are sent from; see native/tensormap.h."""

    cdef tensormap _map

    def __init__(self):
        raise TypeError("tensors are opened or generated")

    def __dealloc__(self):
        tensormap_close(&self._map)

    @staticmethod
    def open(file, size_t tensor_bytes):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        cdef errstr_t errstr
        path = os.fsencode(file)
        if tensormap_open(&tensors._map, path, tensor_bytes, errstr) < 0:
            raise ConfigError(errstr.decode("utf-8", "replace"))
        return tensors

    @staticmethod
    def generate(uint64_t tensor_count, size_t tensor_bytes, str dtype, uint64_t seed):
        cdef Tensors tensors = Tensors.__new__(Tensors)
        cdef errstr_t errstr
        cdef tensor_dtype native_dtype = _DTYPES[dtype]
        cdef int status
        with nogil:
            status = tensormap_generate(
                &tensors._map, tensor_count, tensor_bytes, native_dtype, seed, errstr)
        if status < 0:
            raise ConfigError(errstr.decode("utf-8", "replace"))
        return tensors

    def __len__(self):
        return self._map.tensor_count

    def read(self, uint64_t first, uint64_t count):
        cdef errstr_t errstr
        cdef int status
        if first >= self._map.tensor_count:
            raise IndexError(f"tensor {first} of {self._map.tensor_count}")
        data = PyBytes_FromStringAndSize(NULL, count * self._map.tensor_bytes)
        cdef char *out = PyBytes_AS_STRING(data)
        with nogil:
            status = tensormap_read(&self._map, first, count, out, errstr)
        if status < 0:
            raise ConfigError(errstr.decode("utf-8", "replace"))
        return data


cdef class LoadGenerator:
    """Workers over a server; see native/loadgen.h for what happens inside."""

    cdef loadgen *_loadgen
    cdef Tensors _tensors
    cdef request_text *_texts
    cdef loadgen_snapshot *_snapshot
    cdef size_t _output_bytes
    cdef bint _limited
    cdef object _borrowed  # the objects whose memory the native side reads

    def __cinit__(
        self,
        *,
        Tensors tensors not None,
        uint64_t first_tensor,
        str host,
        int port,
        socket,
        greeting,
        requests,
        expected_replies,
        bint replies_in_array,
        uint32_t threads,
        uint64_t batch,
        uint64_t burn_in_requests,
        uint64_t max_requests,
        double requests_per_s,
        int64_t duration_ns,
        int64_t reply_timeout_ns,
        int64_t connect_timeout_ns,
        bint stop_on_failure,
        uint32_t pipeline=1,
        references=None,
        float tolerance=0,
    ):
        cdef loadgen_config config
        cdef errstr_t errstr
        host_name = host.encode()
        socket_path = os.fsencode(socket) if socket else None
        texts = [(bytes(prefix), bytes(suffix)) for prefix, suffix in requests]
        greeting_text = bytes(greeting) if greeting else None
        self._borrowed = (host_name, socket_path, greeting_text, texts, references)
        if not 1 <= threads <= len(texts) or min(batch, pipeline) < 1:
            raise ConfigError(
                f"{len(texts)} workers, {threads} threads, batches of {batch}, {pipeline} "
                "outstanding: each has to be at least 1, and threads at most workers"
            )
        self._tensors = tensors
        config.plan = self._make_plan(expected_replies, replies_in_array)
        config.references = NULL
        if references is not None:
            self._check_references(references, batch)
            config.references = PyBytes_AS_STRING(references)

        config.endpoint.host = host_name
        config.endpoint.port = port
        config.endpoint.socket = <const char *>NULL
        if socket_path is not None:
            config.endpoint.socket = socket_path
        config.greeting = <const char *>NULL
        config.greeting_bytes = 0
        if greeting_text is not None:
            config.greeting = greeting_text
            config.greeting_bytes = len(greeting_text)
        config.tensors = &tensors._map
        config.tolerance = tolerance
        config.texts = self._make_texts(texts)
        config.output_bytes = self._output_bytes
        config.workers = len(texts)
        config.threads = threads
        config.pipeline = pipeline
        config.batch = batch
        config.first_tensor = first_tensor
        config.burn_in_requests = burn_in_requests
        config.max_requests = max_requests
        config.requests_per_s = requests_per_s
        self._limited = requests_per_s > 0
        config.duration_ns = duration_ns
        config.reply_timeout_ns = reply_timeout_ns
        config.connect_timeout_ns = connect_timeout_ns
        config.stop_on_failure = stop_on_failure
        self._snapshot = <loadgen_snapshot *>calloc(1, sizeof(loadgen_snapshot))
        if self._snapshot is NULL:
            raise MemoryError
        with nogil:
            self._loadgen = loadgen_create(&config, errstr)
        if self._loadgen is NULL:
            raise ServerError(
                f"cannot connect {len(texts)} workers to {socket or f'{host}:{port}'}: "
                f"{errstr.decode('utf-8', 'replace')}"
            )

    def __dealloc__(self):
        self.close()

    def close(self):
        """Stop and join the I/O threads, and give back what they used."""
        cdef loadgen *g = self._loadgen
        self._loadgen = NULL
        if g is not NULL:
            with nogil:
                loadgen_free(g)
        free(self._texts)
        self._texts = NULL
        free(self._snapshot)
        self._snapshot = NULL

    cdef request_text *_make_texts(self, list texts) except NULL:
        self._texts = <request_text *>calloc(len(texts), sizeof(request_text))
        if self._texts is NULL:
            raise MemoryError
        for i, (prefix, suffix) in enumerate(texts):
            self._texts[i].prefix = PyBytes_AS_STRING(prefix)
            self._texts[i].prefix_bytes = len(prefix)
            self._texts[i].suffix = PyBytes_AS_STRING(suffix)
            self._texts[i].suffix_bytes = len(suffix)
        return self._texts

    cdef reply_plan _make_plan(self, expected_replies, bint in_array) except *:
        cdef reply_plan plan
        if not 1 <= len(expected_replies) <= REPLY_PLAN_MAX:
            raise InternalError(f"{len(expected_replies)} expected replies, at most 4 are kept")
        plan.in_array = in_array
        plan.count = len(expected_replies)
        for i, output_bytes in enumerate(expected_replies):
            if output_bytes is None:
                plan.expected[i].type = REPLY_STATUS
                plan.expected[i].bytes = 0
            else:
                plan.expected[i].type = REPLY_BULK
                plan.expected[i].bytes = output_bytes
                self._output_bytes = output_bytes
        return plan

    cdef int _check_references(self, bytes references, uint64_t batch) except -1:
        cdef Py_ssize_t wanted = self._tensors._map.tensor_count * (self._output_bytes // batch)
        if self._output_bytes % (4 * batch) or len(references) != wanted:
            raise InternalError(f"{len(references)} bytes of references, {wanted} are needed")
        return 0

    cdef loadgen *_open(self) except NULL:
        if self._loadgen is NULL:
            raise InternalError("the load generator is closed")
        return self._loadgen

    def start(self):
        cdef errstr_t errstr
        if loadgen_start(self._open(), errstr) < 0:
            raise InternalError(errstr.decode("utf-8", "replace"))

    def wait(self, double timeout_s):
        cdef loadgen *g = self._open()
        cdef int64_t timeout_ns = <int64_t>(timeout_s * NS_PER_S)
        cdef bint ended
        with nogil:
            ended = loadgen_wait(g, timeout_ns)
        return ended

    def measuring(self):
        return loadgen_measuring(self._open())

    def stop(self):
        loadgen_stop(self._open())

    def snapshot(self):
        cdef loadgen *g = self._open()
        cdef loadgen_snapshot *s = self._snapshot
        with nogil:
            loadgen_read(g, s)
        return Snapshot(
            s.requests, s.successes, s.abandoned, s.late_starts, s.started_ns, s.measured_from_ns,
            s.last_completed_ns, s.cpu_ns, s.busiest_thread, s.least_worker_requests,
            s.most_worker_requests,
            _failures(&s.burn_in_failures), _failures(&s.failures), _latency_counts(&s.latencies),
            _latency_counts(&s.service_latencies) if self._limited else None,
        )

    def want_sample(self):
        loadgen_want_sample(self._open())

    def take_sample(self):
        cdef loadgen *g = self._open()
        cdef uint64_t tensor
        output = PyBytes_FromStringAndSize(NULL, self._output_bytes)
        if not loadgen_take_sample(g, PyBytes_AS_STRING(output), &tensor):
            return None
        return tensor, output
