"""The Open Inference Protocol (V2) as Triton, KServe, MLServer and others speak it.

`http` and `grpc` are its two transports; all other modules serve both.
"""
