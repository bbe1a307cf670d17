//! The one form of a page that a user fills in to log in or to consent.

/// A form to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// Its address as the page has it; empty for the page's own.
    pub(super) action: String,
    /// Names and values as the page has them.
    pub(super) fields: Vec<(String, String)>,
}

impl Form {
    /// The first form of a page that is posted.
    pub(super) fn first(html: &str) -> Option<Self> {
        html.split("<form").skip(1).find_map(|rest| {
            let (form, _) = rest.split_once("</form>").unwrap_or((rest, ""));
            let (head, body) = form.split_once('>')?;
            attribute(head, "method")
                .is_some_and(|method| method.eq_ignore_ascii_case("post"))
                .then(|| Self {
                    action: attribute(head, "action").unwrap_or_default(),
                    fields: fields(body),
                })
        })
    }

    /// As the user `email` fills it in; every user of the tests has the same password.
    pub(super) fn filled_in_by(mut self, email: &str) -> Self {
        for (name, value) in &mut self.fields {
            match name.as_str() {
                "login" | "username" | "email" => email.clone_into(value),
                "password" => "password".clone_into(value),
                _ => {}
            }
        }
        self
    }
}

fn fields(body: &str) -> Vec<(String, String)> {
    body.split("<input")
        .skip(1)
        .filter_map(|rest| {
            let (input, _) = rest.split_once('>')?;
            Some((
                attribute(input, "name")?,
                attribute(input, "value").unwrap_or_default(),
            ))
        })
        .collect()
}

/// The value of an attribute in double quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    let plain = value
        .replace("&#43;", "+")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    Some(plain)
}

#[cfg(test)]
mod tests;
