use super::read_java_version;
use crate::version::Version;

#[test]
fn the_version_of_java_is_read_as_each_vendor_prints_it() {
    for (printed, version) in [
        (
            "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime Environment",
            (17, 0, 15),
        ),
        ("openjdk version \"21\" 2023-09-19", (21, 0, 0)),
        ("openjdk version \"23-ea\" 2024-09-17", (23, 0, 0)),
        ("java version \"17.0.1_12\"", (17, 0, 1)),
    ] {
        let (major, minor, patch) = version;
        assert_eq!(
            read_java_version(printed),
            Some(Version::new(major, minor, patch)),
            "{printed}"
        );
    }
}

#[test]
fn an_older_java_and_another_program_are_none() {
    for printed in [
        "openjdk version \"11.0.2\" 2019-01-15",
        "java version \"1.8.0_392\"",
        "java 17",
        "",
    ] {
        assert_eq!(read_java_version(printed), None, "{printed}");
    }
}
