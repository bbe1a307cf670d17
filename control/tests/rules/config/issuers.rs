//! Issuers, their endpoints and their rejected keys.

use super::{Folder, GOOD, parse};

const CLIENT: &str = "client_id: muster\n";

#[test]
fn an_endpoint_may_have_a_query_and_an_issuer_may_not() {
    let folder = Folder::new();
    let endpoints = "client_id: muster\n  token_endpoint: https://dex.example.com/token?p=1\n  \
                     jwks_uri: https://dex.example.com/keys?appid=2\n";
    let config = parse(&folder, &GOOD.replacen(CLIENT, endpoints, 1)).expect("good");
    let endpoint = config.issuers[0].token_endpoint.as_ref().map(url::Url::as_str);
    assert_eq!(endpoint, Some("https://dex.example.com/token?p=1"));
    for bad in [
        "https://dex.example.com?x=y",
        "https://dex.example.com/#x",
        "https://u:p@dex.example.com",
    ] {
        let issuer = format!("issuer: \"{bad}\"\n");
        let text = GOOD.replacen("issuer: https://dex.example.com\n", &issuer, 1);
        assert_ne!(text, GOOD);
        let problems = parse(&folder, &text).expect_err(bad);
        assert!(problems[0].what.contains("must not contain"), "{}", problems[0]);
    }
}

#[test]
fn rejected_keys_have_names_and_an_empty_name_is_a_problem() {
    let folder = Folder::new();
    let with = |keys: &str| {
        let keys = format!("{CLIENT}  rejected_keys: {keys}\n");
        parse(&folder, &GOOD.replacen(CLIENT, &keys, 1))
    };
    let config = with("[k-1, NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs]").expect("good");
    assert_eq!(
        config.issuers[0].rejected_keys,
        ["k-1", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]
    );
    let problems = with("[k-1, \"\"]").expect_err("empty");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].what.contains("rejected_keys"), "{}", problems[0]);
}
