"""Bodies as Google's clients send them: JSON, gzip, media, multipart, and resumable uploads in several requests."""

from __future__ import annotations

import json
import re
import secrets
import threading
import zlib
from dataclasses import dataclass, field
from typing import Any

from plantctl.sandbox import errors

CHUNKS = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
MOST_SESSIONS = 64


@dataclass
class Upload:
    """What an upload brought: metadata, bytes and their type."""

    metadata: dict[str, Any]
    media: bytes
    media_type: str


@dataclass
class Session:
    """A resumable upload under way."""

    path: str
    metadata: dict[str, Any]
    media_type: str
    data: bytearray = field(default_factory=bytearray)


class Sessions:
    """Resumable uploads by upload id. In memory: a restart loses them, and the client starts anew (404)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Session] = {}

    def begin(self, path: str, metadata: dict[str, Any], media_type: str) -> str:
        """A new upload id."""
        upload_id = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._open) >= MOST_SESSIONS:
                self._open.pop(next(iter(self._open)))
            self._open[upload_id] = Session(path, metadata, media_type)
        return upload_id

    def take(self, upload_id: str, data: bytes, content_range: str) -> Upload | int:
        """Add a piece. The whole upload when it is complete, else the number of bytes held so far (answer 308)."""
        with self._lock:
            session = self._open.get(upload_id)
            if session is None:
                raise errors.not_found("Upload session not found or expired.")
            found = CHUNKS.fullmatch(content_range.strip()) if content_range else None
            if content_range and not found:
                raise errors.invalid(f"Failed to parse Content-Range header: {content_range}")
            total = found.group(3) if found else str(len(data))
            if found and found.group(1) is not None:
                start = int(found.group(1))
                if start > len(session.data):
                    return len(session.data)  # a piece is missing: the client asks again from here
                del session.data[start:]
                session.data.extend(data)
            elif not found:
                session.data[:] = data
            if total == "*" or len(session.data) < int(total):
                return len(session.data)
            del self._open[upload_id]
            return Upload(session.metadata, bytes(session.data), session.media_type)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._open.clear()


def decoded(body: bytes, headers: dict[str, str]) -> bytes:
    """The body without its transfer compression (Content-Encoding gzip)."""
    if headers.get("content-encoding", "").lower() != "gzip":
        return body
    try:
        return zlib.decompress(body, wbits=31)
    except zlib.error as error:
        raise errors.invalid(f"Failed to decompress the request body: {error}") from None


def parse_json(body: bytes) -> Any:
    """A JSON request body; None when there is none. 400 in Google's words when it is not JSON."""
    if not body.strip():
        return None
    try:
        return json.loads(body)
    except ValueError as error:
        raise errors.invalid(f"Invalid JSON payload received. {error}", legacy_reason="parseError") from None


def multipart(body: bytes, content_type: str) -> Upload:
    """The two parts of a multipart/related upload: JSON metadata, then the media."""
    found = re.search(r"""boundary=["']?([^"';]+)["']?""", content_type)  # gcloud writes single quotes
    if not found:
        raise errors.invalid("Missing boundary in multipart upload.")
    parts = body.split(b"--" + found.group(1).encode())[1:]
    read = [_part(part) for part in parts if not part.startswith(b"--")]
    if len(read) != 2:
        raise errors.invalid("Multipart upload takes two parts.")
    (_, metadata), (media_type, media) = read
    return Upload(parse_json(metadata) or {}, media, media_type)


def _part(part: bytes) -> tuple[str, bytes]:
    head, _, content = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not content and b"\n\n" in part:  # some clients write bare newlines
        head, _, content = part.lstrip(b"\n").partition(b"\n\n")
    found = re.search(rb"(?im)^content-type:\s*([^\r\n]+)", head)
    kind = found.group(1).decode().strip() if found else "application/octet-stream"
    # the line end before the next boundary belongs to the boundary
    if content.endswith(b"\r\n"):
        content = content[:-2]
    elif content.endswith(b"\n"):
        content = content[:-1]
    return kind, content
