"""Servers of OpenAI's API by others: transformers serve, guidellm's mock, LiteLLM's proxy."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serverprocesses import HERE, answers, program, serving

from aibench_fast.server.base import free_port

LLAMA = "small-llama"
MOCK = "mock"
LIMITED = "limited"
LIMIT_A_MINUTE = 10
TTFT_MS, GAP_MS = 20, 5
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
PROXIED = f"""
model_list:
  - model_name: {MOCK}
    litellm_params:
      model: openai/mock
      api_key: none
      mock_response: Tell me about the lighthouse at the end of the pier.
  - model_name: {LIMITED}
    litellm_params:
      model: openai/mock
      api_key: none
      mock_response: Four.
      rpm: {LIMIT_A_MINUTE}
router_settings:
  enable_pre_call_checks: true
  num_retries: 0
  disable_cooldowns: true
"""


@contextmanager
def transformers(folder: Path) -> Iterator[str]:
    """`transformers serve` with continuous batching; the model is called LLAMA."""
    python, serve = program("tokens", "python"), program("tokens", "transformers")
    subprocess.run([python, HERE / "small_llama.py", folder / LLAMA], check=True)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        str(serve), "serve", LLAMA, "--host", "127.0.0.1", "--port", url.rpartition(":")[2],
        "--device", "cpu", "--continuous-batching", "--cb-num-blocks", "128", "--cb-block-size",
        "32", "--cb-max-batch-tokens", "256",
    ]  # fmt: skip
    with serving(command, folder, lambda: answers(f"{url}/health"), **OFFLINE):
        yield url


@contextmanager
def guidellm(folder: Path) -> Iterator[str]:
    """guidellm's mock, whose first token takes TTFT_MS and each further one GAP_MS."""
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        str(program("tokens", "guidellm")), "mock-server", "--host", "127.0.0.1", "--port",
        url.rpartition(":")[2], "--model", MOCK, "--ttft-ms", str(TTFT_MS), "--itl-ms",
        str(GAP_MS),
    ]  # fmt: skip
    with serving(command, folder, lambda: answers(f"{url}/health"), **OFFLINE):
        yield url


@contextmanager
def litellm(folder: Path) -> Iterator[str]:
    """LiteLLM's proxy of nothing: MOCK has an answer, LIMITED too, LIMIT_A_MINUTE times."""
    (folder / "proxied.yaml").write_text(PROXIED)
    url = f"http://127.0.0.1:{free_port()}"
    command = [
        str(program("litellm", "litellm")), "--config", "proxied.yaml", "--host", "127.0.0.1",
        "--port", url.rpartition(":")[2], "--telemetry", "False",
    ]  # fmt: skip
    variables = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    with serving(command, folder, lambda: answers(f"{url}/health/liveliness"), **variables):
        yield url
