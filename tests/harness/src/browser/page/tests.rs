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
