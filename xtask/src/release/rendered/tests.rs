use super::{container_images, digests_in};

#[test]
fn digests_are_found_in_each_form_that_the_chart_renders() {
    let [control, module, image] = ["a".repeat(64), "0".repeat(64), "5".repeat(64)];
    let resources = format!(
        "image: \"registry.example.com/tokenward@sha256:{control}\"\n\
         url: http://tokenward.mcp:8080/filter/tokenward.wasm?sha256={module}\n\
         sha256: \"{module}\"\n\
         sha256: {image}\n\
         checksum/config: {}\n",
        "f".repeat(64)
    );
    assert_eq!(
        digests_in(&resources).into_iter().collect::<Vec<_>>(),
        [module, image, control]
    );
}

#[test]
fn what_is_longer_shorter_or_in_capitals_is_no_digest() {
    for digits in ["a".repeat(63), "a".repeat(65), "A".repeat(64), String::new()] {
        assert!(digests_in(&format!("sha256: {digits}\n")).is_empty(), "{digits}");
    }
}

#[test]
fn images_are_those_of_containers() {
    let resources = "      - name: control\n        image: \"registry.example.com/tokenward:1\"\n      image:\n        url: x\n";
    assert_eq!(container_images(resources), ["registry.example.com/tokenward:1"]);
}
