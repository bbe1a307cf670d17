use super::Form;

#[test]
fn the_form_of_a_login_page_is_found_and_filled_in() {
    let page = r#"<html><form action="/search" method="get"><input name="q"></form>
        <form method="post" action="/dex/auth/local/login?back=&amp;state=a&#43;b">
        <input tabindex="1" required id="login" name="login" type="text" />
        <input id="password" name="password" type="password">
        <input type="hidden" name="prompt" value="login"/></form>"#;
    let form = Form::first(page).expect("a form");
    assert_eq!(form.action, "/dex/auth/local/login?back=&state=a+b");
    let filled = form.filled_in_by("a@example.com").fields;
    let field = |at: usize| (filled[at].0.as_str(), filled[at].1.as_str());
    assert_eq!(filled.len(), 3);
    assert_eq!(field(0), ("login", "a@example.com"));
    assert_eq!(field(1), ("password", "password"));
    assert_eq!(field(2), ("prompt", "login"));
}

#[test]
fn a_page_without_a_form_to_post_has_none() {
    assert_eq!(Form::first("<form action=\"/a\"><input name=\"b\"></form>"), None);
}

const CONSENT: &str = r#"<form method="post" action="/consent"><input type="hidden" name="request" value="r">
    <label><input type="checkbox" name="remember" value="yes"> Remember</label>
    <button class="main" type="submit" name="decision" value="allow">Allow</button>
    <button type="submit" name="decision" value="deny">Deny</button></form>"#;

fn pressed(button: Option<&str>) -> Option<Vec<(String, String)>> {
    Form::first(CONSENT)?.press(button).map(|form| form.fields)
}

#[test]
fn one_button_is_sent_and_a_box_that_is_not_ticked_is_not() {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        pressed(None),
        Some(vec![field("request", "r"), field("decision", "allow")])
    );
    assert_eq!(
        pressed(Some("deny")),
        Some(vec![field("request", "r"), field("decision", "deny")])
    );
    assert_eq!(pressed(Some("later")), None);
}

#[test]
fn a_page_that_leads_on_by_itself_is_followed() {
    let page = r#"<meta charset="utf-8"><meta http-equiv="refresh" content="0; url=http://a/b?c=d&amp;e=f">"#;
    assert_eq!(super::onward(page).as_deref(), Some("http://a/b?c=d&e=f"));
    assert_eq!(super::onward(r#"<meta charset="utf-8">"#), None);
}
