# The filter's module as an OCI image for `gateway.filter.source: image`: one layer with plugin.wasm, where Envoy Gateway looks.
#   cargo xtask build
#   docker build -f envoy/filter.Dockerfile -t tokenward-filter target/wasm32-unknown-unknown/module
FROM scratch
COPY tokenward_filter.wasm /plugin.wasm
