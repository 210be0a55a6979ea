"""For every test: gRPC leaves fork() alone, also where a client library imports it before the sandbox does."""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")  # see plantctl/sandbox/grpc_server.py
