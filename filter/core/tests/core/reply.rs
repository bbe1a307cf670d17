use tokenward_filter_core::verdict::Verdict;

use crate::host::Envoy;

const KUBE: &str = "/kubernetes/mcp";

#[test]
fn a_401_carries_the_challenge_and_where_to_log_in() {
    let mut envoy = Envoy::new(1);
    let (_, verdict) = envoy.send(0, KUBE, Some("garbage"), None);
    let Verdict::Reply(reply) = verdict else {
        panic!("{verdict:?}")
    };
    let challenge = &reply
        .headers
        .iter()
        .find(|(name, _)| *name == "www-authenticate")
        .unwrap()
        .1;
    assert_eq!(
        challenge,
        "Bearer error=\"invalid_token\", error_description=\"the bearer token is not a JWT with an expiry\", \
         resource_metadata=\"https://gw.example.com/.well-known/oauth-protected-resource\""
    );
    assert!(reply.headers.iter().all(|(name, _)| *name != "retry-after"));
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(body["error"], "invalid_token");
    assert_eq!(body["refusal"], "malformed_bearer");
    assert_eq!(body["server"], "kubernetes");
    // RFC 6750 §3: no error code when there was no token at all.
    let (_, verdict) = envoy.send(0, KUBE, None, None);
    let Verdict::Reply(reply) = verdict else {
        panic!("{verdict:?}")
    };
    let challenge = &reply
        .headers
        .iter()
        .find(|(name, _)| *name == "www-authenticate")
        .unwrap()
        .1;
    assert!(challenge.starts_with("Bearer resource_metadata="), "{challenge}");
    assert_eq!(envoy.calls(), 0);
}
