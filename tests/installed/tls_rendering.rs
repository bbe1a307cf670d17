//! What the chart makes of `control.tls`: both sides of the connection to control, from one place.

use serde_json::{Value, json};
use tokenward_harness::parts::{Authority, Chart};

use super::relay_rendering::{named, of_kind};
use super::rendering::{chart, whole, with};

const NAME: &str = "tokenward.mcp.svc.cluster.local";

/// Values with `control.tls`, and `more`.
fn secured(ca: &str, more: &[(&str, Value)]) -> Value {
    let mut changes = vec![(
        "/control",
        json!({"tls": {"enabled": true, "secretName": "control-tls", "ca": ca}}),
    )];
    changes.extend_from_slice(more);
    with(&changes)
}

fn config(chart: &Chart, values: &Value) -> anyhow::Result<Value> {
    let maps = of_kind(chart, values, "ConfigMap")?;
    let text = named(&maps, "tokenward")?["data"]["tokenward.yaml"]
        .as_str()
        .unwrap_or_default();
    Ok(serde_saphyr::from_str(text)?)
}

#[test]
fn both_sides_get_the_certificate_the_authority_and_the_name() -> anyhow::Result<()> {
    let Some(chart) = chart("TLS to control")? else {
        return Ok(());
    };
    let ca = Authority::new("an authority")?.pem();
    let values = secured(&ca, &[]);
    chart.validate(&whole(&chart, &values)?)?;
    let tls = &config(&chart, &values)?["tls"];
    assert_eq!(
        tls["certificate"]["file"],
        "/run/secrets/tokenward/control-tls/tls.crt"
    );
    assert_eq!(tls["key"]["file"], "/run/secrets/tokenward/control-tls/tls.key");
    assert_eq!(tls["names"], json!([NAME]));
    assert_eq!(tls["client_ca"], Value::Null);

    let deployments = of_kind(&chart, &values, "Deployment")?;
    let pod = &deployments[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["scheme"], "HTTPS", "{probe}");
    }
    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let mounted = mounts.filter(|mount| mount["mountPath"] == "/run/secrets/tokenward/control-tls");
    assert_eq!(mounted.count(), 1);

    // The filter's own cluster, by EnvoyPatchPolicy.
    let patches = of_kind(&chart, &values, "EnvoyPatchPolicy")?;
    let cluster = &patches[0]["spec"]["jsonPatches"][0]["operation"]["value"];
    let context = &cluster["transport_socket"]["typed_config"];
    assert_eq!(context["sni"], NAME);
    let validation = &context["common_tls_context"]["validation_context"];
    assert_eq!(validation["trusted_ca"]["inline_string"], ca);
    assert_eq!(
        validation["match_typed_subject_alt_names"][0]["matcher"]["exact"],
        NAME
    );

    // The routes to control's Service, by BackendTLSPolicy.
    let policies = of_kind(&chart, &values, "BackendTLSPolicy")?;
    let policy = &named(&policies, "tokenward")?["spec"];
    assert_eq!(
        policy["targetRefs"],
        json!([{"group": "", "kind": "Service", "name": "tokenward"}])
    );
    assert_eq!(policy["validation"]["hostname"], NAME);

    // Envoy Gateway's fetch of the module, in the Gateway's own namespace.
    let extensions = of_kind(&chart, &values, "EnvoyExtensionPolicy")?;
    let code = &extensions[0]["spec"]["wasm"][0]["code"]["http"];
    assert!(
        code["url"].as_str().unwrap_or_default().starts_with("https://"),
        "{code}"
    );
    assert_eq!(code["tls"]["caCertificateRef"]["name"], "tokenward-ca");
    let maps = of_kind(&chart, &values, "ConfigMap")?;
    let authorities: Vec<_> = maps
        .iter()
        .filter(|map| map["metadata"]["name"] == "tokenward-ca")
        .collect();
    let mut namespaces: Vec<_> = authorities
        .iter()
        .filter_map(|map| map["metadata"]["namespace"].as_str())
        .collect();
    namespaces.sort_unstable();
    assert_eq!(namespaces, ["gateways", "mcp"]);
    assert!(
        authorities
            .iter()
            .all(|map| map["data"]["ca.crt"].as_str().unwrap_or_default().trim() == ca.trim())
    );
    Ok(())
}

#[test]
fn client_certificates_are_demanded_and_presented() -> anyhow::Result<()> {
    let Some(chart) = chart("client certificates to control")? else {
        return Ok(());
    };
    let ca = Authority::new("an authority")?.pem();
    let mutual = [
        ("/control/tls/clientCaRef", json!({"name": "clients"})),
        ("/control/tls/clientNames", json!(["envoy"])),
        (
            "/control/tls/clientCertificateRef",
            json!({"name": "envoy-client"}),
        ),
        ("/gateway/controlCluster", json!("route")),
        ("/gateway/failReload", json!(false)),
    ];
    let values = secured(&ca, &mutual);
    chart.validate(&whole(&chart, &values)?)?;
    let tls = &config(&chart, &values)?["tls"];
    assert_eq!(tls["client_ca"]["file"], "/run/secrets/tokenward/clients/ca.crt");
    assert_eq!(tls["client_names"], json!(["envoy"]));
    let proxies = of_kind(&chart, &values, "EnvoyProxy")?;
    assert_eq!(
        proxies[0]["spec"]["backendTLS"]["clientCertificateRef"]["name"],
        "envoy-client"
    );
    assert_eq!(of_kind(&chart, &values, "EnvoyPatchPolicy")?.len(), 0);
    Ok(())
}

#[test]
fn halves_of_a_setup_are_refused_with_what_is_missing() -> anyhow::Result<()> {
    let Some(chart) = chart("faults of control.tls")? else {
        return Ok(());
    };
    let ca = Authority::new("an authority")?.pem();
    let clients = ("/control/tls/clientCaRef", json!({"name": "clients"}));
    let route = ("/gateway/controlCluster", json!("route"));
    for (values, what) in [
        (secured("", &[]), "control.tls.ca is no certificate"),
        (
            secured(&ca, &[("/control/tls/secretName", json!(""))]),
            "control.tls.secretName is empty",
        ),
        (
            secured(&ca, std::slice::from_ref(&clients)),
            "needs gateway.controlCluster: route",
        ),
        (
            secured(&ca, &[clients.clone(), route]),
            "control.tls.clientCertificateRef",
        ),
    ] {
        let refused = chart.render(&values).expect_err(what);
        assert!(refused.to_string().contains(what), "{refused}");
    }
    for off in [
        json!(null),
        json!({}),
        json!({"tls": null}),
        json!({"tls": {"enabled": false}}),
    ] {
        assert_eq!(
            of_kind(&chart, &with(&[("/control", off)]), "BackendTLSPolicy")?.len(),
            0
        );
    }
    Ok(())
}
