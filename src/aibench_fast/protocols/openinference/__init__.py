"""The Open Inference Protocol (V2) over HTTP, as Triton, KServe, MLServer and others speak it."""
