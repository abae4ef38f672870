# Triton, from the wheel that carries its binary: stands in for NVIDIA's image where that cannot be
# had or is too large; the same folders, ports and options, on CPUs.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends ca-certificates libpython3.11 python3-venv
COPY pellucid/__init__.py pellucid/lifecycle.py /app/pellucid/
COPY pellucid/embedded/ /app/pellucid/embedded/
# The paths that end with a digest get names that stay.
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,required=false \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_NO_CACHE_DIR=1 PYTHONPATH=/app python3 -c \
    "from pathlib import Path; from pellucid.embedded.environment import build_environment; \
     build_environment(Path('/opt'))" \
    && rm /opt/triton-*.lock && mv /opt/triton-* /opt/triton \
    && mv /opt/triton/backends-* /opt/triton/backends \
    && ln -s lib/python3.11/site-packages/pytriton/tritonserver /opt/triton/tritonserver \
    && sed -i "s#/opt/triton-[0-9a-f]*#/opt/triton#g" /opt/triton/bin/* /opt/triton/pyvenv.cfg \
    && cd /opt/triton/lib/python3.11/site-packages && rm -rf pip setuptools pkg_resources

FROM ${BASE}
RUN apt-get update -q && apt-get install -qy --no-install-recommends libpython3.11 python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/*
COPY --from=build /opt/triton /opt/triton
ENV PATH=/opt/triton/bin:$PATH \
    LD_LIBRARY_PATH=/opt/triton/lib/python3.11/site-packages/nvidia_pytriton.libs \
    PYTHONDONTWRITEBYTECODE=1
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="pellucid/triton" \
      org.opencontainers.image.description="Triton Inference Server with onnxruntime and OpenVINO on CPUs" \
      org.opencontainers.image.licenses="BSD-3-Clause" \
      org.opencontainers.image.version="${VERSION}"
USER 10001:10001
EXPOSE 8001 8002
# What a Triton that crashed left in the shared memory of its pod would be missing for this one.
ENTRYPOINT ["/bin/sh", "-c", "rm -f /dev/shm/triton_*; exec /opt/triton/tritonserver/bin/tritonserver --backend-directory=/opt/triton/backends \"$@\"", "tritonserver"]
