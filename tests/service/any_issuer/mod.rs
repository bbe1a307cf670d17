//! One set of stories for every cloud issuer: control in front of a fake of each, which answers as its documentation says.
//! A product that can be set up in more than one way is there once for each.

/// Each story at each [`Variant`](stage::Variant), as a test of its own.
macro_rules! at_each_issuer {
    ($($story:ident),* $(,)?) => {
        at_each_issuer!(@ entra, ENTRA; $($story),*);
        at_each_issuer!(@ okta, OKTA; $($story),*);
        at_each_issuer!(@ okta_without_rotation, OKTA_WITHOUT_ROTATION; $($story),*);
        at_each_issuer!(@ auth0, AUTH0; $($story),*);
        at_each_issuer!(@ auth0_with_overlap, AUTH0_WITH_OVERLAP; $($story),*);
        at_each_issuer!(@ google, GOOGLE; $($story),*);
    };
    (@ $issuer:ident, $variant:ident; $($story:ident),*) => {
        mod $issuer {
            $(
                #[tokio::test]
                async fn $story() -> anyhow::Result<()> {
                    super::$story(crate::any_issuer::stage::Variant::$variant).await
                }
            )*
        }
    };
}

mod access_tokens;
mod client_keys;
mod deaths;
mod ends;
mod exchange;
mod lost_answers;
mod only_auth0;
mod only_google;
mod own_logins;
mod passing;
mod renewal;
mod stage;
mod two_devices;
