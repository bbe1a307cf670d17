//! The chart's whole life by the real Helm, as a user with exactly the rights that envoy/chart/README.md states.

use std::collections::BTreeSet;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokenward_harness::parts::cluster::{ApiServer, names_in};

use super::installing::{CHART, Example, Installer, NAMESPACE, RELEASE, bind, examples, merged, roles};

/// What the chart leaves on purpose: the data of an embedded store.
const KEPT: &str = "persistentvolumeclaims/tokenward";

/// What an upgrade changes: every resource, and in every other example one is gone.
fn changed(values: &Value, without_policy: bool) -> Value {
    let labels = json!({"commonLabels": {"changed": "yes"}});
    let changed = merged(values, &labels);
    if without_policy {
        return merged(&changed, &json!({"networkPolicy": {"enabled": false}}));
    }
    changed
}

/// Install, upgrade, rollback, uninstall; what is in the namespace after each.
async fn live(
    server: &ApiServer,
    installer: &Installer,
    (name, values): &Example,
    upgrade: &Value,
) -> anyhow::Result<()> {
    let admin = server.client()?;
    let (helm, namespace) = (&installer.helm, installer.namespace.as_str());
    let before = names_in(&admin, namespace).await?;
    helm.run_with(&["install", RELEASE, CHART], values)
        .with_context(|| format!("{name}: install"))?;
    let installed = names_in(&admin, namespace).await?;
    assert!(installed.len() > before.len() + 5, "{name}: {installed:?}");
    helm.run_with(&["upgrade", RELEASE, CHART], upgrade)
        .with_context(|| format!("{name}: upgrade"))?;
    let upgraded = names_in(&admin, namespace).await?;
    let policy = format!("networkpolicies.networking.k8s.io/{RELEASE}");
    let has_policy = upgrade["networkPolicy"]["enabled"] != false;
    assert_eq!(upgraded.contains(&policy), has_policy, "{name}");
    helm.run(&["rollback", RELEASE, "1"])
        .with_context(|| format!("{name}: rollback"))?;
    let releases = |names: &BTreeSet<String>| -> BTreeSet<String> {
        let without = names.iter().filter(|name| !name.contains("/sh.helm.release.v1."));
        without.cloned().collect()
    };
    let back = names_in(&admin, namespace).await?;
    assert_eq!(releases(&back), releases(&installed), "{name}");
    helm.run(&["uninstall", RELEASE])
        .with_context(|| format!("{name}: uninstall"))?;
    let remains: Vec<String> = names_in(&admin, namespace)
        .await?
        .difference(&before)
        .cloned()
        .collect();
    let kept: &[&str] = if name == "one replica" { &[KEPT] } else { &[] };
    assert_eq!(remains, kept, "{name}");
    Ok(())
}

/// `VERB RESOURCE.GROUP` of everything that a Role grants.
fn granted(role: &Value) -> BTreeSet<String> {
    let texts = |value: &Value| -> Vec<String> {
        let values = value.as_array().into_iter().flatten();
        values
            .filter_map(|value| Some(value.as_str()?.to_owned()))
            .collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let verbs = texts(&rule["verbs"]).into_iter();
                granted.extend(verbs.map(|verb| format!("{verb} {resource}.{group}")));
            }
        }
    }
    granted
}

/// The namespaces whose resources control reads.
fn watched(values: &Value) -> Vec<String> {
    if values["kubernetes"]["enabled"] != true {
        return Vec::new();
    }
    let resources = values["kubernetes"]["resources"].as_array().into_iter().flatten();
    let namespaces = resources.flat_map(|one| one["namespaces"].as_array().into_iter().flatten());
    namespaces
        .filter_map(|one| Some(one.as_str()?.to_owned()))
        .collect()
}

/// What a Role grants besides Roles and their bindings, and an installer does not use itself.
fn handed_on(role: &Value) -> BTreeSet<String> {
    let own = ["roles.", "rolebindings.", "list secrets."];
    let granted = granted(role).into_iter();
    granted
        .filter(|right| !own.iter().any(|part| right.contains(part)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_is_installed_upgraded_rolled_back_and_removed_with_the_stated_rights_and_each_is_used()
-> anyhow::Result<()> {
    let server = ApiServer::shared().await?;
    let [role, of_resources] = roles()?;
    let examples = examples()?;
    assert!(examples.len() >= 8, "{} examples", examples.len());
    let mut used = BTreeSet::new();
    for (number, example) in examples.iter().enumerate() {
        let installer = Installer::new(server, &format!("installer-{number}"), &role).await?;
        let namespace = installer.namespace.as_str();
        let values = example.1.to_string().replace(NAMESPACE, namespace);
        let example: &Example = &(example.0.clone(), serde_json::from_str(&values)?);
        for watched in watched(&example.1) {
            let admin = server.client()?;
            admin.create_namespace(&watched).await?;
            bind(&admin, namespace, &of_resources, namespace).await?;
            bind(&admin, &watched, &of_resources, namespace).await?;
        }
        if let Some(elsewhere) = example.1["gateway"]["namespace"].as_str() {
            let admin = server.client()?;
            admin.create_namespace(elsewhere).await?;
            bind(&admin, elsewhere, &role, &installer.user).await?;
        }
        let upgrade = changed(&example.1, number % 2 == 1);
        live(server, &installer, example, &upgrade).await?;
        for request in server.requests_of(&installer.user)? {
            assert_ne!(request.status, 403, "{}: {request:?}", example.0);
            used.insert(format!("{} {}.{}", request.verb, request.resource, request.group));
        }
    }
    // What control may do is compared with the installer's rights without a request.
    let handed_on = handed_on(&of_resources);
    let stated: BTreeSet<String> = granted(&role).union(&granted(&of_resources)).cloned().collect();
    assert_eq!(used, stated.difference(&handed_on).cloned().collect());
    println!("{} examples", examples.len());
    Ok(())
}

/// A right less, and Helm says which.
#[tokio::test(flavor = "multi_thread")]
async fn one_right_less_stops_helm_and_is_named() -> anyhow::Result<()> {
    let server = ApiServer::shared().await?;
    let example = examples()?.into_iter().find(|(name, _)| name == "everything");
    let (_, values) = example.context("no such example")?;
    for (number, (resource, verb, command)) in [
        ("httproutes", "create", "install"),
        ("deployments", "patch", "upgrade"),
        ("networkpolicies", "delete", "uninstall"),
    ]
    .into_iter()
    .enumerate()
    {
        let [mut less, _] = roles()?;
        let rules = less["rules"].as_array_mut().context("no rules")?;
        let of_resource = rules.iter_mut().find(|rule| {
            let mut resources = rule["resources"].as_array().into_iter().flatten();
            resources.any(|one| one == resource)
        });
        let verbs = of_resource.context("no such rule")?["verbs"]
            .as_array_mut()
            .context("no verbs")?;
        verbs.retain(|one| one != verb);
        let installer = Installer::new(server, &format!("less-{number}"), &less).await?;
        let life: [&[&str]; 3] = [
            &["install", RELEASE, CHART],
            &["upgrade", RELEASE, CHART, "--set", "logLevel=debug"],
            &["uninstall", RELEASE, "--debug"],
        ];
        let mut refused = None;
        for step in life {
            let run = if step[0] == "uninstall" {
                installer.helm.run(step)
            } else {
                installer.helm.run_with(step, &values)
            };
            if let Err(error) = run {
                refused = Some((step[0], error.to_string()));
                break;
            }
        }
        let (at, message) = refused.context("nothing was refused")?;
        assert_eq!(at, command, "{message}");
        assert!(
            message.contains(&format!("cannot {verb} resource \"{resource}\"")),
            "{message}"
        );
    }
    Ok(())
}
