"""What tritonclient costs: Triton's own Python client, one request after another.

usage: python -m benchmarks.perf.tritonclient_loop AUTHORITY REQUESTS MODEL INPUT OUTPUT TENSOR_FILE
Prints: requests seconds cpu_seconds
"""

import sys
import time

import numpy as np
import tritonclient.http as tritonclient

SHAPE = (1, 224, 224, 3)
TENSORS = 20


def main(
    authority: str, requests: int, model: str, input_name: str, output_name: str, tensor_file: str
) -> None:
    """Send so many requests."""
    data = np.fromfile(tensor_file, np.float32, count=TENSORS * np.prod(SHAPE)).reshape(-1, *SHAPE)
    wanted = [tritonclient.InferRequestedOutput(output_name, binary_data=True)]
    with tritonclient.InferenceServerClient(authority) as client:
        client.is_server_live()  # connected
        start, cpu = time.monotonic(), time.process_time()
        for number in range(requests):
            asked = tritonclient.InferInput(input_name, SHAPE, "FP32")
            asked.set_data_from_numpy(data[number % len(data)])
            client.infer(model, [asked], outputs=wanted).as_numpy(output_name)
        print(requests, time.monotonic() - start, time.process_time() - cpu)


if __name__ == "__main__":
    _, authority, requests, *names = sys.argv
    main(authority, int(requests), *names)
