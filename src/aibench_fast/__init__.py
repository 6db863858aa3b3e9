"""A benchmark client for model servers that speak RedisAI's commands."""

from importlib.metadata import version

__version__ = version("aibench-fast")
