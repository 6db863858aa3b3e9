"""grpcio's servers are in the processes of tests, whose stderr is not theirs."""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
