# One image for every process: what a container runs as is its command, such as `serve quota` or `migrate`.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/chatness
# Before our own code, so that a change of it does not install the libraries again.
COPY requirements.txt ./
RUN /opt/chatness/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt
COPY pyproject.toml README.md ./
COPY shared ./shared
COPY services ./services
COPY ops ./ops
COPY sandbox ./sandbox
RUN /opt/chatness/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && /opt/chatness/bin/pip uninstall --yes pip

FROM python:3.11-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Chatness" \
      org.opencontainers.image.description="Accounts, billing, API secrets and a monthly message quota" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Bytecode was compiled when the libraries were installed; the root filesystem may be read-only.
ENV PATH=/opt/chatness/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
COPY --from=build /opt/chatness /opt/chatness
# Where the sandbox's servers keep their data, on a volume; nothing else writes anything.
RUN install --directory --owner=10001 --group=10001 /var/lib/chatness
ENV CHATNESS_RUN=/var/lib/chatness
WORKDIR /tmp
# A number, because Kubernetes cannot tell from a name that it is not root.
USER 10001:10001
ENTRYPOINT ["chatness"]
CMD ["--help"]
