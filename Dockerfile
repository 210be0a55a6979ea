# The Plant backend: server, worker, migrations, seed and looks in one image, told apart by their argument.
FROM python:3.11.14-slim-bookworm AS builder
WORKDIR /build
COPY backend/requirements.lock ./requirements.lock
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --no-deps --requirement requirements.lock

FROM python:3.11.14-slim-bookworm
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/venv/bin:$PATH PORT=8000
WORKDIR /app
COPY --from=builder /venv /venv
COPY backend ./backend
USER 10001:10001
EXPOSE 8000
ENTRYPOINT ["python", "-m", "backend"]
CMD ["serve"]
