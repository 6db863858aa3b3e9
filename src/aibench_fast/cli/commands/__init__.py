"""The commands and their help lines. The module of a command is imported when it is used."""

COMMANDS = {
    "fetch": "Download a model or photographs; resume interrupted downloads and check the files.",
    "prepare": "Convert photographs to a tensor file: scaled, cropped, float32 RGB.",
    "show": "Show a tensor file: figures, or tensors as pictures.",
    "serve": (
        "Run an embedded server (RedisAI, Triton or simulated tokens) until it is interrupted."
    ),
    "model": "Write a model file, or load a model into a server.",
    "run": "Send inference requests and report rates and latencies.",
    "sweep": "Run every combination of settings and save each result; compare several servers.",
    "search": "Find the highest load at which a server meets a target.",
    "recover": "Convert the journal of a killed run to a result, up to its last reporting period.",
    "stats": "Show a server's own statistics of a model.",
    "selfcheck": "Measure the limits of this machine and this client, and advise what to change.",
    "tables": "Print throughput and latency by workers and batching.",
    "compare": "Compare two sets of results: ratios, confidence intervals, a verdict.",
    "report": "Draw results as one HTML page that works offline, or as pictures.",
    "export": "Export results as a CSV table or OpenMetrics text.",
}
