"""The options that set a run's settings, for messages.

The package's messages name a setting as Python does, between backticks: `max_lag_s`. The command
line prints the option instead: --max-lag.
"""

import re

_SETTING = re.compile("`([a-z_]+)`")
_OTHERWISE = {
    "burn_in_until_steady": "--burn-in auto",
    "ca_file": "--cacert",
    "certificate": "--cert",
    "failures": "--fail",
    "folder": "--results-dir",
    "headers": "--header",
    "highest": "--to",
    "inputs": "--input",
    "lowest": "--from",
    "min_batch_timeout_ms": "--minbatchtimeout",
    "outputs": "--output",
    "password": "--password-file or --ask-password",
    "reference_file": "--verify",
    "reply_timeout_s": "--dial-read-timeout",
    "sample_responses": "--print-responses",
    "server_name": "--tls-server-name",
    "server_pid": "--embedded",
}
"""The options that are not called as their settings are."""


def with_options(message: str) -> str:
    """The message with options in place of settings."""
    return _SETTING.sub(lambda found: _option(found[1]), message)


def _option(setting: str) -> str:
    if setting in _OTHERWISE:
        return _OTHERWISE[setting]
    name = setting.removesuffix("_bytes").removesuffix("_s")
    return f"--{name.replace('_', '-')}"
