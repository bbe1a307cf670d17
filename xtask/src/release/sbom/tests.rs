use super::components;

#[test]
fn components_are_counted_by_name_and_version_in_any_order() {
    let bill = |order: [&str; 2]| {
        let listed =
            order.map(|name| format!("{{\"name\": {name:?}, \"version\": \"1.0.0\", \"purl\": \"x\"}}"));
        format!("{{\"components\": [{}]}}", listed.join(","))
    };
    let found = components(&bill(["b", "a"])).expect("two components");
    assert_eq!(found.len(), 2);
    assert_eq!(found, components(&bill(["a", "b"])).expect("two components"));
}

#[test]
fn a_bill_without_components_is_an_error() {
    for bill in [
        "{}",
        "{\"components\": []}",
        "{\"components\": [{\"name\": \"a\"}]}",
        "no JSON",
    ] {
        assert!(components(bill).is_err(), "{bill}");
    }
}
