use super::{Import, append_custom_section, read_exported_functions, read_imports};

const HEADER: &[u8] = b"\0asm\x01\0\0\0";

fn named(text: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(text.len()).unwrap()];
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn import(module: &str, name: &str, description: &[u8]) -> Vec<u8> {
    [named(module), named(name), description.to_vec()].concat()
}

/// A module with one custom section, then an import section of `imports`.
fn module(imports: &[Vec<u8>]) -> Vec<u8> {
    let body = [vec![u8::try_from(imports.len()).unwrap()], imports.concat()].concat();
    // The length is written in a longer form than needed, as linkers do.
    let length = body.len();
    let padded = [(length & 0x7f) as u8 | 0x80, (length >> 7) as u8 | 0x80, 0];
    [HEADER, &[0, 3, 1, b'n', 9], &[2], &padded, &body].concat()
}

fn function(module: &str, name: &str) -> Import {
    Import {
        module: module.to_owned(),
        name: name.to_owned(),
        is_function: true,
    }
}

#[test]
fn function_imports_are_read_in_order() {
    let bytes = module(&[
        import("env", "proxy_log", &[0, 5]),
        import("wasi_snapshot_preview1", "environ_get", &[0, 0x80, 0x01]),
    ]);
    let imports = read_imports(&bytes).unwrap();
    assert_eq!(
        imports,
        [
            function("env", "proxy_log"),
            function("wasi_snapshot_preview1", "environ_get")
        ]
    );
    assert!(imports.iter().all(Import::is_allowed));
}

#[test]
fn tables_memories_globals_and_tags_are_read_and_not_allowed() {
    let bytes = module(&[
        import("env", "proxy_table", &[1, 0x70, 0, 1]),
        import("env", "proxy_memory", &[2, 1, 16, 0x80, 0x80, 0x04]),
        import("env", "proxy_global", &[3, 0x7f, 1]),
        import("env", "proxy_tag", &[4, 0, 2]),
        import("env", "proxy_done", &[0, 1]),
    ]);
    let imports = read_imports(&bytes).unwrap();
    assert_eq!(imports.len(), 5);
    let allowed: Vec<_> = imports.iter().filter(|import| import.is_allowed()).collect();
    assert_eq!(allowed, [&function("env", "proxy_done")]);
}

#[test]
fn imports_that_envoy_does_not_offer_are_not_allowed() {
    for (module, name) in [
        ("env", "abort"),
        ("wasi_snapshot_preview1", "sock_open"),
        ("wasi_unstable", "fd_write"),
        ("__wbindgen_placeholder__", "proxy_log"),
    ] {
        assert!(!function(module, name).is_allowed(), "{module}.{name}");
    }
}

#[test]
fn a_module_without_imports_has_none() {
    assert_eq!(read_imports(HEADER).unwrap(), []);
}

#[test]
fn every_cut_of_a_module_is_an_error_and_not_a_panic() {
    let bytes = module(&[import("env", "proxy_log", &[0, 5])]);
    let whole_sections = [HEADER.len(), HEADER.len() + 5, bytes.len()];
    let accepted: Vec<_> = (0..=bytes.len())
        .filter(|&end| read_imports(&bytes[..end]).is_ok())
        .collect();
    assert_eq!(accepted, whole_sections);
}

#[test]
fn what_is_no_module_is_refused() {
    assert!(read_imports(b"").is_err());
    assert!(read_imports(b"\x7fELF\x02\x01\x01\0").is_err());
    assert!(
        read_imports(
            &[
                HEADER,
                &[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]
            ]
            .concat()
        )
        .is_err()
    );
    assert!(read_imports(&module(&[import("env", "proxy_log", &[9, 5])])).is_err());
}

#[test]
fn only_exported_functions_are_listed() {
    let export = |name: &str, kind: u8| [named(name), vec![kind, 0]].concat();
    let body = [
        vec![3],
        export("memory", 2),
        export("malloc", 0),
        export("proxy_on_tick", 0),
    ]
    .concat();
    let section = [&[7, u8::try_from(body.len()).unwrap()], &body[..]].concat();
    let bytes = [HEADER, &section].concat();
    assert_eq!(
        read_exported_functions(&bytes).unwrap(),
        ["malloc", "proxy_on_tick"]
    );
    assert!(read_exported_functions(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn an_appended_custom_section_leaves_the_others_readable() {
    let mut bytes = module(&[import("env", "proxy_log", &[0, 5])]);
    let long = "v".repeat(300);
    append_custom_section(&mut bytes, "tokenward_version", &long);
    assert_eq!(read_imports(&bytes).unwrap(), [function("env", "proxy_log")]);
    let header = [&[0, 0xbe, 0x02, 17][..], b"tokenward_version"].concat();
    assert!(bytes.ends_with(&[&header[..], long.as_bytes()].concat()));
}
