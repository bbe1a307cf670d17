//! Token requests: RFC 8693 §2.1 and §2.2, RFC 8707 §2, RFC 6749 §3.2 and §5.

use super::{KUBE, OTHER, asked, asking, deployment, error, form};
use crate::deployment::Deployment;

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

async fn stage() -> anyhow::Result<(Deployment, String)> {
    let deployment = deployment().await?;
    let token = deployment.log_in("s-1").await?.id_token;
    Ok((deployment, token))
}

/// RFC 6749 §5.2: `unsupported_grant_type`; one that is missing is `invalid_request`.
#[tokio::test]
async fn another_grant_type_is_unsupported_and_none_is_an_invalid_request() -> anyhow::Result<()> {
    let (deployment, token) = stage().await?;
    for grant_type in [
        "refresh_token",
        "client_credentials",
        "authorization_code",
        "password",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "URN:IETF:PARAMS:OAUTH:GRANT-TYPE:TOKEN-EXCHANGE",
    ] {
        let answer = asked(
            &deployment,
            &form(&[("grant_type", grant_type), ("subject_token", &token)]),
        )
        .await?;
        assert_eq!(error(&answer), (400, "unsupported_grant_type"), "{grant_type}");
        assert_eq!(answer.text("refusal"), "bad_request");
    }
    for none in [form(&[("audience", "kube")]), form(&[("grant_type", "")])] {
        assert_eq!(error(&asked(&deployment, &none).await?), (400, "invalid_request"));
    }
    Ok(())
}

/// RFC 8693 §2.1: `audience` and `resource` name the server, RFC 8707 §2: a resource that is unknown is
/// `invalid_target`; RFC 8693 §2.2.2: the same where no token for all of them can be issued.
#[tokio::test]
async fn audience_and_resource_name_one_server_or_the_target_is_invalid() -> anyhow::Result<()> {
    let (deployment, token) = stage().await?;
    let served: [&[(&str, &str)]; 5] = [
        &[("audience", "kube")],
        &[("resource", KUBE)],
        &[("audience", "kube"), ("resource", KUBE)],
        &[("audience", "kube"), ("audience", "kube")],
        &[("audience", ""), ("resource", KUBE), ("resource", KUBE)],
    ];
    for more in served {
        let answer = asked(&deployment, &asking(&token, more)).await?;
        assert_eq!(answer.status, 200, "{more:?}: {answer:?}");
    }
    let invalid: [&[(&str, &str)]; 8] = [
        &[("audience", "kube"), ("audience", "other")],
        &[("audience", "kube"), ("resource", OTHER)],
        &[("audience", "kubernetes"), ("resource", KUBE)],
        &[("resource", KUBE), ("resource", OTHER)],
        &[("resource", "https://elsewhere.example.com/")],
        &[("resource", "not a URI")],
        // Compared byte for byte, as RFC 9728 §3.3 has it.
        &[("resource", "https://mcp.example.com/kubernetes/mcp/")],
        &[("audience", "nowhere")],
    ];
    for more in invalid {
        let answer = asked(&deployment, &asking(&token, more)).await?;
        assert_eq!(error(&answer), (400, "invalid_target"), "{more:?}");
    }
    let answer = asked(&deployment, &asking(&token, &[])).await?;
    assert_eq!(error(&answer), (400, "invalid_request"), "no target at all");
    Ok(())
}

/// RFC 6749 §3.3 and §5.2: a scope that cannot be granted is `invalid_scope`, never ignored.
#[tokio::test]
async fn a_scope_that_an_id_token_does_not_have_is_invalid() -> anyhow::Result<()> {
    let (deployment, token) = stage().await?;
    for (scope, expected) in [
        ("", 200),
        ("openid", 200),
        ("openid profile", 400),
        ("groups", 400),
        ("openid  openid", 400),
    ] {
        let answer = asked(
            &deployment,
            &asking(&token, &[("audience", "kube"), ("scope", scope)]),
        )
        .await?;
        assert_eq!(answer.status, expected, "{scope}: {answer:?}");
        assert_eq!(
            answer.text("error") == "invalid_scope",
            expected == 400,
            "{scope}"
        );
    }
    Ok(())
}

/// RFC 8693 §1.1: delegation is another thing than impersonation; a request for one must not get the other.
#[tokio::test]
async fn an_actor_is_refused_and_not_ignored() -> anyhow::Result<()> {
    let (deployment, token) = stage().await?;
    let actors: [&[(&str, &str)]; 3] = [
        &[("actor_token", &token), ("actor_token_type", super::ID_TOKEN)],
        &[("actor_token", &token)],
        &[("actor_token_type", super::ID_TOKEN)],
    ];
    for actor in actors {
        let mut more = vec![("audience", "kube")];
        more.extend(actor);
        let answer = asked(&deployment, &asking(&token, &more)).await?;
        assert_eq!(error(&answer), (400, "invalid_request"), "{actor:?}");
        assert!(
            answer.text("error_description").contains("actor_token"),
            "{answer:?}"
        );
    }
    Ok(())
}

/// RFC 8693 §2.1 and §2.2.2: token types that are not served are an invalid request.
#[tokio::test]
async fn other_token_types_are_an_invalid_request() -> anyhow::Result<()> {
    let (deployment, token) = stage().await?;
    for (parameter, value) in [
        ("requested_token_type", JWT),
        ("requested_token_type", ACCESS_TOKEN),
        ("subject_token_type", JWT),
    ] {
        let form = asking(
            &token,
            &[("audience", "kube"), ("requested_token_type", super::ID_TOKEN)],
        );
        let pair = |value: &str| super::form(&[(parameter, value)]);
        let form = form.replace(&pair(super::ID_TOKEN), &pair(value));
        let answer = asked(&deployment, &form).await?;
        assert_eq!(error(&answer), (400, "invalid_request"), "{parameter} {value}");
        assert!(answer.text("error_description").contains(parameter), "{answer:?}");
    }
    Ok(())
}

/// RFC 6749 §3.2: parameters must not be sent more than once.
#[tokio::test]
async fn a_parameter_that_is_sent_twice_is_an_invalid_request() -> anyhow::Result<()> {
    let (deployment, token) = stage().await?;
    let good = asking(
        &token,
        &[
            ("audience", "kube"),
            ("reason", "stale"),
            ("scope", "openid"),
            ("session", "s-1"),
        ],
    );
    assert_eq!(asked(&deployment, &good).await?.status, 200);
    for parameter in [
        "grant_type",
        "subject_token",
        "subject_token_type",
        "requested_token_type",
        "scope",
        "reason",
        "session",
        "client_id",
        "client_secret",
    ] {
        for value in ["", "x"] {
            let twice = format!("{good}&{parameter}={value}&{parameter}={value}");
            let answer = asked(&deployment, &twice).await?;
            assert_eq!(error(&answer), (400, "invalid_request"), "{parameter}={value}");
        }
    }
    Ok(())
}

/// RFC 6749 §3.2: without a value is omitted; unknown parameters are ignored.
#[tokio::test]
async fn empty_parameters_count_as_omitted_and_unknown_ones_as_nothing() -> anyhow::Result<()> {
    let (deployment, token) = stage().await?;
    let empty = [
        ("audience", "kube"),
        ("requested_token_type", ""),
        ("scope", ""),
        ("reason", ""),
        ("actor_token", ""),
        ("resource", ""),
        ("client_secret", ""),
        ("unknown", "x"),
    ];
    assert_eq!(asked(&deployment, &asking(&token, &empty)).await?.status, 200);
    let nothing = asking("", &[("audience", "kube")]);
    assert_eq!(
        error(&asked(&deployment, &nothing).await?),
        (400, "invalid_request")
    );
    Ok(())
}

/// RFC 6749 §5.1: answers with tokens are not cached. RFC 8693 §2.2.1: the members.
#[tokio::test]
async fn an_answer_has_the_members_and_headers_of_a_token_answer() -> anyhow::Result<()> {
    let (deployment, token) = stage().await?;
    let answer = asked(&deployment, &asking(&token, &[("audience", "kube")])).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("pragma"), Some("no-cache"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text("issued_token_type"), super::ID_TOKEN);
    assert_eq!(answer.text("token_type"), "Bearer");
    let refused = asked(&deployment, "x=y").await?;
    assert_eq!(refused.header("cache-control"), Some("no-store"));
    assert_eq!(refused.header("pragma"), Some("no-cache"));
    Ok(())
}
