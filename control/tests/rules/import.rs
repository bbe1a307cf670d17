//! MCPServer resources become servers; what is left out or must be filled in is said with its line.

use tokenward_control::import::Import;

const LIST: &str = r#"apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: muster.giantswarm.io/v1alpha1
  kind: MCPServer
  metadata: {name: kubernetes, namespace: muster, annotations: {a: b}}
  spec:
    type: streamable-http
    url: https://mcp.example.com/kubernetes
    timeout: 30
    headers: {}
    toolPrefix: k8s
    auth: {type: oauth, forwardToken: true, requiredAudiences: [kube, "api: x"]}
  status: {state: Connected, lastError: null}
- kind: MCPServer
  metadata: {name: grizzly}
  spec:
    type: streamable-http
    suspended: true
    auth:
      type: oauth
      forwardIdentity: true
      forwardToken: true
      requiredAudiences: [kube]
      tokenExchange:
        enabled: true
        dexTokenEndpoint: https://dex.grizzly.example.com/token
        expectedIssuer: https://dex.internal.example.com
        connectorId: home
        scopes: openid groups
        retries: 3
        clientCredentialsSecretRef: {name: creds, namespace: muster, clientIdKey: id}
"#;

fn lines(import: &Import) -> Vec<(u64, &str)> {
    import
        .notes
        .iter()
        .map(|note| (note.line, note.says.as_str()))
        .collect()
}

#[test]
fn a_list_becomes_servers_and_every_unknown_field_is_named_with_its_line() {
    let import = Import::read(LIST).expect("it is YAML");
    let names: Vec<&str> = import.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["kubernetes", "grizzly"]);
    let notes = lines(&import);
    let expected = [
        (18, "it is suspended"),
        (22, "spec.auth.forwardIdentity is not known here"),
        (31, "spec.auth.tokenExchange.retries is not known here"),
        (
            32,
            "key \"id\" of the secret muster/creds, and mount its key \"client-secret\"",
        ),
    ];
    assert_eq!(notes.len(), expected.len(), "{notes:?}");
    for ((line, says), (expected_line, part)) in notes.into_iter().zip(expected) {
        assert!(says.contains(part), "{line}: {says}");
        assert!(
            line.abs_diff(expected_line) <= 1,
            "{line} instead of {expected_line}: {says}"
        );
        assert!(says.starts_with("server \"grizzly\""), "{says}");
    }
    let block = import.servers_block();
    for part in [
        "- name: \"kubernetes\"\n",
        "requiredAudiences: [\"kube\", \"api: x\"]",
        "expectedIssuer: \"https://dex.internal.example.com\"",
        "scopes: \"openid groups\"",
        "clientId: \"\"",
    ] {
        assert!(block.contains(part), "{part}: {block}");
    }
    let annotations = import.annotations();
    assert!(
        annotations.contains("{gateway.envoyproxy.io/tokenward-server: \"kubernetes\"}")
            && annotations.contains("url: \"https://mcp.example.com/kubernetes\""),
        "{annotations}"
    );
}

#[test]
fn what_needs_no_tokens_or_is_not_supported_is_left_out_and_said() {
    let server =
        |name: &str, spec: &str| format!("kind: MCPServer\nmetadata: {{name: {name}}}\nspec: {spec}\n");
    let exchange = "tokenExchange: {enabled: true, connectorId: home}";
    let documents = [
        server("stdio", "{type: stdio}"),
        server("open", "{type: sse}"),
        server("none", "{auth: {type: none}}"),
        server(
            "own",
            "{auth: {type: oauth, authorizationServer: {issuer: https://x}}}",
        ),
        server("neither", "{auth: {type: oauth}}"),
        server("half", &format!("{{auth: {{{exchange}}}}}")),
        server(
            "fallback",
            &format!("{{auth: {{forwardToken: true, {exchange}}}}}"),
        ),
        server("twice", "{auth: {forwardToken: true}}"),
        server("twice", "{auth: {forwardToken: true}}"),
        "kind: MCPServer\nspec: {}\n".to_owned(),
        "kind: Secret\n".to_owned(),
        "just text\n".to_owned(),
    ];
    let import = Import::read(&documents.join("---\n")).expect("it is YAML");
    let kept: Vec<_> = import
        .servers
        .iter()
        .map(|server| (server.name.as_str(), server.exchange.is_some()))
        .collect();
    assert_eq!(kept, [("fallback", false), ("twice", false)]);
    let all = import
        .notes
        .iter()
        .map(|note| note.says.clone())
        .collect::<Vec<_>>()
        .join("\n");
    for part in [
        "\"stdio\": type stdio",
        "\"open\": it has no auth",
        "\"none\": auth.type none",
        "\"own\": auth.authorizationServer",
        "\"neither\": auth has neither",
        "\"half\": tokenExchange is enabled without dexTokenEndpoint or connectorId; it cannot be used",
        "\"half\": auth has neither",
        "\"fallback\": tokenExchange is enabled without",
        "\"twice\" is there twice",
        "without metadata.name",
        "Secret is no MCPServer",
        "a document without a kind",
    ] {
        assert!(all.contains(part), "{part}:\n{all}");
    }
    // Lines grow through all documents of a file.
    let (first, last) = (import.notes.first(), import.notes.last());
    assert!(first.map(|note| note.line) < Some(5) && last.map(|note| note.line) > Some(35));
}

#[test]
fn what_is_no_yaml_is_an_error_with_its_line() {
    let error = Import::read("a: 1\nb: [\n").expect_err("it is no YAML");
    assert!(error.line >= 2, "{error}");
    let empty = Import::read("").expect("nothing is YAML");
    assert!(empty.servers.is_empty() && empty.notes.len() == 1);
}
