//! What a caller has is not sent again, and what it has not seen is not overwritten.

use crate::http::serve;
use crate::on_both;
use crate::place::Place;
use hyper::Method;
use serde_json::json;
use vtwasm_server::Role;

async fn a_job_is_sent_again_only_if_anything_of_it_has_changed(place: Place) {
    let service = serve(&place, Role::Api).await;
    let id = service.submit(&json!({"source": "pass", "delay": 1000})).await;
    let path = format!("/v1/jobs/{id}");
    let get = async |tag: &str| {
        let asked = [("if-none-match", tag)];
        service
            .ask_with(Method::GET, &path, &service.token, "", &asked)
            .await
    };
    let first = service.get(&path).await;
    let tag = first.headers["etag"].to_str().unwrap();
    assert!(tag.starts_with('"') && tag.len() > 20, "{tag}");
    assert_eq!(first.headers["cache-control"], "private, no-cache");
    for (known, status) in [
        (tag, 304),
        (&*format!("\"x\", W/{tag}"), 304),
        ("*", 304),
        ("\"x\"", 200),
    ] {
        let answer = get(known).await;
        assert_eq!((answer.status, answer.text.is_empty()), (status, status == 304));
        assert_eq!(answer.headers["etag"], tag);
    }
    let cancelled = service
        .ask(Method::POST, &format!("{path}/cancel"), &service.token, "")
        .await;
    assert_eq!(cancelled.status, 200, "{}", cancelled.text);
    let changed = get(tag).await;
    assert_eq!(
        (changed.status, &changed.json()["state"]),
        (200, &json!("REVOKED"))
    );
    assert_ne!(changed.headers["etag"], tag);
    service.leave().await;
}

async fn quotas_that_somebody_has_changed_meanwhile_are_not_overwritten(place: Place) {
    let service = serve(&place, Role::All).await;
    let path = "/v1/tenants/default";
    let tag = async || {
        service.get(path).await.headers["etag"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    let put = async |path: &str, running: i64, expected: &[(&str, &str)]| {
        let body = json!({ "max_running": running }).to_string();
        service
            .ask_with(Method::PUT, path, &service.token, &body, expected)
            .await
    };
    let first = tag().await;
    // What a tenant uses is no change of its quotas.
    service
        .over(&service.submit(&json!({"source": "pass"})).await)
        .await;
    let changed = put(path, 7, &[("if-match", &first)]).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.headers["etag"].to_str().unwrap(), tag().await);
    let second = tag().await;
    for wrong in [&first, &format!("W/{second}"), "\"x\"", "x", ""] {
        let late = put(path, 8, &[("if-match", wrong)]).await;
        assert_eq!(late.status, 412, "{wrong}: {}", late.text);
        assert_eq!(late.kind, "application/problem+json");
    }
    assert_eq!(service.get(path).await.json()["max_running"], json!(7));
    // Of many who have seen the same, one is the first.
    let all = (10..18).map(|running| {
        let second = second.clone();
        async move { put(path, running, &[("if-match", &second)]).await.status }
    });
    let mut statuses = futures::future::join_all(all).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    let [third, any] = [tag().await, "*".to_owned()];
    for expected in [format!("{first}, {third}"), any] {
        let fine = put(path, 9, &[("if-match", &expected)]).await;
        assert_eq!(fine.status, 200, "{expected}: {}", fine.text);
    }
    assert_eq!(put(path, 3, &[]).await.status, 200);
    let nobody = put("/v1/tenants/nobody", 1, &[("if-match", "*")]).await;
    assert_eq!(nobody.status, 404);
    service.leave().await;
}

on_both! {
    a_job_is_sent_again_only_if_anything_of_it_has_changed
    quotas_that_somebody_has_changed_meanwhile_are_not_overwritten
}
