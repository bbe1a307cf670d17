//! What servers answer to a token that looked fresh, through the module's own reading of their headers.

use tokenward_wasm_host::Headers;
use tokenward_wasm_host::story::{FilterWorld, Sent, exp_in, forward, token};

use crate::fixtures::assert_sound;

/// A server that keeps its answers for the test to give.
fn world() -> FilterWorld {
    FilterWorld::builder()
        .server(forward("kubernetes"))
        .upstream_stays_open()
        .start()
}

/// A fresh request that the server answers with this status and these challenges.
fn answered(world: &FilterWorld, status: u16, challenges: &[&str]) -> (Option<u16>, Option<String>, Sent) {
    let bearer = world.mint(&token(exp_in(1800)));
    let sent = world.request("kubernetes").bearer(&bearer).send();
    assert!(sent.is_forwarded());
    let headers = challenges.iter().fold(Headers::new(), |headers, challenge| {
        headers.with("www-authenticate", challenge)
    });
    sent.respond(status, &headers, "");
    (sent.status(), sent.header("www-authenticate"), sent)
}

#[test]
fn a_403_is_softened_when_any_of_its_challenges_names_the_token() {
    let named = "Bearer realm=\"mcp\", error=\"invalid_token\", error_description=\"token is expired\"";
    for challenges in [
        &[named][..],
        &["Negotiate", named],
        &["Basic realm=\"a\"", "Digest", named],
    ] {
        let world = world();
        let (status, challenge, sent) = answered(&world, 403, challenges);
        assert_eq!((status, challenge), (Some(503), None), "{challenges:?}");
        assert_eq!(sent.header("retry-after").as_deref(), Some("1"));
        world.advance(std::time::Duration::from_millis(200));
        assert_eq!(
            world.control().calls().len(),
            1,
            "one newly made token is asked for"
        );
        assert_sound(&world);
    }
}

#[test]
fn a_403_about_permissions_passes_with_its_challenge_and_asks_nobody() {
    for challenges in [
        &[][..],
        &["Bearer error=\"insufficient_scope\", scope=\"files:read\""],
    ] {
        let world = world();
        let (status, challenge, _) = answered(&world, 403, challenges);
        assert_eq!(status, Some(403));
        assert_eq!(challenge.as_deref(), challenges.first().copied());
        world.advance(std::time::Duration::from_secs(1));
        assert_eq!(world.control().calls().len(), 0);
        assert_sound(&world);
    }
}

#[test]
fn a_401_is_softened_whatever_its_challenge_says() {
    for challenges in [&[][..], &["Bearer"], &["Basic realm=\"a\""]] {
        let world = world();
        let (status, challenge, _) = answered(&world, 401, challenges);
        assert_eq!((status, challenge), (Some(503), None), "{challenges:?}");
        assert_sound(&world);
    }
}
