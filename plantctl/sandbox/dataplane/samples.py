"""Google's public sample image, which quickstarts and recordings deploy: a stand-in, for nothing is pulled here."""

from __future__ import annotations

import gzip
import io
import re
import tarfile

NAMES = re.compile(r"(gcr\.io/cloudrun/hello|us-docker\.pkg\.dev/cloudrun/container/hello)(:[\w.-]+)?")
DOCKERFILE = 'FROM python:3.12-slim\nWORKDIR /app\nCOPY hello.py .\nCMD ["python", "hello.py"]\n'
PROGRAM = '''"""Says hello to every request, as Google's sample does."""
import http.server, os

class Hello(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        words = b"It's running! (the sandbox's stand-in for Google's sample image)\\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

http.server.ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Hello).serve_forever()
'''


def is_sample(image: str) -> bool:
    """Whether an image's name is that of the sample."""
    return NAMES.fullmatch(image) is not None


def source() -> bytes:
    """The sample's source, as it would be uploaded; always the same bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, text in (("Dockerfile", DOCKERFILE), ("hello.py", PROGRAM)):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(text.encode()), 1, 0o644
            archive.addfile(member, io.BytesIO(text.encode()))
    return gzip.compress(raw.getvalue(), mtime=1)
