//! No tenant reaches what is another's.

use crate::on_both;
use crate::place::{Place, Working, over, submitted, text};
use std::time::Duration;
use vtwasm_server::{Error, Quotas, Scope};

async fn another_s_job_is_as_if_it_were_not_there(place: Place) {
    let store = place.with(&["a", "b"]).await;
    let working = Working::start(&store, 2).await;
    let id = submitted(&store, "a", "print('secret')\ndef main(): return 'secret'").await;
    over(&store, "a", &id).await;
    assert!(matches!(store.job("b", &id).await, Err(Error::NotFound("job"))));
    assert!(matches!(
        store.result("b", &id).await,
        Err(Error::NotFound("job"))
    ));
    assert!(matches!(
        store.cancel("b", &id).await,
        Err(Error::NotFound("job"))
    ));
    assert!(matches!(store.retry("b", &id).await, Err(Error::NotFound("job"))));
    assert_eq!(text(&store, "b", &id).await, "");
    assert!(store.jobs("b", None, None, 10).await.unwrap().jobs.is_empty());
    working.leave().await;
}

async fn nobody_cancels_another_s_job_that_waits_or_runs(place: Place) {
    let store = place.with(&["a", "b"]).await;
    let id = submitted(&store, "a", "pass").await;
    assert!(matches!(
        store.cancel("b", &id).await,
        Err(Error::NotFound("job"))
    ));
    let claimed = store.claim("worker", 5, Duration::from_secs(60)).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert!(matches!(
        store.cancel("b", &id).await,
        Err(Error::NotFound("job"))
    ));
    assert!(!store.job("a", &id).await.unwrap().cancel_requested);
}

async fn nobody_pays_for_another_s_runs(place: Place) {
    let store = place.with(&["a", "b"]).await;
    let working = Working::start(&store, 2).await;
    let id = submitted(&store, "a", "sum(range(100_000))").await;
    over(&store, "a", &id).await;
    assert_eq!(store.used("a").await.unwrap().0, 1);
    assert_eq!(store.used("b").await.unwrap().0, 0);
    working.leave().await;
}

async fn a_token_is_kept_as_its_hash_and_ends_when_it_is_to(place: Place) {
    let store = place.with(&["a"]).await;
    let (secret, token) = store.add_token("a", &[Scope::Read], None).await.unwrap();
    let caller = store.caller(&secret).await.unwrap().unwrap();
    assert_eq!(
        (caller.tenant.as_str(), &*caller.scopes),
        ("a", &[Scope::Read][..])
    );
    for wrong in [
        "",
        "vt_",
        &secret[..secret.len() - 1],
        &format!("{secret}0"),
        &secret.to_uppercase(),
        &token.id,
    ] {
        assert!(store.caller(wrong).await.unwrap().is_none(), "{wrong}");
    }
    let (brief, _) = store
        .add_token("a", &[Scope::Write], Some(Duration::from_secs(1)))
        .await
        .unwrap();
    assert!(store.caller(&brief).await.unwrap().is_some());
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert!(store.caller(&brief).await.unwrap().is_none());
    store.remove_token("a", &token.id).await.unwrap();
    assert!(store.caller(&secret).await.unwrap().is_none());
    assert!(matches!(
        store.remove_token("a", &token.id).await,
        Err(Error::NotFound("token"))
    ));
    place.is_without(&secret);
}

async fn a_tenant_is_made_once_with_a_name_and_quotas_that_make_sense(place: Place) {
    let store = place.with(&["a"]).await;
    assert!(matches!(
        store.add_tenant("a", &Quotas::default()).await,
        Err(Error::Conflict(_))
    ));
    for name in ["", "-a", "A", "a b", "ä", "a/b", &"a".repeat(64)] {
        assert!(
            matches!(
                store.add_tenant(name, &Quotas::default()).await,
                Err(Error::Invalid(_))
            ),
            "{name}"
        );
    }
    let mut quotas = Quotas::default();
    quotas.rules.network = vec!["http://x/".into()];
    assert!(matches!(
        store.change_tenant("a", &quotas).await,
        Err(Error::Invalid(_))
    ));
    quotas.rules.network = vec!["example.com:443".into()];
    assert_eq!(store.change_tenant("a", &quotas).await.unwrap().quotas, quotas);
    assert!(matches!(
        store.change_tenant("b", &quotas).await,
        Err(Error::NotFound("tenant"))
    ));
}

on_both! {
    another_s_job_is_as_if_it_were_not_there
    nobody_cancels_another_s_job_that_waits_or_runs
    nobody_pays_for_another_s_runs
    a_token_is_kept_as_its_hash_and_ends_when_it_is_to
    a_tenant_is_made_once_with_a_name_and_quotas_that_make_sense
}
