# The engine is compiled in the first stage; the second has no compiler.
FROM debian:bookworm-slim AS build

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev liburing-dev libssl-dev node-llhttp \
        pkg-config python3 python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY constraints.txt ./
# The environment variable, unlike the option, also binds the build's own packages.
ENV PIP_CONSTRAINT=/src/constraints.txt \
    PIP_NO_CACHE_DIR=1
COPY setup.py pyproject.toml README.md LICENSE ./
COPY pyx pyx
COPY server server
RUN python3 -m venv /opt/penstock && /opt/penstock/bin/pip install .

FROM debian:bookworm-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates libssl3 liburing2 python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin penstock

COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["penstock"]
CMD ["serve", "/srv/artifacts", "--listen", "0.0.0.0:8000"]
