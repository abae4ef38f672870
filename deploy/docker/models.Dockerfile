# A release of the models, built as Triton serves them; copied into the pods of Triton and of the
# explain service.
ARG BASE=docker.io/library/debian:bookworm-slim
ARG EMBEDDED=pellucid/embedded:0.2.0

FROM ${EMBEDDED} AS built

FROM ${BASE}
COPY --from=built /models /models
# Where no fsGroup is heeded, an empty volume takes its owner from here.
RUN install --directory --owner=10001 --group=10001 /copy
ARG VERSION=0.2.0
LABEL org.opencontainers.image.title="pellucid/models" \
      org.opencontainers.image.description="Weights, cards and graphs of every model, under /models" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC-BY-4.0" \
      org.opencontainers.image.version="${VERSION}"
USER 10001:10001
CMD ["cp", "-R", "/models/.", "/copy"]
