"""The gRPC port: any unary RPC of the APIs that the catalogue knows, over the same gateway and handlers as REST.

Importing this module costs the import of gRPC; messages of an API are imported with its first RPC.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# gRPC's own handlers of fork() now and then abort a child before it has become a server of the data plane; the
# variable is read when gRPC is imported
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import grpc
from google.protobuf import json_format, message_factory

from plantctl.sandbox.faults import CODE_OF
from plantctl.sandbox.gateway import Gateway, Reply
from plantctl.sandbox.transcode import Transcoder

THREADS = 32
"""Waiting calls and hanging faults hold one each."""
STATUS_TRAILER = "grpc-status-details-bin"


class GrpcServer:
    """Serves from `start` to `stop`."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._transcoder = Transcoder(gateway.catalog, gateway.world)
        self._pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="grpc")
        self._server = grpc.server(self._pool, handlers=[_AnyRpc(self)], options=[("grpc.so_reuseport", 0)])
        self.port = 0

    def start(self) -> int:
        """Listen on a free loopback port and give it."""
        self.port = int(self._server.add_insecure_port("127.0.0.1:0"))
        self._server.start()
        return self.port

    def stop(self) -> None:
        """End what is under way, and serve no more."""
        self._server.stop(grace=None).wait(5)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def serve(self, rpc: str, message: bytes, context: Any) -> bytes:
        """One RPC: the bytes of its answer, or an abort of the context, which raises."""
        headers = {key.lower(): value for key, value in context.invocation_metadata() if isinstance(value, str)}
        plain = self._transcoder.request(rpc, message, headers)
        if plain.refused is not None:
            reply = self._gateway.refuse(plain.request, plain.refused)
        else:
            reply = self._gateway.handle(plain.request)
        if reply.cut is not None:
            # a broken connection, as the client's library tells of it: no google.rpc.Status comes with it
            context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        if reply.status >= 300:
            _abort(context, reply)
        assert plain.answer is not None
        answer = message_factory.GetMessageClass(plain.answer)()
        json_format.ParseDict(json.loads(reply.body or b"{}"), answer, ignore_unknown_fields=True)
        return bytes(answer.SerializeToString())


class _AnyRpc(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Takes every RPC; bytes go in and out, because its types are found by its name."""

    def __init__(self, server: GrpcServer) -> None:
        self._server = server

    def service(self, handler_call_details: Any) -> Any:
        """The handler of one RPC."""
        rpc = str(handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(lambda message, context: self._server.serve(rpc, message, context))


def _abort(context: Any, reply: Reply) -> None:
    """The error as gRPC carries it: code, message, and all of google.rpc.Status in a trailer (AIP-193)."""
    from google.rpc import error_details_pb2, status_pb2

    assert error_details_pb2.DESCRIPTOR is not None  # registers what `details` holds
    try:
        error = dict(json.loads(reply.body)["error"])
    except (ValueError, KeyError, TypeError):
        error = {}
    word = str(error.get("status") or CODE_OF.get(reply.status, "UNKNOWN"))
    code = next((one for one in grpc.StatusCode if one.name == word), grpc.StatusCode.UNKNOWN)
    message = str(error.get("message", ""))
    details = list(error.get("details", []))
    if "retry-after" in reply.headers:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        details.append({"@type": kind, "retryDelay": f"{reply.headers['retry-after']}s"})
    status = json_format.ParseDict({"code": code.value[0], "message": message, "details": details}, status_pb2.Status())
    context.set_trailing_metadata(((STATUS_TRAILER, status.SerializeToString()),))
    context.abort(code, message)
