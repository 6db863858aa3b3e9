"""The commands, each with its line of help. A command's module is imported only when it is used."""

COMMANDS = {
    "fetch": "Download a model or photographs, resume interrupted downloads, and check them.",
    "prepare": "Make a tensor file from photographs: scaled, cropped, float32 RGB.",
    "show": "Look at a tensor file: its figures, or its tensors as pictures.",
    "serve": "Run the embedded server, or a Triton, until it is interrupted.",
    "model": "Write a model file, or load a model into a server.",
    "run": "Send inference requests from many workers; report rates and latencies.",
    "sweep": "Run every combination of settings, and save each result under its settings' name.",
    "search": "Find the highest load that a server takes within a target.",
    "recover": "Turn the journal of a killed run into a result, up to its last reporting period.",
    "stats": "Show a server's own counters for a model.",
    "selfcheck": "Measure what this machine and this client can do at most; advise what to change.",
    "tables": "Print tables of throughput and latency by workers and batching.",
    "compare": "Compare two sets of results: ratios, confidence intervals, a verdict.",
    "report": "Show results as one HTML page that needs no network, or as pictures.",
    "export": "Export results for other programs: a CSV table, or OpenMetrics text.",
}
