"""Source tarballs for the tests of image builds, made in memory."""

import gzip
import io
import tarfile
from collections.abc import Mapping

DOCKERFILE = """\
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements.lock .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -r requirements.lock

FROM python:3.12-slim
ENV PATH=/venv/bin:$PATH
WORKDIR /app
COPY --from=build /venv /venv
COPY toy toy
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["python", "-m", "toy"]
CMD ["serve"]
"""


def tar_gz(files: Mapping[str, str], *, modes: Mapping[str, int] | None = None, mtime: int = 1) -> bytes:
    """A tar.gz of text files; mode 0644 unless given."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            content = text.encode()
            member.size, member.mtime, member.mode = len(content), mtime, (modes or {}).get(name, 0o644)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=mtime)


def tar_gz_of(*members: tarfile.TarInfo) -> bytes:
    """A tar.gz of members without content: links, devices, odd names."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for member in members:
            archive.addfile(member)
    return gzip.compress(raw.getvalue())


def toy(main: str, *, lock: str = "", dockerfile: str = DOCKERFILE, **others: str) -> bytes:
    """A package `toy` with this __main__, its lock file and Dockerfile."""
    files = {"Dockerfile": dockerfile, "requirements.lock": lock, "toy/__init__.py": "", "toy/__main__.py": main}
    return tar_gz(files | others)
