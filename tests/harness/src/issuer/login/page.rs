//! The pages of the login, for a person and for a scripted browser alike.

use std::fmt::Write as _;

use super::Dex;

/// The HTML of a page.
pub(super) struct Page(pub(super) String);

const STYLE: &str = "\
:root{color-scheme:light dark}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;padding:1rem;\
font:1rem/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}\
main{width:100%;max-width:24rem;border:1px solid #8886;border-radius:.75rem;padding:1.5rem}\
h1{font-size:1.25rem;margin:0 0 .25rem}\
p{margin:.25rem 0 1rem;overflow-wrap:anywhere}\
form{margin:0 0 .75rem}\
label{display:block;margin:.5rem 0 .125rem}\
input,button{width:100%;font:inherit;padding:.5rem .75rem;border-radius:.5rem;border:1px solid #8889}\
button{cursor:pointer;background:#2450a8;color:#fff;border-color:#2450a8;overflow-wrap:anywhere}\
summary{cursor:pointer;margin:.75rem 0}\
.error{border-left:.25rem solid #c33;padding-left:.75rem}";

/// The login page of a request: one button for each user, and a form for email and password with the names and ids of
/// Dex's. `rejected` is the email of a login that failed.
pub(super) fn login(dex: &Dex, client_id: &str, id: &str, rejected: Option<&str>) -> Page {
    let action = format!("/dex/auth/local/login?back=&amp;state={}", escaped(id));
    let mut users = String::new();
    for user in dex.users() {
        let (email, password) = (escaped(&user.email), escaped(&user.password));
        let _ = writeln!(
            users,
            "<form method=\"post\" action=\"{action}\">\
             <input type=\"hidden\" name=\"login\" value=\"{email}\">\
             <input type=\"hidden\" name=\"password\" value=\"{password}\">\
             <button type=\"submit\">Log in as {email}</button></form>"
        );
    }
    let error = rejected.map_or(
        "",
        |_| "<p id=\"login-error\" class=\"error\" role=\"alert\">Invalid Email Address and password.</p>\n",
    );
    let open = if rejected.is_some() { " open" } else { "" };
    let email = escaped(rejected.unwrap_or_default());
    let client = escaped(client_id);
    framed(
        "Log in",
        &format!(
            "<p>{client} asks for a login at the issuer of this demo or test. It has no accounts but these.</p>\n\
             {error}{users}<details{open}><summary>With email and password</summary>\n\
             <form method=\"post\" action=\"{action}\">\n\
             <label for=\"login\">Email Address</label>\n\
             <input required id=\"login\" name=\"login\" type=\"text\" autocomplete=\"off\" value=\"{email}\">\n\
             <label for=\"password\">Password</label>\n\
             <input required id=\"password\" name=\"password\" type=\"password\" autocomplete=\"off\">\n\
             <p></p><button id=\"submit-login\" type=\"submit\">Login</button>\n</form></details>"
        ),
    )
}

/// A page that states what is wrong with a request that must not be sent back to its client.
pub(super) fn error(title: &str, message: &str) -> Page {
    framed(title, &format!("<p class=\"error\">{}</p>", escaped(message)))
}

fn framed(title: &str, content: &str) -> Page {
    Page(format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} · demo issuer</title><link rel=\"icon\" href=\"data:,\">\n\
         <style>{STYLE}</style></head>\n<body><main><h1>{title}</h1>\n{content}\n</main></body></html>\n"
    ))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
