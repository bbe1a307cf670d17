//! Microsoft Entra ID, the v2.0 endpoints of one tenant. From its documentation.

use url::Url;

use super::RemoteAddresses;
use super::error_meaning::ErrorMeaning;
use super::rules::{
    AssertionAudience, AudienceBy, DialectRules, DocumentSign, ErrorRule, ExchangeDefaults, ExchangeGrant,
    IssuerPolicy, OfflineAccess, RefreshTokens, SignOutAtIssuer, SubjectKind,
};
use super::standard;

/// `error_description` begins with a number of Entra's own, which says more than `error` does.
const ERRORS: &[ErrorRule] = &[
    // The assertion of an on-behalf-of request is not for this client, or not valid.
    ErrorRule::containing("invalid_grant", "AADSTS50013:", ErrorMeaning::SubjectNotAccepted),
    ErrorRule::containing("invalid_grant", "AADSTS500131:", ErrorMeaning::SubjectNotAccepted),
    ErrorRule::containing("invalid_grant", "AADSTS65001:", ErrorMeaning::ConsentMissing),
    // The client sent too many requests of one kind; it passes after minutes.
    ErrorRule::containing("invalid_grant", "AADSTS50196:", ErrorMeaning::TryLater),
    ErrorRule::containing("invalid_request", "AADSTS50196:", ErrorMeaning::TryLater),
];

/// A refresh token stays valid when it is used; each refresh gives another one.
pub(super) const RULES: DialectRules = DialectRules {
    name: "entra",
    policy: IssuerPolicy::Tolerant,
    refresh_tokens: RefreshTokens::PerLogin,
    sign_out: SignOutAtIssuer::Nothing,
    errors: ERRORS,
    dead_refresh_token: standard::DEAD_REFRESH_TOKEN,
    offline_access: OfflineAccess::Scope,
    assertion_audience: AssertionAudience::TokenEndpoint,
    client_certificates: true,
    exchange: Some(ExchangeDefaults {
        grant: ExchangeGrant::JwtBearer,
        accepted_grants: &[ExchangeGrant::JwtBearer],
        subject: SubjectKind::AccessToken,
        accepted_subjects: &[SubjectKind::AccessToken],
        requested_token_type: None,
        audience_by: AudienceBy::Nothing,
        needs_audience: false,
        needs_connector: false,
        needs_subject_token_type: false,
        scopes: "",
        parameters: &[("requested_token_use", "on_behalf_of")],
    }),
    hosts: &[
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "sts.windows.net",
        ".ciamlogin.com",
    ],
    path: None,
    token_path: None,
    login_scopes: standard::LOGIN_SCOPES,
    document: &[
        DocumentSign::Has("cloud_instance_name"),
        DocumentSign::Has("msgraph_host"),
    ],
};

/// `…/TENANT/oauth2/v2.0/token`. The issuer of v1.0 tokens differs: `expectedIssuer` names it.
pub(super) fn remote_addresses(token_endpoint: &Url) -> Option<RemoteAddresses> {
    let found = super::beside(token_endpoint, "/oauth2/v2.0/token", "/discovery/v2.0/keys")?;
    Some(RemoteAddresses {
        issuer: format!("{}/v2.0", found.issuer),
        ..found
    })
}
