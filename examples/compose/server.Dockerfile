FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
WORKDIR /source
COPY . .
RUN cargo build --release --locked -p local-server

FROM debian:bookworm-slim
COPY --from=build /source/target/release/local-server /usr/local/bin/
ENTRYPOINT ["local-server"]
