//! Project Wycheproof's JSON Web Signature and Key vectors against the verifier: every vector has the verdict that the
//! project gives it, but for those listed here with the reason.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenward_control::upstream::issuer::key_set::KeySet;
use tokenward_control::upstream::issuer::verify::{read_header, signed_by};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    number_of_tests: usize,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    comment: String,
    public: Option<Value>,
    /// Symmetric keys are private only.
    private: Option<Value>,
    tests: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    tc_id: usize,
    comment: String,
    jws: Value,
    result: String,
}

/// Why a vector is judged otherwise than by the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deviation {
    /// Valid, and refused: an issuer's published key must not be enough to sign.
    Symmetric,
    /// Valid, and refused: the key's `alg` is another algorithm.
    KeyOfAnotherAlgorithm,
    /// Invalid, and accepted: whether an issuer's own key is a weak one is the issuer's business.
    WeakKeyOfTheIssuer,
}

impl Group {
    /// The keys as an issuer would publish them.
    fn key_set(&self) -> Value {
        match self.public.as_ref().or(self.private.as_ref()) {
            Some(set) if set.get("keys").is_some() => set.clone(),
            Some(key) => json!({"keys": [key]}),
            None => json!({"keys": []}),
        }
    }
}

/// As [`tokenward_control::upstream::issuer::keys`] does it: the header is read, and one of the keys that it names must have
/// made the signature.
fn is_accepted(group: &Group, vector: &Vector) -> bool {
    let Some(token) = vector.jws.as_str() else {
        return false;
    };
    let Ok(header) = read_header(token) else {
        return false;
    };
    let asked = header.key_id.as_deref();
    let set = KeySet::read(group.key_set().to_string().as_bytes()).unwrap_or_default();
    set.keys
        .iter()
        .filter(|key| asked.is_none() || key.id().is_none() || key.id() == asked)
        .any(|key| signed_by(token, header.algorithm, key))
}

/// The vectors where the project's verdict is another one.
fn judged_otherwise(file: &str, count: usize) -> anyhow::Result<BTreeMap<usize, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/wycheproof")
        .join(file);
    let vectors: Vectors = serde_json::from_slice(&std::fs::read(path)?)?;
    assert_eq!(vectors.number_of_tests, count);
    let (mut seen, mut accepted, mut otherwise) = (0, 0, BTreeMap::new());
    for group in &vectors.test_groups {
        for vector in &group.tests {
            seen += 1;
            let is_accepted = is_accepted(group, vector);
            accepted += usize::from(is_accepted);
            let is_valid = match vector.result.as_str() {
                "valid" => true,
                "invalid" => false,
                other => anyhow::bail!("vector {}: result {other:?}", vector.tc_id),
            };
            if is_accepted != is_valid {
                let text = format!("{} {}: accepted: {is_accepted}", group.comment, vector.comment);
                otherwise.insert(vector.tc_id, text);
            }
        }
    }
    assert_eq!(seen, count);
    println!(
        "{file}: {seen} vectors, {accepted} accepted, {} judged otherwise",
        otherwise.len()
    );
    Ok(otherwise)
}

fn assert_only(otherwise: &BTreeMap<usize, String>, listed: &[(Deviation, &[usize])]) {
    let listed: BTreeMap<usize, Deviation> = listed
        .iter()
        .flat_map(|(deviation, vectors)| vectors.iter().map(|vector| (*vector, *deviation)))
        .collect();
    for (vector, verdict) in otherwise {
        let deviation = listed.get(vector);
        let accepts = deviation == Some(&Deviation::WeakKeyOfTheIssuer);
        assert!(deviation.is_some(), "vector {vector} is not listed: {verdict}");
        assert!(
            verdict.ends_with(&format!("accepted: {accepts}")),
            "{vector}: {verdict}"
        );
    }
    for (vector, deviation) in listed {
        assert!(
            otherwise.contains_key(&vector),
            "{vector} has the project's verdict: {deviation:?}"
        );
    }
}

#[test]
fn every_signature_has_the_verdict_it_should_have() -> anyhow::Result<()> {
    let otherwise = judged_otherwise("json_web_signature_test.json", 401)?;
    let symmetric: &[usize] = &[1, 348, 352, 357, 358, 359, 372, 373, 376, 377];
    assert_only(
        &otherwise,
        &[
            (Deviation::Symmetric, symmetric),
            // RFC 7520's PS384 signatures, with a key that these vectors label PS256, and its ES512 signatures, with one
            // that they label ES521, which is no algorithm.
            (Deviation::KeyOfAnotherAlgorithm, &[346, 347, 350, 351]),
        ],
    );
    Ok(())
}

#[test]
fn every_key_has_the_verdict_it_should_have() -> anyhow::Result<()> {
    let otherwise = judged_otherwise("json_web_key_test.json", 26)?;
    assert_only(
        &otherwise,
        &[
            (Deviation::Symmetric, &[2, 13, 14, 15]),
            // A modulus of the kind that can be factored (ROCA, CVE-2017-15361).
            (Deviation::WeakKeyOfTheIssuer, &[7]),
        ],
    );
    Ok(())
}
