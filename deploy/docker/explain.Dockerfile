# The explain service: maps of what a prediction rests on.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends binutils ca-certificates python3-venv
WORKDIR /build
COPY pyproject.toml ./
COPY requirements/ requirements/
COPY deploy/docker/install.sh ./
ARG TORCH="--index-url https://download.pytorch.org/whl/cpu"
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,required=false \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt sh install.sh explain "$TORCH"
COPY pellucid/ /app/pellucid/
COPY explain_service/ /app/explain_service/
RUN python3 -m compileall -q /app && PYTHONPATH=/app /opt/pellucid/bin/python -c "import explain_service.__main__"

FROM ${BASE}
RUN apt-get update -q && apt-get install -qy --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/*
COPY --from=build /opt/pellucid /opt/pellucid
COPY --from=build /app /app
ENV PATH=/opt/pellucid/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="pellucid/explain" \
      org.opencontainers.image.description="The explain service: maps of what a prediction rests on" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
USER 10001:10001
EXPOSE 50053 8081 9090
ENTRYPOINT ["python", "-m", "explain_service"]
