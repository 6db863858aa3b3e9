"""The embedded server: a Valkey process with a module that answers the AI.* commands."""
