//! Issuers, their endpoints and their rejected keys.

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use tokenward_control::config::{
    ClientAuth, Config, DialectSource, IssuerPolicy, Problem, RefreshTokens, SignOutAtIssuer, issuer_guide,
};
use tokenward_control::upstream::dialect::Dialect;

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

const ISSUER: &str = "issuer: https://dex.example.com\n";
const SECRET: &str = "  client_secret: {file: DIR/client}\n";

/// The configuration with another issuer, and with further fields of it.
fn issuer(folder: &Folder, name: &str, fields: &str) -> Result<Config, Vec<Problem>> {
    let text = GOOD.replacen(ISSUER, &format!("issuer: {name}\n"), 1);
    parse(folder, &text.replacen(CLIENT, &format!("{CLIENT}{fields}"), 1))
}

#[test]
fn an_issuer_is_treated_as_its_address_shows_unless_the_configuration_says_otherwise() {
    use Dialect::{Dex, Entra, Google, Keycloak, Standard};
    use DialectSource::{Address, Configured, Default};
    use IssuerPolicy::{Strict, Tolerant};
    use RefreshTokens::{PerLogin, PerUser};
    use SignOutAtIssuer::{EndSession, Nothing, Revoke};
    let keycloak = "https://sso.example.com/realms/home";
    let rows = [
        (
            "https://dex.example.com",
            "",
            Dex,
            Default,
            Tolerant,
            PerUser,
            Revoke,
        ),
        (
            "https://dex.example.com",
            "  dialect: standard\n",
            Standard,
            Configured,
            Strict,
            PerLogin,
            Revoke,
        ),
        (keycloak, "", Keycloak, Address, Strict, PerLogin, Revoke),
        (
            keycloak,
            "  sign_out: end_session\n  policy: tolerant\n",
            Keycloak,
            Address,
            Tolerant,
            PerLogin,
            EndSession,
        ),
        (
            "https://accounts.google.com",
            "",
            Google,
            Address,
            Tolerant,
            PerLogin,
            Nothing,
        ),
        (
            "https://login.microsoftonline.com/11aa/v2.0",
            "",
            Entra,
            Address,
            Tolerant,
            PerLogin,
            Nothing,
        ),
        (
            "https://dex.example.com",
            "  refresh_tokens: per_login\n",
            Dex,
            Default,
            Tolerant,
            PerLogin,
            Revoke,
        ),
    ];
    let folder = Folder::new();
    for (name, fields, dialect, source, policy, refresh_tokens, sign_out) in rows {
        let config = issuer(&folder, name, fields).expect(name);
        let found = &config.issuers[0];
        assert_eq!((found.dialect, found.dialect_source), (dialect, source), "{name}");
        assert_eq!(
            (found.policy, found.refresh_tokens, found.sign_out),
            (policy, refresh_tokens, sign_out),
            "{name} {fields}"
        );
        let guide = issuer_guide(&config);
        assert!(
            guide.contains(&format!("dialect {} (", dialect.name())),
            "{guide}"
        );
        assert_eq!(
            guide.lines().filter(|line| line.starts_with("issuer ")).count(),
            1
        );
    }
}

#[test]
fn what_is_found_later_decides_about_what_the_configuration_leaves_open_alone() {
    let folder = Folder::new();
    let config = issuer(&folder, "https://sso.example.com", "  policy: tolerant\n").expect("good");
    let found = config.issuers[0]
        .clone()
        .of_dialect(Dialect::Keycloak, DialectSource::Document);
    assert_eq!(found.policy, IssuerPolicy::Tolerant);
    assert_eq!(found.refresh_tokens, RefreshTokens::PerLogin);
}

#[test]
fn a_word_that_no_issuer_has_is_a_problem_with_the_words_there_are() {
    let folder = Folder::new();
    for (field, named) in [
        ("dialect: Keycloak", "dex"),
        ("policy: lax", "tolerant"),
        ("refresh_tokens: one", "per_login"),
        ("sign_out: logout", "end_session"),
    ] {
        let problems = issuer(&folder, "https://dex.example.com", &format!("  {field}\n")).expect_err(field);
        assert_eq!(problems.len(), 1, "{field}");
        assert!(problems[0].hint.contains(named), "{}", problems[0]);
    }
}

#[test]
fn a_client_has_a_secret_or_a_key() {
    let folder = Folder::new();
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    folder.write("client-key.pem", &pair.serialize_pem());
    let key = "  client_key: {file: DIR/client-key.pem}\n";
    let with = |name: &str, secret: &str, fields: &str| {
        let text = GOOD.replacen(ISSUER, &format!("issuer: {name}\n"), 1);
        let text = text.replacen(SECRET, secret, 1);
        parse(&folder, &text.replacen(CLIENT, &format!("{CLIENT}{fields}"), 1))
    };
    let config = with("https://dex.example.com", "", key).expect("good");
    assert_eq!(config.issuers[0].client_auth, Some(ClientAuth::PrivateKeyJwt));
    let both = with("https://dex.example.com", SECRET, key).expect_err("both");
    assert!(both[0].what.contains("both"), "{}", both[0]);
    let none = with("https://dex.example.com", "", "").expect_err("neither");
    assert!(none[0].what.contains("neither"), "{}", none[0]);
    let basic = with(
        "https://dex.example.com",
        "",
        &format!("{key}  client_auth: basic\n"),
    );
    assert!(basic.expect_err("basic")[0].what.contains("private_key_jwt only"));
    let secret = with(
        "https://dex.example.com",
        SECRET,
        "  client_auth: private_key_jwt\n",
    );
    assert!(secret.expect_err("a secret")[0].what.contains("no client_key"));
    let entra = with("https://login.microsoftonline.com/11aa/v2.0", "", key).expect_err("no certificate");
    assert!(entra[0].what.contains("no certificate"), "{}", entra[0]);
    folder.write("client-key.pem", "a-client-secret");
    let no_key = with("https://dex.example.com", "", key).expect_err("no key");
    assert!(
        !no_key[0].to_string().contains("a-client-secret"),
        "{}",
        no_key[0]
    );
}
