use tokenward_harness::world::{ALICE, LOCAL, World};

/// What a client may send instead of a token. Envoy itself refuses a few with 400 before the filter sees them.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_bytes_come_no_server_sees_them_and_every_worker_lives() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let alice = world.log_in(ALICE).await?;
    let good = &alice.tokens.id_token;
    let mut authorizations: Vec<Vec<u8>> = vec![
        b"Bearer".to_vec(),
        b"Bearer garbage".to_vec(),
        b"Bearer a.b".to_vec(),
        b"Bearer a.b.c.d.e".to_vec(),
        b"Basic YTpi".to_vec(),
        format!("Bearer {good}, Bearer {good}").into_bytes(),
        format!("Bearer {}", "A".repeat(50_000)).into_bytes(),
    ];
    authorizations.extend((0x80..=0xFF).map(|byte| [b"Bearer ".as_slice(), &[byte]].concat()));
    for authorization in &authorizations {
        let answer = world
            .call(LOCAL)
            .header("authorization", authorization)
            .send()
            .await?;
        assert!(
            matches!(answer.status, 400 | 401),
            "{} {}",
            answer.status,
            answer.body
        );
    }
    let two = world.call(LOCAL).bearer(good).bearer(good).send().await?;
    assert_eq!(
        (two.status, two.refusal().as_deref()),
        (401, Some("ambiguous_bearer"))
    );
    let none = world.call(LOCAL).send().await?;
    assert_eq!(
        (none.status, none.refusal().as_deref()),
        (401, Some("missing_bearer"))
    );
    assert_eq!(world.upstream_requests(), 0);

    let answers = world
        .call(LOCAL)
        .header("authorization", format!("bEaReR {good}").as_bytes())
        .send_many(32)
        .await?;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers[0]
    );
    let answers = world
        .call(LOCAL)
        .login(&alice)
        .header("x-any", b"\x80\xff")
        .send_many(32)
        .await?;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{:?}",
        answers[0]
    );
    world.ensure_one_warning_per_pair_and_minute(1).await
}

/// A stale token in each form in which a client can write one: it is replaced, or the request is refused.
#[tokio::test(flavor = "multi_thread")]
async fn however_a_stale_token_is_written_no_server_sees_it() -> anyhow::Result<()> {
    let world = World::builder().workers(4).start().await?;
    let (alice, bob) = (
        world.log_in_an_hour_ago(ALICE).await?,
        world.log_in("bob@example.com").await?,
    );
    let (stale, fresh) = (&alice.tokens.id_token, &bob.tokens.id_token);
    let replaced = [
        format!("Bearer {stale}"),
        format!("bearer\t{stale}"),
        format!(" BEARER \t {stale} \t"),
    ];
    for authorization in &replaced {
        let call = world
            .call(LOCAL)
            .header("authorization", authorization.as_bytes());
        let answer = call.send_alone().await?.whole_answer().await?;
        assert_eq!(answer.status(), 200, "{}", answer.text);
    }
    assert_eq!(world.upstream_requests(), replaced.len());
    let refused = [
        ("authorization", format!("Bearer {fresh}, Bearer {stale}")),
        ("authorization", format!("Bearer {fresh}\r\n , Bearer {stale}")),
        (
            "authorization",
            format!("Bearer {fresh}\r\nAuthorization: Bearer {stale}"),
        ),
        ("authorization", format!("Bearer {fresh} {stale}")),
        ("authorization ", format!("Bearer {stale}")),
        ("proxy-authorization", format!("Bearer {stale}")),
    ];
    for (name, value) in &refused {
        let call = world.call(LOCAL).header(name, value.as_bytes());
        let answer = call.send_alone().await?.whole_answer().await?;
        assert!(matches!(answer.status(), 400 | 401), "{}", answer.text);
    }
    assert_eq!(world.upstream_requests(), replaced.len());
    assert_eq!(world.rejected_expired(), 0);
    Ok(())
}
