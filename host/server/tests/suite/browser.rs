//! What a browser is told: the dashboard, and that other sites' pages get nothing.

use crate::http::serve;
use crate::place::Place;
use hyper::Method;
use vtwasm_server::Role;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_file_of_the_dashboard_is_served_with_its_policy_and_loaded_once() {
    let place = Place::sqlite();
    let service = serve(&place, Role::Api).await;
    let page = service.ask(Method::GET, "/", "", "").await;
    assert_eq!(
        (page.status, page.kind.as_str()),
        (200, "text/html; charset=utf-8")
    );
    // What the page names, and what its scripts import, is there.
    let mut paths = vec!["/".to_owned()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        next += 1;
        let file = service.ask(Method::GET, &path, "", "").await;
        assert_eq!(file.status, 200, "{path}");
        let header = |name: &str| file.headers[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("referrer-policy"), "no-referrer");
        let known = [("if-none-match", &*header("etag"))];
        let again = service.ask_with(Method::GET, &path, "", "", &known).await;
        assert_eq!((again.status, again.text.as_str()), (304, ""), "{path}");
        let folder = path.rsplit_once('/').unwrap().0;
        for word in file.text.split('"') {
            let found = match word {
                _ if word.starts_with("dashboard/") => format!("/{word}"),
                _ if word.starts_with("./") && word.ends_with(".js") => format!("{folder}/{}", &word[2..]),
                _ if word.starts_with("../") && word.ends_with(".js") => format!("/dashboard/{}", &word[3..]),
                _ => continue,
            };
            if !paths.contains(&found) {
                paths.push(found);
            }
        }
    }
    assert!(paths.len() >= 12, "{paths:?}");
    for path in [
        "/dashboard/",
        "/dashboard/..%2fsrc%2flib.rs",
        "/index.html",
        "/dashboard/tsconfig.json",
    ] {
        assert_eq!(service.ask(Method::GET, path, "", "").await.status, 404, "{path}");
    }
    service.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_sites_pages_are_allowed_nothing() {
    let place = Place::sqlite();
    let service = serve(&place, Role::All).await;
    let foreign = [
        ("origin", "https://example.com"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    for path in [
        "/",
        "/v1/jobs",
        "/v1/me",
        "/v1/openapi.json",
        "/metrics",
        "/healthz",
        "/nothing",
    ] {
        for method in [Method::OPTIONS, Method::GET, Method::POST] {
            let answer = service
                .ask_with(method.clone(), path, &service.token, "", &foreign)
                .await;
            assert!(
                method != Method::OPTIONS || answer.status >= 400,
                "{path}: {}",
                answer.status
            );
            let cors = |name: &&hyper::header::HeaderName| name.as_str().starts_with("access-control");
            assert_eq!(answer.headers.keys().find(cors), None, "{method} {path}");
            assert_eq!(answer.headers["cross-origin-resource-policy"], "same-origin");
            assert_eq!(answer.headers["x-content-type-options"], "nosniff");
            assert!(answer.headers.contains_key("cache-control"));
        }
    }
    service.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_runs_jobs_has_no_dashboard() {
    let place = Place::sqlite();
    let service = serve(&place, Role::Worker).await;
    for path in ["/", "/dashboard/main.js"] {
        assert_eq!(service.ask(Method::GET, path, "", "").await.status, 404);
    }
    service.leave().await;
}
