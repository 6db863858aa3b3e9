"""The cost of tritonclient: Triton's own Python client, one request after another.

usage: python -m benchmarks.perf.tritonclient_loop http|grpc AUTHORITY REQUESTS MODEL INPUT OUTPUT
       TENSOR_FILE
Prints: requests seconds cpu_seconds
"""

import importlib
import sys
import time

import numpy as np

SHAPE = (1, 224, 224, 3)
TENSORS = 20


def main(
    protocol: str,
    authority: str,
    requests: int,
    model: str,
    input_name: str,
    output_name: str,
    tensor_file: str,
) -> None:
    """Send so many requests."""
    tritonclient = importlib.import_module(f"tritonclient.{protocol}")
    data = np.fromfile(tensor_file, np.float32, count=TENSORS * np.prod(SHAPE)).reshape(-1, *SHAPE)
    wanted = [tritonclient.InferRequestedOutput(output_name)]
    with tritonclient.InferenceServerClient(authority) as client:
        client.is_server_live()  # connected
        start, cpu = time.monotonic(), time.process_time()
        for number in range(requests):
            asked = tritonclient.InferInput(input_name, SHAPE, "FP32")
            asked.set_data_from_numpy(data[number % len(data)])
            client.infer(model, [asked], outputs=wanted).as_numpy(output_name)
        print(requests, time.monotonic() - start, time.process_time() - cpu)


if __name__ == "__main__":
    _, protocol, authority, requests, *names = sys.argv
    main(protocol, authority, int(requests), *names)
