"""INFO MODULES: what the server says of itself."""

import re

import numpy as np
import redis

import aibench_fast

CPU_S = re.compile(r"\d+\.\d{6}")


def test_the_server_says_that_it_is_embedded(client: redis.Redis) -> None:
    info = client.info("modules")
    assert info["ai_embedded"] == "aibench-fast"
    assert info["ai_embedded_version"] == aibench_fast.__version__
    assert info["ai_RedisAI_version"] == "1.2.7"


def test_the_fields_of_redisai_are_there(client: redis.Redis) -> None:
    text = raw_info(client, "modules")
    sections = re.findall(r"^# (ai_\w+)", text, re.MULTILINE)
    assert sections == [
        "ai_versions",
        "ai_git",
        "ai_load_time_configs",
        "ai_backends_info",
        "ai_cpu",
        "ai_memory",
        "ai_batches",
    ]
    fields = dict(re.findall(r"^(ai_[^:]+):(.*)\r$", text, re.MULTILINE))
    for name in ("git_sha", "threads_per_queue", "inter_op_parallelism", "intra_op_parallelism"):
        assert fields[f"ai_{name}"]
    for name in (
        "self_used_cpu_sys",
        "self_used_cpu_user",
        "children_used_cpu_sys",
        "children_used_cpu_user",
        "main_thread_used_cpu_sys",
        "main_thread_used_cpu_user",
        "queue_CPU_bthread_#1_used_cpu_total",
        "queue_CPU_bthread_n1_used_cpu_total",
    ):
        assert CPU_S.fullmatch(fields[f"ai_{name}"]), name


def raw_info(client: redis.Redis, section: str) -> str:
    """The text that redis-py would take apart."""
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command("INFO", section)
        return bytes(connection.read_response()).decode()
    finally:
        client.connection_pool.release(connection)


def test_cpu_time_grows_with_inferences(client: redis.Redis, slow_model: bytes) -> None:
    client.execute_command("AI.MODELSET", "m", "ONNX", "CPU", "BLOB", slow_model)
    client.execute_command("AI.TENSORSET", "x", "FLOAT", 1, 1, "VALUES", 1)
    before = client.info("modules")
    client.execute_command("AI.MODELRUN", "m", "INPUTS", "x", "OUTPUTS", "y")
    after = client.info("modules")
    assert after["ai_self_used_cpu_user"] > before["ai_self_used_cpu_user"]
    thread = "ai_queue_CPU_bthread_n1_used_cpu_total"
    assert after[thread] > before[thread]


def test_models_and_their_blobs_are_counted(client: redis.Redis, doubler: bytes) -> None:
    client.execute_command("AI.MODELSET", "a", "ONNX", "CPU", "BLOB", doubler)
    client.execute_command("AI.MODELSET", "b", "NULL", "CPU", "BLOB", b"12345")
    info = client.info("modules")
    assert info["ai_models"] == 2
    assert info["ai_model_blobs_bytes"] == len(doubler) + 5


def test_rows_and_executions_are_counted_for_each_model(client: redis.Redis) -> None:
    client.execute_command("AI.MODELSET", "n", "NULL", "CPU")
    blob = np.zeros((4, 2), np.float32).tobytes()
    client.execute_command("AI.TENSORSET", "x", "FLOAT", 4, 2, "BLOB", blob)
    for _ in range(3):
        client.execute_command("AI.MODELRUN", "n", "INPUTS", "x", "OUTPUTS", "y")
    assert client.info("modules")["ai_batch_n"] == {"executions": 3, "rows": 12}


def test_commandstats_has_the_commands(client: redis.Redis) -> None:
    client.execute_command("AI.TENSORSET", "x", "FLOAT", 1)
    client.execute_command("AI.TENSORGET", "x")
    counted = client.info("commandstats")
    assert counted["cmdstat_ai.tensorset"]["calls"] == 1
    assert counted["cmdstat_ai.tensorget"]["calls"] == 1
