//! MCPServer resources become servers; a note with its line names everything that is omitted or must be filled in.

use tokenward_control::servers::import::Import;

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
        .map(|note| (note.line, note.text.as_str()))
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
    let imported: Vec<_> = import
        .servers
        .iter()
        .map(|server| (server.name.as_str(), server.exchange.is_some()))
        .collect();
    assert_eq!(imported, [("fallback", false), ("twice", false)]);
    let all = import
        .notes
        .iter()
        .map(|note| note.text.clone())
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
        "\"twice\" occurs twice",
        "without metadata.name",
        "Secret is not an MCPServer",
        "a document without a kind",
    ] {
        assert!(all.contains(part), "{part}:\n{all}");
    }
    // Lines grow through all documents of a file.
    let (first, last) = (import.notes.first(), import.notes.last());
    assert!(first.map(|note| note.line) < Some(5) && last.map(|note| note.line) > Some(35));
}

#[test]
fn a_file_that_is_not_yaml_is_an_error_with_its_line() {
    let error = Import::read("a: 1\nb: [\n").expect_err("it is not YAML");
    assert!(error.line >= 2, "{error}");
    let empty = Import::read("").expect("nothing is YAML");
    assert!(empty.servers.is_empty() && empty.notes.len() == 1);
}

/// The notes of one resource whose `spec` is `spec`, and whether the server was imported.
fn of_spec(spec: &str) -> (Vec<String>, bool) {
    of_document(&format!(
        "kind: MCPServer\nmetadata: {{name: one}}\nspec: {spec}\n"
    ))
}

fn of_document(text: &str) -> (Vec<String>, bool) {
    let import = Import::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let notes = import.notes.iter().map(ToString::to_string).collect();
    (notes, !import.servers.is_empty())
}

#[test]
fn a_mistyped_field_is_noted_and_a_decisive_one_leaves_the_server_out() {
    let auth = |auth: &str| format!("{{type: sse, auth: {{forwardToken: true, {auth}}}}}");
    let exchange = |field: &str| {
        auth(&format!(
            "tokenExchange: {{enabled: true, dexTokenEndpoint: \"https://x/token\", connectorId: home, {field}}}"
        ))
    };
    let rows = [
        (
            auth("requiredAudiences: some-client"),
            "spec.auth.requiredAudiences must be a list, and is a text",
        ),
        (
            auth("requiredAudiences: {a: b}"),
            "spec.auth.requiredAudiences must be a list, and is a map",
        ),
        (
            auth("requiredAudiences: 7"),
            "spec.auth.requiredAudiences must be a list, and is a number",
        ),
        (
            auth("requiredAudiences: [a, 7]"),
            "a required audience must be a text, and is a number",
        ),
        (
            auth("requiredAudiences: [a, [b]]"),
            "a required audience must be a text, and is a list",
        ),
        (
            auth("requiredAudiences: [null]"),
            "a required audience must be a text, and is empty",
        ),
        (
            auth("requiredAudiences: [a], requiredAudiences: [b]"),
            "spec.auth.requiredAudiences occurs twice",
        ),
        (
            auth("tokenExchange: true"),
            "spec.auth.tokenExchange must be a map, and is true or false",
        ),
        (
            auth("tokenExchange: [a]"),
            "spec.auth.tokenExchange must be a map, and is a list",
        ),
        (auth("type: 7"), "spec.auth.type must be a text, and is a number"),
        (auth("type: saml"), "auth.type \"saml\" is neither oauth nor none"),
        (
            auth("authorizationServer: yes"),
            "spec.auth.authorizationServer must be a map",
        ),
        (
            "{auth: {forwardToken: \"true\"}}".to_owned(),
            "spec.auth.forwardToken must be true or false, and is a text",
        ),
        (
            "{auth: {forwardToken: 1}}".to_owned(),
            "spec.auth.forwardToken must be true or false, and is a number",
        ),
        (
            "{auth: oauth}".to_owned(),
            "spec.auth must be a map, and is a text",
        ),
        (
            "{auth: [oauth]}".to_owned(),
            "spec.auth must be a map, and is a list",
        ),
        (
            "{type: 7, auth: {forwardToken: true}}".to_owned(),
            "spec.type must be a text, and is a number",
        ),
        (
            "{url: [x], auth: {forwardToken: true}}".to_owned(),
            "spec.url must be a text, and is a list",
        ),
        ("[auth]".to_owned(), "spec must be a map, and is a list"),
        ("none".to_owned(), "spec must be a map, and is a text"),
        (
            exchange("enabled: \"true\""),
            "spec.auth.tokenExchange.enabled occurs twice",
        ),
        (
            exchange("scopes: [openid]"),
            "spec.auth.tokenExchange.scopes must be a text, and is a list",
        ),
        (
            exchange("expectedIssuer: {a: b}"),
            "spec.auth.tokenExchange.expectedIssuer must be a text, and is a map",
        ),
        (
            exchange("clientCredentialsSecretRef: creds"),
            "spec.auth.tokenExchange.clientCredentialsSecretRef must be a map",
        ),
        (
            exchange("clientCredentialsSecretRef: {name: [a]}"),
            "spec.auth.tokenExchange.clientCredentialsSecretRef.name must be a text",
        ),
        (
            exchange("clientCredentialsSecretRef: {nmae: a}"),
            "clientCredentialsSecretRef.nmae is not known here",
        ),
    ];
    for (spec, part) in rows {
        let (notes, imported) = of_spec(&spec);
        let matching = notes.iter().filter(|note| note.contains(part)).count();
        assert_eq!(matching, 1, "{spec}: {notes:#?}");
        let misspelt = part.contains("not known here");
        assert_eq!(imported, misspelt, "{spec}: {notes:#?}");
        let left_out = notes
            .iter()
            .filter(|note| note.contains("it is left out"))
            .count();
        assert_eq!(left_out, usize::from(!misspelt), "{spec}: {notes:#?}");
    }
}

#[test]
fn ignored_and_empty_fields_are_noted_and_the_server_is_imported() {
    let rows = [
        (
            "{timeout: \"30\", auth: {forwardToken: true}}",
            "spec.timeout must be a number, and is a text",
        ),
        (
            "{headers: [a], auth: {forwardToken: true}}",
            "spec.headers must be a map, and is a list",
        ),
        (
            "{auth: {forwardToken: true, requiredAudiences: null}}",
            "spec.auth.requiredAudiences is empty",
        ),
        (
            "{auth: {forwardToken: true, tokenExchange: }}",
            "spec.auth.tokenExchange is empty",
        ),
        (
            "{type: websocket, auth: {forwardToken: true}}",
            "spec.type \"websocket\" is not known here",
        ),
    ];
    for (spec, part) in rows {
        let (notes, imported) = of_spec(spec);
        assert!(notes.len() == 1 && notes[0].contains(part), "{spec}: {notes:#?}");
        assert!(imported, "{spec}: {notes:#?}");
    }
}

#[test]
fn json_lists_of_lists_and_documents_without_servers_are_read_or_noted() {
    let server = r#"{"apiVersion": "muster.giantswarm.io/v1alpha1", "kind": "MCPServer", "metadata": {"name": "one"}, "spec": {"auth": {"forwardToken": true}}}"#;
    let imported = [
        server.to_owned(),
        format!(r#"{{"kind": "List", "items": [{server}]}}"#),
        format!(r#"{{"kind": "MCPServerList", "items": [{server}]}}"#),
        format!(r#"{{"kind": "List", "items": [{{"kind": "List", "items": [{server}]}}]}}"#),
        format!("[{server}]"),
        format!("---\n---\n{server}\n---\n# nothing\n"),
    ];
    for text in imported {
        assert_eq!(of_document(&text), (Vec::new(), true), "{text}");
    }
    let noted = [
        (
            "kind: List\nitems: {a: b}\n",
            "items must be a list, and is a map",
        ),
        (
            "kind: List\nitems: [7]\n",
            "a document without a kind (a number) is not an MCPServer",
        ),
        ("kind: List\n", "there is no MCPServer in the file"),
        (
            "kind: [MCPServer]\n",
            "a document without a kind is not an MCPServer",
        ),
        (
            "kind: MCPServer\nmetadata: one\n",
            "an MCPServer without metadata.name",
        ),
        (
            "kind: MCPServer\nmetadata: {name: 7}\n",
            "an MCPServer without metadata.name",
        ),
        ("kind: MCPServer\nmetadata: {name: one}\n", "it has no spec"),
        // A chart's values.
        (
            "mcpServers:\n- name: one\n  auth: {forwardToken: true}\n",
            "a document without a kind is not an MCPServer",
        ),
    ];
    for (text, part) in noted {
        let (notes, imported) = of_document(text);
        assert!(notes.len() == 1 && notes[0].contains(part), "{text}: {notes:#?}");
        assert!(!imported);
    }
    let (notes, imported) = of_document(&server.replace("muster.giantswarm.io", "toolhive.stacklok.dev"));
    assert!(
        imported && notes.len() == 1 && notes[0].contains("toolhive.stacklok.dev/v1alpha1"),
        "{notes:#?}"
    );
}

#[test]
fn a_template_that_was_not_rendered_is_an_error_with_its_line() {
    for text in [
        "kind: MCPServer\nspec: {{ .Values.spec }}\n",
        "kind: MCPServer\n{{- if .Values.enabled }}\nspec: {}\n{{- end }}\n",
    ] {
        let error = Import::read(text).expect_err(text);
        assert!((1..=4).contains(&error.line), "{error}");
        assert!(!error.to_string().contains("Options"), "{error}");
    }
}
