# What `.ci/release` has made, with a Python for tasks.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY target/dist/clearml-agent /usr/local/bin/
ENTRYPOINT ["clearml-agent"]
