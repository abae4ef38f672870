# Everything in one container, as `pellucid up` runs it, with every model built: to try it out, and
# for machines without a cluster.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends \
        binutils ca-certificates libpython3.11 python3-venv
WORKDIR /build
COPY pyproject.toml ./
COPY requirements/ requirements/
COPY deploy/docker/install.sh ./
ARG TORCH="--index-url https://download.pytorch.org/whl/cpu"
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,required=false \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt sh install.sh embedded "$TORCH"
COPY pellucid/__init__.py pellucid/lifecycle.py /app/pellucid/
COPY pellucid/embedded/ /app/pellucid/embedded/
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,required=false \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_NO_CACHE_DIR=1 PYTHONPATH=/app \
    /opt/pellucid/bin/python -c \
    "from pathlib import Path; from pellucid.embedded.environment import build_environment; \
     build_environment(Path('/opt/triton'))"
COPY pellucid/ /app/pellucid/
COPY explain_service/ /app/explain_service/
COPY gateway/ /app/gateway/
COPY preprocess_service/ /app/preprocess_service/
RUN python3 -m compileall -q /app
COPY triton_repo/ /models/
RUN PYTHONPATH=/app /opt/pellucid/bin/python -m pellucid model build --repository /models

FROM ${BASE}
RUN apt-get update -q && apt-get install -qy --no-install-recommends libpython3.11 python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/*
COPY --from=build /opt /opt
COPY --from=build /app /app
COPY --from=build /models /models
COPY samples/ /app/samples/
WORKDIR /app
ENV PATH=/opt/pellucid/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib NUMBA_CACHE_DIR=/tmp/numba PELLUCID_CACHE=/opt/triton
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="pellucid/embedded" \
      org.opencontainers.image.description="Classifiers served with their explanations, in one container" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
USER 10001:10001
EXPOSE 50050
ENTRYPOINT ["python", "-m", "pellucid"]
CMD ["up", "--repository=/models", "--state-dir=/tmp/pellucid", "--host=0.0.0.0"]
