//! Logins and their refresh tokens.

use std::time::Duration;

use super::Rotation;
use super::product::Death;
use crate::issuer::milliseconds;

/// One login of a user at a client.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) client_id: String,
    /// The session at the issuer.
    pub(super) session: String,
    pub(super) logged_in_seconds: i64,
    /// The API for which it has access tokens, where it named one.
    pub(super) api: Option<String>,
    pub(super) ended: Option<Death>,
    /// All refresh tokens so far, the newest last.
    tokens: Vec<RefreshToken>,
}

#[derive(Debug, Clone)]
struct RefreshToken {
    token: String,
    /// When it was issued, or used last.
    touched_ms: i64,
    /// When another took its place.
    replaced_ms: Option<i64>,
}

/// Where a presented token was found.
#[derive(Debug, Clone, Copy)]
struct Place {
    login: usize,
    token: usize,
}

/// All logins.
#[derive(Debug, Default)]
pub(super) struct Logins {
    all: Vec<Login>,
}

impl Login {
    pub(super) fn new(user: &str, client_id: &str, session: String, token: String, now_ms: i64) -> Self {
        Self {
            user: user.to_owned(),
            client_id: client_id.to_owned(),
            session,
            logged_in_seconds: now_ms.div_euclid(1000),
            api: None,
            ended: None,
            tokens: vec![RefreshToken::new(token, now_ms)],
        }
    }

    pub(super) fn refresh_token(&self) -> String {
        self.tokens
            .last()
            .map(|newest| newest.token.clone())
            .unwrap_or_default()
    }
}

impl RefreshToken {
    fn new(token: String, now_ms: i64) -> Self {
        Self {
            token,
            touched_ms: now_ms,
            replaced_ms: None,
        }
    }
}

impl Logins {
    /// One more; ends the user's oldest at the client if there are more than `most` then.
    pub(super) fn open(&mut self, login: Login, most: usize) {
        let (user, client_id) = (login.user.clone(), login.client_id.clone());
        self.all.push(login);
        let alive: Vec<usize> = (0..self.all.len())
            .filter(|at| {
                let other = &self.all[*at];
                other.ended.is_none() && other.user == user && other.client_id == client_id
            })
            .collect();
        if alive.len() > most {
            self.all[alive[0]].ended = Some(Death::Displaced);
        }
    }

    /// Ends the logins that `is_meant`; returns how many were alive.
    pub(super) fn end(&mut self, is_meant: impl Fn(&Login) -> bool) -> usize {
        let mut ended = 0;
        for login in &mut self.all {
            if login.ended.is_none() && is_meant(login) {
                login.ended = Some(Death::Ended);
                ended += 1;
            }
        }
        ended
    }

    /// The login of a token, dead or alive.
    pub(super) fn of_token(&self, token: &str) -> Option<&Login> {
        self.place(token).map(|place| &self.all[place.login])
    }

    /// Whether a refresh with the token would succeed.
    pub(super) fn is_good(&self, token: &str, rotation: Rotation, idle: Duration, now_ms: i64) -> bool {
        self.place(token).is_some_and(|place| {
            self.all[place.login].ended.is_none() && self.death(place, rotation, idle, now_ms).is_none()
        })
    }

    /// Logins that are alive.
    pub(super) fn alive(&self) -> usize {
        self.all.iter().filter(|login| login.ended.is_none()).count()
    }

    /// Uses a token: the login as it is then. `next` is the token that takes its place or comes beside it.
    pub(super) fn present(
        &mut self,
        token: &str,
        rotation: Rotation,
        idle: Duration,
        (next, now_ms): (String, i64),
    ) -> Result<Login, Death> {
        let place = self.place(token).ok_or(Death::Unknown)?;
        if let Some(death) = self.all[place.login].ended {
            return Err(death);
        }
        if let Some(death) = self.death(place, rotation, idle, now_ms) {
            self.all[place.login].ended = Some(death);
            return Err(death);
        }
        let login = &mut self.all[place.login];
        let used = &mut login.tokens[place.token];
        used.touched_ms = now_ms;
        match rotation {
            Rotation::Static => {}
            Rotation::Added => login.tokens.push(RefreshToken::new(next, now_ms)),
            Rotation::Replaced { .. } => {
                used.replaced_ms.get_or_insert(now_ms);
                login.tokens.push(RefreshToken::new(next, now_ms));
            }
        }
        Ok(login.clone())
    }

    fn place(&self, token: &str) -> Option<Place> {
        self.all.iter().enumerate().find_map(|(login, candidate)| {
            let at = candidate.tokens.iter().position(|known| known.token == token)?;
            Some(Place { login, token: at })
        })
    }

    /// What a token of a login that is alive dies of at this use.
    fn death(&self, place: Place, rotation: Rotation, idle: Duration, now_ms: i64) -> Option<Death> {
        let tokens = &self.all[place.login].tokens;
        let token = &tokens[place.token];
        if now_ms - token.touched_ms > milliseconds(idle) {
            return Some(Death::Idle);
        }
        let (Rotation::Replaced { overlap }, Some(replaced_ms)) = (rotation, token.replaced_ms) else {
            return None;
        };
        // Only the newest that was replaced, and only until a token after it was used.
        let is_previous = tokens[place.token + 1..]
            .iter()
            .all(|later| later.replaced_ms.is_none());
        let in_overlap = now_ms - replaced_ms < milliseconds(overlap);
        (!is_previous || !in_overlap).then_some(Death::Reused)
    }
}
