"""The embedded server: a Valkey process with a module that answers the AI.* commands."""

from aibench_fast.server.embedded import EmbeddedServer

__all__ = ["EmbeddedServer"]
