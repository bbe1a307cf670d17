# The filter's module as an OCI image for `gateway.filter.source: image`: one layer with plugin.wasm, where Envoy Gateway looks.
# For an image of your own; a release's is made by `cargo xtask release`, without this file (docs/release.md). Build it for one platform
# only: Envoy Gateway compares the digest of a manifest, never that of an index.
#   cargo xtask build
#   docker build -f envoy/filter.Dockerfile -t tokenward-filter target/wasm32-unknown-unknown/module
FROM scratch
COPY tokenward_filter.wasm /plugin.wasm
