//! The exchange endpoint: an aggregator that exchanges by itself gets the token here instead of at the remote issuer. What
//! it is given is remembered, because it presents that token at the gateway, also when it is stale.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tokenward_protocol::duration::whole_ms;
use tokenward_protocol::refusal::Refusal;
use tokenward_protocol::token_endpoint::{Reason, SubjectTokenType, TokenRequest};

use super::report::ProvenUser;
use super::subject::ProvenSubject;
use super::{Server, Service};
use crate::refused::Refused;
use crate::upstream::entitlement::Entitlement;
use crate::upstream::exchange::given::GivenToken;
use crate::upstream::exchange::record::ExchangeKey;
use crate::upstream::exchange::standing::Standing;
use crate::upstream::grant::Served;
use crate::upstream::issuer::proven_tokens::TokenDigest;

impl Service {
    /// Exchanges the home token `subject_token` for `server`, whose remote issuer is known to exist. As ahead of time: the
    /// stored token is served unless it is near its expiry, and also then if the remote issuer fails.
    ///
    /// # Errors
    /// [`Refused`].
    pub(crate) async fn exchange_for_client(
        &self,
        server: &Arc<Server>,
        subject_token: SecretString,
    ) -> Result<Served, Refused> {
        let request = TokenRequest {
            subject_token,
            subject_token_type: SubjectTokenType::IdToken,
            server: server.config.name.clone(),
            session: None,
            reason: Reason::NearExpiry,
        };
        let digest = TokenDigest::of(request.subject_token.expose_secret());
        let mut proven = None;
        let issued = self
            .within_deadline(self.exchanged_and_given(server, (&request, digest), &mut proven))
            .await;
        self.report(&server.config.name, (&request, digest), proven.as_ref(), &issued);
        issued
    }

    async fn exchanged_and_given(
        &self,
        server: &Arc<Server>,
        (request, digest): (&TokenRequest, TokenDigest),
        proven: &mut Option<ProvenUser>,
    ) -> Result<Served, Refused> {
        let subject = self.prove_for_exchange(server, request, digest).await?;
        *proven = Some(ProvenUser::of(&subject));
        let served = self.token_for_subject(server, &subject, request.reason).await?;
        self.remember(server, &subject, &served).await?;
        Ok(served)
    }

    /// Records the user that `served` is given for, before it is. A sign-out in between ends it.
    async fn remember(
        &self,
        server: &Server,
        subject: &ProvenSubject,
        served: &Served,
    ) -> Result<(), Refused> {
        let Some(remote) = &server.remote else {
            return Ok(());
        };
        let record = self.grants.record(&subject.grant).await?;
        if Standing::of(record.as_ref(), subject.since) == Standing::Ended {
            return Err(Refusal::UnknownSession.into());
        }
        let config = &subject.home.config;
        let exchange = ExchangeKey::new(&subject.grant, &remote.config, &server.config.required_audiences);
        let name = &server.config.name;
        let given = GivenToken::new(&exchange, &subject.grant, name, &config.issuer, &config.client_id)
            .with_home_session(subject.sid.clone())
            .with_entitlement(Entitlement {
                sign_outs: Some(record.map_or(0, |record| record.sign_outs)),
                ..subject.since
            });
        let left_ms = served
            .exp_seconds
            .saturating_mul(1000)
            .saturating_sub(self.context.clock.now_ms());
        let grace_ms = whole_ms(self.config.stale_subject_grace);
        let lifetime = Duration::from_millis(left_ms.saturating_add(grace_ms));
        self.exchanges
            .remember_given(&served.token, &given, lifetime)
            .await?;
        Ok(())
    }
}
