# The image of the glue, from which the agent comes into pods as well. Built on what `.ci/release` has made:
#   docker build -f examples/kubernetes/agent.Dockerfile -t REGISTRY/clearml-agent:0.1.0 .
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY target/dist/clearml-agent target/dist/clearml-agent-runner target/dist/uv /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["clearml-agent"]
