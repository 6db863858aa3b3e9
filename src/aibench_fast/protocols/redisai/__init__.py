"""RedisAI's commands: what a server is asked before and after a run, and a request's bytes."""
