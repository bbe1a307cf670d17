//! The path of control's exchange endpoint for a server, as the aggregator's resources name it.

use url::Url;

/// `/exchange/NAME/token`: a `/` in the name, the only character of names that means something in a path, is encoded.
#[must_use]
pub(super) fn exchange_path(server: &str) -> String {
    format!("/exchange/{}/token", server.replace('/', "%2F"))
}

/// Whether `url` is control's exchange endpoint for `server`, on any host and below any path.
#[must_use]
pub(super) fn is_exchange_endpoint(url: &Url, server: &str) -> bool {
    url.path().ends_with(&exchange_path(server))
}
