//! As much of JSON Schema 2020-12 as `openapi.json` uses. A keyword that is not known here is an error, so that
//! nothing in the document goes unchecked.

use serde_json::Value;

/// What `#/a/b` names in the document.
///
/// # Panics
/// When there is no such place.
pub fn resolved<'a>(document: &'a Value, reference: &str) -> &'a Value {
    let pointer = reference.trim_start_matches('#');
    document
        .pointer(pointer)
        .unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// Compares `value` with `schema`, whose references are into `document`.
///
/// # Errors
/// The place that does not fit, and why.
pub fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    at(document, schema, value, "answer")
}

fn at(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let Some(keywords) = schema.as_object() else {
        return Err(format!("{place}: the schema is no object"));
    };
    for (keyword, argument) in keywords {
        let fits = match keyword.as_str() {
            "description" | "default" | "format" | "required" | "additionalProperties" => true,
            "$ref" => {
                let reference = argument.as_str().unwrap_or_default();
                at(document, resolved(document, reference), value, place)?;
                true
            }
            "type" => is_of_type(argument, value),
            "enum" => argument.as_array().is_some_and(|all| all.contains(value)),
            "const" => argument == value,
            "minimum" => value
                .as_i64()
                .is_none_or(|number| argument.as_i64().is_some_and(|least| number >= least)),
            "minLength" => length(value).is_none_or(|length| argument.as_u64() <= Some(length)),
            "pattern" => value.as_str().is_none_or(|text| fits(argument, text)),
            "maxLength" => length(value).is_none_or(|length| Some(length) <= argument.as_u64()),
            "minItems" => value
                .as_array()
                .is_none_or(|items| argument.as_u64() <= Some(items.len() as u64)),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    at(document, argument, item, &format!("{place}[{index}]"))?;
                }
                true
            }
            "anyOf" => argument.as_array().is_some_and(|schemas| {
                schemas
                    .iter()
                    .any(|schema| at(document, schema, value, place).is_ok())
            }),
            "properties" => {
                members(document, schema, value, place)?;
                true
            }
            other => return Err(format!("{place}: the keyword {other} is not known to this test")),
        };
        if !fits {
            return Err(format!("{place}: {value} does not fit {keyword} {argument}"));
        }
    }
    Ok(())
}

fn members(document: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    for required in schema["required"].as_array().into_iter().flatten() {
        let name = required.as_str().unwrap_or_default();
        if !object.contains_key(name) {
            return Err(format!("{place}: {name} is missing"));
        }
    }
    for (name, member) in object {
        match schema["properties"].get(name) {
            Some(schema) => at(document, schema, member, &format!("{place}.{name}"))?,
            None if schema["additionalProperties"] == false => {
                return Err(format!("{place}: {name} is not documented"));
            }
            None => {}
        }
    }
    Ok(())
}

/// As much of a pattern as the document uses: one class of characters, at least one of them.
fn fits(pattern: &Value, text: &str) -> bool {
    let class = pattern
        .as_str()
        .and_then(|pattern| pattern.strip_prefix("^[")?.strip_suffix("]+$"));
    let class = class.unwrap_or_else(|| panic!("the pattern {pattern} is not known to this test"));
    let mut characters = class.chars().filter(|character| *character != '\\').peekable();
    let mut ranges = Vec::new();
    while let Some(first) = characters.next() {
        let last = characters.next_if_eq(&'-').and_then(|_| characters.next());
        ranges.push(first..=last.unwrap_or(first));
    }
    let is_in_class = |character| ranges.iter().any(|range| range.contains(&character));
    !text.is_empty() && text.chars().all(is_in_class)
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn is_of_type(expected: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    };
    match expected {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => false,
    }
}
