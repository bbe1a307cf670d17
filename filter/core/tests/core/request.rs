use tokenward_filter_core::request::RequestHead;

type Header = (&'static [u8], &'static [u8]);

fn read(headers: &[Header]) -> RequestHead<'static> {
    let session_headers = ["x-session".to_owned(), "mcp-session-id".to_owned()];
    RequestHead::read(headers.iter().copied(), &session_headers)
}

#[test]
fn the_first_configured_session_header_wins_whatever_the_order_of_arrival() {
    let head = read(&[(b"mcp-session-id", b"transport"), (b"x-session", b"login")]);
    assert_eq!(head.session, Some("login"));
    assert_eq!(
        read(&[(b"mcp-session-id", b"transport")]).session,
        Some("transport")
    );
}

#[test]
fn a_session_header_that_cannot_be_trusted_is_not_used() {
    let long: &'static [u8] = &[b'a'; 513];
    for headers in [
        &[(&b"x-session"[..], &b"one"[..]), (b"x-session", b"two")][..],
        &[(b"x-session", b"")],
        &[(b"x-session", b"with blank")],
        &[(b"x-session", b"\xff")],
        &[(b"x-session", long)],
    ] {
        assert_eq!(read(headers).session, None);
    }
}

#[test]
fn a_session_header_that_appears_twice_yields_to_the_next_one() {
    let headers: &[Header] = &[
        (b"x-session", b"one"),
        (b"mcp-session-id", b"transport"),
        (b"x-session", b"two"),
    ];
    assert_eq!(read(headers).session, Some("transport"));
}

#[test]
fn the_first_authorization_is_read_as_bytes_and_the_others_are_counted() {
    let head = read(&[
        (b"authorization", b"Bearer \xff"),
        (b":path", b"/\xff"),
        (b"authorization", b"x"),
    ]);
    let values: Vec<_> = head.authorization.values().collect();
    assert_eq!((values.len(), values[0]), (2, &b"Bearer \xff"[..]));
    assert_eq!(head.path, b"/\xff");
}
