# The gateway: what clients call.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update -q \
    && apt-get install -qy --no-install-recommends binutils ca-certificates liblapack3 python3-venv
WORKDIR /build
COPY pyproject.toml ./
COPY requirements/ requirements/
COPY deploy/docker/install.sh ./
RUN --mount=type=secret,id=ca,target=/etc/ssl/certs/ca-certificates.crt,required=false \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt sh install.sh gateway
# faiss asks its OpenBLAS, 39 MB, for the same symbols that Debian's LAPACK has in 3; what the
# gateway has computed there is the distances of one query to the cases of an index.
RUN cd /opt/pellucid/lib/python3.11/site-packages/faiss_cpu.libs \
    && blas=$(ls libopenblas*) && rm "$blas" \
    && rm -r ../numpy/distutils ../numpy/f2py && find ../numpy ../faiss -name "*.pyi" -delete \
    && rm libgfortran* libquadmath* \
    && ln -s "/usr/lib/$(uname -m)-linux-gnu/liblapack.so.3" "$blas"
COPY pellucid/ /app/pellucid/
COPY gateway/ /app/gateway/
RUN python3 -m compileall -q /app && PYTHONPATH=/app /opt/pellucid/bin/python -c \
    "import gateway.__main__, faiss, numpy; x = numpy.eye(64, dtype='float32'); \
     index = faiss.IndexFlatIP(64); index.add(x); assert index.search(x, 1)[1][:, 0].tolist() == [*range(64)]"

FROM ${BASE}
RUN apt-get update -q && apt-get install -qy --no-install-recommends liblapack3 python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/*
COPY --from=build /opt/pellucid /opt/pellucid
COPY --from=build /app /app
ENV PATH=/opt/pellucid/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="pellucid/gateway" \
      org.opencontainers.image.description="The gateway: what clients call" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
USER 10001:10001
EXPOSE 50050 8081 9090
ENTRYPOINT ["python", "-m", "gateway"]
