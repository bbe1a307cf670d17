//! Where Envoy stores the annotation of an HTTPRoute.

/// Path of the property that holds an annotation of the request's HTTPRoute. The route is the first resource of its
/// metadata (Envoy Gateway, `internal/xds/translator/metadata.go`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationPath {
    key: String,
}

impl AnnotationPath {
    /// The path of the annotation `key` (without the prefix `gateway.envoyproxy.io/`, which Envoy Gateway strips).
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self { key: key.into() }
    }

    /// The segments of the path; the host adapter joins them as its ABI requires.
    #[must_use]
    pub fn segments(&self) -> [&str; 8] {
        [
            "xds",
            "route_metadata",
            "filter_metadata",
            "envoy-gateway",
            "resources",
            "0",
            "annotations",
            &self.key,
        ]
    }
}
