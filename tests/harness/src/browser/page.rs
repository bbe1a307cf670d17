//! What a user does on a page: fills in its one form to log in or to consent, or goes on where the page leads.

/// Where a page without a form sends the browser on by itself: `<meta http-equiv="refresh" content="0; url=…">`.
pub(super) fn onward(html: &str) -> Option<String> {
    html.split("<meta").skip(1).find_map(|rest| {
        let (tag, _) = rest.split_once('>')?;
        attribute(tag, "http-equiv")
            .is_some_and(|name| name.eq_ignore_ascii_case("refresh"))
            .then(|| attribute(tag, "content"))
            .flatten()
            .and_then(|content| Some(content.split_once("url=")?.1.to_owned()))
    })
}

/// A form to be posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form {
    /// Its address as the page has it; empty for the page's own.
    pub(super) action: String,
    /// Names and values as the page has them.
    pub(super) fields: Vec<(String, String)>,
    /// Names and values of the buttons that have a name.
    buttons: Vec<(String, String)>,
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
                    buttons: buttons(body),
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

    /// With the button of this value pressed, or without a value the first one; a form need not have any with a name.
    pub(super) fn press(mut self, value: Option<&str>) -> Option<Self> {
        let mut buttons = self.buttons.iter();
        let pressed = match value {
            Some(value) => Some(buttons.find(|(_, other)| other == value)?),
            None => buttons.next(),
        };
        self.fields.extend(pressed.cloned());
        Some(self)
    }

    /// Whether one of its buttons has this value.
    pub(super) fn has_button(&self, value: &str) -> bool {
        self.buttons.iter().any(|(_, other)| other == value)
    }
}

fn fields(body: &str) -> Vec<(String, String)> {
    body.split("<input")
        .skip(1)
        .filter_map(|rest| {
            let (input, _) = rest.split_once('>')?;
            // A box that is not ticked is not sent.
            let is_box = attribute(input, "type").is_some_and(|kind| kind == "checkbox");
            (!is_box).then_some(())?;
            named(input)
        })
        .collect()
}

fn buttons(body: &str) -> Vec<(String, String)> {
    body.split("<button")
        .skip(1)
        .filter_map(|rest| named(rest.split_once('>')?.0))
        .collect()
}

fn named(tag: &str) -> Option<(String, String)> {
    Some((
        attribute(tag, "name")?,
        attribute(tag, "value").unwrap_or_default(),
    ))
}

/// The value of an attribute in double quotes.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    let plain = value
        .replace("&#43;", "+")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#38;", "&")
        .replace("&amp;", "&");
    Some(plain)
}

#[cfg(test)]
mod tests;
