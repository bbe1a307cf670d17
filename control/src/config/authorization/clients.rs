//! `authorization.clients` and `authorization.remembered_consent`: which programs may request tokens.

use std::time::Duration;

use url::Url;

use super::raw::{
    RawClients, RawConfiguredClient, RawHosts, RawMetadataDocuments, RawPinnedDocument, RawRegistration,
    RawRememberedConsent,
};
use super::{
    ClientsConfig, ConfiguredClient, MetadataDocumentHosts, MetadataDocumentsConfig, PinnedDocument,
    REGISTERED_CLIENT_PREFIX, RegistrationConfig, RememberedConsentConfig, moment,
};
use crate::authorization::client::metadata_document::document;
use crate::authorization::client::metadata_document::url::DocumentUrl;
use crate::config::durations;
use crate::config::findings::{Findings, shown};
use crate::config::known_clients::{CURSOR_REDIRECT_URI, KNOWN_CLIENTS, known_hosts};
use crate::config::raw::Text;
use crate::config::redirect_uri::{RedirectTarget, RedirectUri};
use crate::yaml::Spanned;

/// Longest name that the consent page shows without cutting it.
const LONGEST_NAME: usize = 256;

/// The clients; adds a problem for each fault.
pub(super) fn clients(findings: &mut Findings, raw: &RawClients) -> Option<ClientsConfig> {
    let private_use_redirects = private_use_redirects(findings, raw.private_use_redirects.as_deref());
    let mut seen: Vec<&str> = Vec::new();
    let mut configured = Vec::new();
    for client in &raw.configured {
        let id = &client.value.client_id;
        if seen.contains(&id.value.as_str()) {
            findings.add(
                id.referenced,
                format!("client_id {:?} is named twice", shown(&id.value)),
                "remove one of them",
            );
        }
        seen.push(&id.value);
        configured.extend(configured_client(findings, &client.value, &private_use_redirects));
    }
    Some(ClientsConfig {
        configured,
        metadata_documents: metadata_documents(findings, &raw.metadata_documents, &private_use_redirects)?,
        registration: checked_registration(findings, &raw.registration),
        private_use_redirects,
    })
}

fn configured_client(
    findings: &mut Findings,
    raw: &RawConfiguredClient,
    private_use: &[String],
) -> Option<ConfiguredClient> {
    let id = &raw.client_id;
    // RFC 6749 appendix A.1.
    let is_usable = !id.value.is_empty() && id.value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if !is_usable || id.value.starts_with("https://") || id.value.starts_with(REGISTERED_CLIENT_PREFIX) {
        findings.add(
            id.referenced,
            format!("client_id {:?} is not usable for a configured client", shown(&id.value)),
            "use visible ASCII that begins neither with https:// (a metadata document's) nor with twc1. (a registration's)",
        );
    }
    let name = &raw.name;
    if name.value.trim().is_empty() || name.value.chars().count() > LONGEST_NAME {
        findings.add(
            name.referenced,
            "the client's name is empty, or longer than 256 characters",
            "write the program's name: the consent page shows it",
        );
    }
    if raw.redirect_uris.value.is_empty() {
        findings.add(
            raw.redirect_uris.referenced,
            "redirect_uris is empty",
            "name at least one URI to which the client lets its users return",
        );
    }
    for uri in &raw.redirect_uris.value {
        if let Err(bad) = RedirectUri::read(&uri.value, private_use) {
            findings.add(
                uri.referenced,
                format!("redirect URI {:?}: {bad}", shown(&uri.value)),
                "write it as the client sends it, as in https://portal.example.com/callback or http://127.0.0.1/callback",
            );
        }
    }
    let jwks = match &raw.jwks {
        Some(jwks) => {
            let text = findings.public_file("jwks", &jwks.value.file)?;
            if serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|set| set["keys"].is_array()) {
                Some(text)
            } else {
                findings.add(
                    jwks.referenced,
                    "the client's jwks is not a JWK set",
                    "write {\"keys\": […]} with the client's public keys (RFC 7517 §5)",
                );
                None
            }
        }
        None => None,
    };
    Some(ConfiguredClient {
        client_id: id.value.clone(),
        name: name.value.clone(),
        redirect_uris: texts(&raw.redirect_uris.value),
        jwks,
    })
}

fn metadata_documents(
    findings: &mut Findings,
    raw: &RawMetadataDocuments,
    private_use: &[String],
) -> Option<MetadataDocumentsConfig> {
    let local = raw.allow_private_addresses;
    let egress_proxy = match &raw.egress_proxy {
        Some(text) => proxy(findings, text).map(Some),
        None => Some(None),
    };
    let hosts = hosts(findings, raw.hosts.as_ref());
    let pinned: Vec<_> = raw
        .pinned
        .iter()
        .filter_map(|pinned| pinned_document(findings, &pinned.value, local, private_use))
        .collect();
    Some(MetadataDocumentsConfig {
        hosts: hosts?,
        pinned,
        egress_proxy: egress_proxy?,
        allow_private_addresses: local,
    })
}

fn hosts(findings: &mut Findings, raw: Option<&Spanned<RawHosts>>) -> Option<MetadataDocumentHosts> {
    let Some(raw) = raw else {
        return Some(MetadataDocumentHosts::Listed(known_hosts()));
    };
    match &raw.value {
        RawHosts::Named(name) => match name.as_str() {
            "known" => return Some(MetadataDocumentHosts::Listed(known_hosts())),
            "any" => return Some(MetadataDocumentHosts::Any),
            "pinned" => return Some(MetadataDocumentHosts::Pinned),
            other => findings.add(
                raw.referenced,
                format!("metadata_documents.hosts {:?} is not known", shown(other)),
                "write known (the clients that docs/login.md lists), any, pinned (only copies in the configuration), or a \
                 list of hosts",
            ),
        },
        RawHosts::Listed(hosts) => {
            let mut is_usable = true;
            for host in hosts {
                let url = Url::parse(&format!("https://{}/", host.value)).ok();
                if url.as_ref().and_then(Url::host_str) != Some(host.value.as_str()) {
                    is_usable = false;
                    findings.add(
                        host.referenced,
                        format!("host {:?} is not usable", shown(&host.value)),
                        "write the host of client_id alone, in lower case, as in claude.ai",
                    );
                }
            }
            if is_usable {
                return Some(MetadataDocumentHosts::Listed(texts(hosts)));
            }
        }
    }
    None
}

fn proxy(findings: &mut Findings, text: &Text) -> Option<Url> {
    let url = Url::parse(&text.value).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        findings.add(
            text.referenced,
            "metadata_documents.egress_proxy is not the address of a proxy",
            "write it as in http://proxy.egress.svc:3128, without a user, a password or a path",
        );
    }
    url
}

/// A pinned document, which `serve` reads in the same way.
fn pinned_document(
    findings: &mut Findings,
    raw: &RawPinnedDocument,
    local: bool,
    private_use: &[String],
) -> Option<PinnedDocument> {
    let id = &raw.client_id;
    let document = findings.public_file("the pinned document", &raw.file)?;
    let url = match DocumentUrl::read(&id.value, local) {
        Ok(url) => url,
        Err(bad) => {
            findings.add(
                id.referenced,
                format!("pinned client_id {:?}: {bad}", shown(&id.value)),
                "write the URL of the client's metadata document, as the client sends it",
            );
            return None;
        }
    };
    if let Err(bad) = document::read(document.as_bytes(), &id.value, &url, private_use) {
        findings.add(
            raw.file.referenced,
            format!(
                "the pinned document is not valid for {:?}: {bad}",
                shown(&id.value)
            ),
            "save the document exactly as its URL serves it",
        );
        return None;
    }
    Some(PinnedDocument {
        client_id: id.value.clone(),
        document,
    })
}

fn checked_registration(findings: &mut Findings, raw: &RawRegistration) -> RegistrationConfig {
    let lifetime = findings.positive_duration(
        "registration.lifetime",
        raw.lifetime.as_ref(),
        durations::REGISTRATION_LIFETIME,
    );
    let not_before_seconds = raw.not_before.as_ref().map_or(0, |text| {
        moment::unix_seconds(&text.value).unwrap_or_else(|| {
            findings.add(
                text.referenced,
                format!("registration.not_before {:?} is not a moment", shown(&text.value)),
                "write it as in 2026-11-30T20:00:00Z (RFC 3339), or in Unix seconds",
            );
            0
        })
    });
    RegistrationConfig {
        enabled: raw.enabled.unwrap_or(true),
        lifetime,
        not_before_seconds,
    }
}

fn private_use_redirects(findings: &mut Findings, raw: Option<&[Text]>) -> Vec<String> {
    let Some(raw) = raw else {
        return vec![CURSOR_REDIRECT_URI.to_owned()];
    };
    for text in raw {
        let uri = RedirectUri::read(&text.value, std::slice::from_ref(&text.value));
        if uri.is_ok_and(|uri| uri.target() == RedirectTarget::PrivateUse) {
            continue;
        }
        findings.add(
            text.referenced,
            format!("private_use_redirects: {:?} is not usable", shown(&text.value)),
            "write a whole redirect URI with the program's own scheme, as in cursor://anysphere.cursor-mcp/oauth/callback",
        );
    }
    texts(raw)
}

/// The remembered consents; adds a problem for each client that cannot be remembered.
pub(super) fn remembered_consent(
    findings: &mut Findings,
    raw: Option<&RawRememberedConsent>,
) -> RememberedConsentConfig {
    const LIFETIME: Duration = durations::REMEMBERED_CONSENT_LIFETIME;
    let Some(raw) = raw else {
        return RememberedConsentConfig {
            clients: Vec::new(),
            lifetime: LIFETIME,
        };
    };
    for client in &raw.clients {
        if !client.value.starts_with("https://") {
            findings.add(
                client.referenced,
                format!("the consent for {:?} cannot be remembered", shown(&client.value)),
                "list only client_ids that are https URLs: any program can present another identifier",
            );
        } else if is_on_this_machine(&client.value) {
            findings.add(
                client.referenced,
                format!("the consent for {:?} cannot be remembered", shown(&client.value)),
                "remove it: it redirects to the user's own machine, where any program can claim to be this client",
            );
        }
    }
    RememberedConsentConfig {
        clients: texts(&raw.clients),
        lifetime: findings.positive_duration("remembered_consent.lifetime", raw.lifetime.as_ref(), LIFETIME),
    }
}

/// Whether it is a known client all of whose redirect URIs lead to the user's own machine.
fn is_on_this_machine(client_id: &str) -> bool {
    let is_loopback = |uri: &&str| RedirectUri::read(uri, &[]).is_ok_and(|uri| uri.is_loopback());
    KNOWN_CLIENTS
        .iter()
        .any(|known| known.client_id == client_id && known.redirect_uris.iter().all(is_loopback))
}

fn texts(texts: &[Text]) -> Vec<String> {
    texts.iter().map(|text| text.value.clone()).collect()
}
