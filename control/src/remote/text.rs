//! An explanation for people: a few lines of what is known, and what happens next.

use serde_json::Value;

/// The lines of an explanation, as control's JSON has it.
pub(super) fn explanation(answer: &Value) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: Option<String>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            lines.push(format!("{name:<9} {text}"));
        }
    };
    line("server", server(&answer["server"]));
    line("user", user(&answer["pair"]["user"]));
    line("session", session(&answer["session"]));
    line("pair", pair(&answer["pair"]));
    line("login", grant(&answer["grant"]));
    line("exchange", token(&answer["exchange"]["token"]));
    line("next", next(answer));
    let what_next = answer["what_next"].as_str().map(plain).unwrap_or_default();
    format!("{}\n\n{what_next}\n", lines.join("\n"))
}

/// Text from outside, without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(plain)
}

fn server(server: &Value) -> Option<String> {
    let name = text(&server["name"])?;
    Some(match text(&server["exchange_issuer"]) {
        Some(issuer) => format!("{name} (tokens exchanged at {issuer})"),
        None => format!("{name} (gets the user's own ID token)"),
    })
}

fn user(user: &Value) -> Option<String> {
    let subject = text(&user["subject"])?;
    let named = [text(&user["name"]), text(&user["email"])];
    let named: Vec<String> = named.into_iter().flatten().collect();
    let issuer = text(&user["issuer"]).unwrap_or_default();
    Some(if named.is_empty() {
        format!("{subject} at {issuer}")
    } else {
        format!("{} ({subject} at {issuer})", named.join(", "))
    })
}

fn session(session: &Value) -> Option<String> {
    let digest = text(&session["digest"])?;
    if session["known"] != true {
        return Some(format!("{digest}, not registered"));
    }
    Some(match session["logged_in"].as_str() {
        Some("here") => format!("{digest}, logged in here (Tokenward's authorization server)"),
        _ => format!("{digest}, registered by the aggregator"),
    })
}

fn pair(pair: &Value) -> Option<String> {
    let digest = text(&pair["digest"])?;
    let outcome = match (text(&pair["last_outcome"]), text(&pair["last_cause"])) {
        (Some(outcome), Some(cause)) => format!(", last: {outcome} ({cause})"),
        (Some(outcome), None) => format!(", last: {outcome}"),
        (None, _) => String::new(),
    };
    Some(format!("{digest}{outcome}"))
}

fn grant(grant: &Value) -> Option<String> {
    let state = text(&grant["state"])?;
    let because = text(&grant["reason"]).map_or_else(String::new, |reason| format!(" ({reason})"));
    let shown = |name: &str, kind: &str| {
        token(&grant[name]).map_or_else(String::new, |token| format!(", {kind} token {token}"))
    };
    let (id_token, access_token) = (shown("id_token", "ID"), shown("access_token", "access"));
    let issuer = text(&grant["issuer"]).unwrap_or_default();
    Some(format!("{state}{because} at {issuer}{id_token}{access_token}"))
}

fn token(token: &Value) -> Option<String> {
    let freshness = text(&token["freshness"])?;
    let left = token["expires_in_seconds"].as_i64().unwrap_or_default();
    Some(if left < 0 {
        format!("{freshness}, expired {} s ago", left.unsigned_abs())
    } else {
        format!("{freshness}, expires in {left} s")
    })
}

fn next(answer: &Value) -> Option<String> {
    let next = text(&answer["next"])?;
    Some(match text(&answer["refusal"]) {
        Some(refusal) => format!("{next}: {refusal}"),
        None => next,
    })
}
