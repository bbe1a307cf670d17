//! Client certificates: demanded of every caller but the probes, Prometheus and Envoy Gateway.

use serde_json::json;
use tokenward_harness::parts::{Authority, CertificatePair, MountedSecret};

use super::stage::{Stage, line};

/// Paths that need no client certificate, and their answers without one.
const OPEN: [(&str, u16); 4] = [
    ("/livez", 200),
    ("/readyz", 200),
    ("/metrics", 200),
    // There is no module in this configuration.
    ("/filter/tokenward.wasm", 404),
];

struct Clients {
    stage: Stage,
    authority: Authority,
    _secret: MountedSecret,
}

impl Clients {
    /// A listener that demands certificates of an authority of the clients' own, for `names`.
    async fn start(names: &[&str]) -> anyhow::Result<Self> {
        let authority = Authority::new("the clients' authority")?;
        let secret = MountedSecret::mount(&[("ca.crt", &authority.pem())])?;
        let more = json!({"client_ca": {"file": secret.path("ca.crt")}, "client_names": names});
        Ok(Self {
            stage: Stage::start(more, &[]).await?,
            authority,
            _secret: secret,
        })
    }

    /// Status of a request for a session with the aggregator's credential, by a client with `pair`; `None` without an answer.
    async fn session(&self, pair: Option<CertificatePair>) -> anyhow::Result<Option<u16>> {
        let client = self.stage.client(&self.stage.authority, pair)?;
        let credential = &self.stage.control.config().aggregator_credential;
        let answer = client
            .get(format!("{}/v1/sessions/none", self.stage.control.url()))
            .bearer_auth(secrecy::ExposeSecret::expose_secret(credential))
            .send()
            .await;
        Ok(answer.ok().map(|answer| answer.status().as_u16()))
    }
}

#[tokio::test]
async fn a_caller_without_a_certificate_gets_the_probes_and_no_more() -> anyhow::Result<()> {
    let clients = Clients::start(&[]).await?;
    let stage = &clients.stage;
    let none = stage.client(&stage.authority, None)?;
    for (path, status) in OPEN {
        assert_eq!(stage.status(&none, path).await, Some(status), "{path}");
    }
    for path in [
        "/oauth2/token",
        "/v1/explain",
        "/openapi.json",
        "/jwks",
        "/nowhere",
    ] {
        assert_eq!(stage.status(&none, path).await, Some(401), "{path}");
    }
    assert_eq!(clients.session(None).await?, Some(401));
    let said = line(&stage.log(), &["caller_rejected", "tls.client_ca"]).await?;
    assert!(said.contains("client certificate"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_the_authority_opens_what_its_credential_opens() -> anyhow::Result<()> {
    let clients = Clients::start(&[]).await?;
    let envoy = clients.authority.pair(&["envoy.gateways.svc"])?;
    // 404: authenticated, and there is no such session.
    assert_eq!(clients.session(Some(envoy.clone())).await?, Some(404));
    // The certificate alone is no credential.
    let client = clients.stage.client(&clients.stage.authority, Some(envoy))?;
    assert_eq!(
        clients.stage.status(&client, "/v1/sessions/none").await,
        Some(401)
    );
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_complete_the_handshake() -> anyhow::Result<()> {
    let clients = Clients::start(&[]).await?;
    let stranger = Authority::new("another authority")?.pair(&["envoy.gateways.svc"])?;
    assert_eq!(clients.session(Some(stranger)).await?, None);
    line(
        &clients.stage.log(),
        &["a TLS handshake failed", "client's certificate is not accepted"],
    )
    .await?;
    Ok(())
}

#[tokio::test]
async fn only_the_configured_names_are_accepted() -> anyhow::Result<()> {
    const ENVOY: &str = "envoy.gateways.svc";
    const AGGREGATOR: &str = "spiffe://cluster.local/ns/muster/sa/muster";
    let clients = Clients::start(&[ENVOY, AGGREGATOR]).await?;
    for name in [ENVOY, AGGREGATOR] {
        let pair = clients.authority.pair(&[name])?;
        assert_eq!(clients.session(Some(pair)).await?, Some(404), "{name}");
    }
    let other = clients
        .authority
        .pair(&["other.gateways.svc", "spiffe://cluster.local/ns/muster/sa/other"])?;
    assert_eq!(clients.session(Some(other)).await?, Some(401));
    Ok(())
}
