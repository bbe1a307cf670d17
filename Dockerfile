# Control and the filter's module in one image: both are always of one version.
#   docker buildx build --platform linux/amd64,linux/arm64 -t tokenward .
# For images of your own; a release's images are made by `cargo xtask release`, without this file (docs/release.md).
# On Alpine Rust links everything into the one binary, so the image needs nothing else.
# The compiler's version is rust-toolchain.toml's. A tag can be moved: to pin what you have looked at, give its digest with
#   --build-arg RUST_IMAGE=rust@sha256:…
ARG RUST_IMAGE=rust:1.95.0-alpine
FROM ${RUST_IMAGE} AS build
RUN apk add --no-cache build-base cmake perl linux-headers && rustup target add wasm32-unknown-unknown
WORKDIR /src
COPY . .
RUN cargo build --locked --release --package tokenward-control --bin tokenward
# As `cargo xtask build` makes it; the module is the same on every platform.
RUN cargo run --locked --quiet --package tokenward-xtask -- build --module-only

FROM scratch
LABEL org.opencontainers.image.title="tokenward" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/tokenward /usr/bin/tokenward
COPY --from=build /src/target/wasm32-unknown-unknown/module/tokenward_filter.wasm /usr/share/tokenward/tokenward_filter.wasm
ENV PATH=/usr/bin
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/bin/tokenward"]
CMD ["serve", "--config", "/etc/tokenward/tokenward.yaml"]
