//! Packages for jobs, from a source that makes them up; `host/cli/tests/serve` has real ones.

use crate::on_both;
use crate::place::{Place, Working, code, is, over, text, when};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vtwasm_server::{Error, Folder, Limits, PackageSource, Packages, Quotas, State, Stop, Submission};

/// Has each package that is not called `nothing`, and knows by its lock what it is.
pub struct Made(TempDir, Arc<AtomicUsize>);

impl Made {
    pub fn new() -> Made {
        Made(tempfile::tempdir().unwrap(), Arc::default())
    }
}

impl Packages for Made {
    fn lock(&self, requirements: &[String]) -> Result<String, String> {
        if requirements.iter().any(|requirement| requirement == "nothing") {
            return Err("there is no package nothing".into());
        }
        Ok(requirements.join(" and "))
    }

    fn folder(&self, lock: &str, stop: &Stop) -> Result<Folder, String> {
        if lock == "slow" {
            let end = Instant::now() + Duration::from_secs(60);
            while !stop.is_set() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.1.fetch_add(usize::from(stop.is_set()), Ordering::SeqCst);
            return Err("it was slow".into());
        }
        if lock == "gone" {
            return Err("gone is not there any more".into());
        }
        std::fs::write(self.0.path().join("made.py"), format!("lock = {lock:?}")).unwrap();
        let site = "/usr/lib/python3.13/site-packages";
        Ok(Folder {
            host: self.0.path().to_owned(),
            guest: site.into(),
            held: Box::new(()),
        })
    }
}

fn with(packages: &[&str]) -> Submission {
    Submission {
        packages: packages.iter().map(|name| (*name).to_owned()).collect(),
        ..code("import made\ntry: open(made.__file__, 'a')\nexcept OSError: print(made.lock)")
    }
}

async fn a_job_has_the_packages_that_were_locked_when_it_was_submitted(place: Place) {
    let store = place.open().await;
    let source = PackageSource::new(Made::new());
    let store = store.with_packages(source);
    let mut quotas = Quotas::default();
    quotas.rules.packages = ["Made", "gone", "nothing"].map(str::to_owned).into();
    store.add_tenant("a", &quotas).await.unwrap();
    store.add_tenant("none", &Quotas::default()).await.unwrap();
    let working = Working::start(&store, 2).await;
    let id = store.submit("a", None, &with(&["made>=1"])).await.unwrap().job.id;
    assert_eq!(
        over(&store, "a", &id).await.state,
        State::Success,
        "{}",
        text(&store, "a", &id).await
    );
    assert_eq!(text(&store, "a", &id).await, "made>=1\n");
    for _ in 0..2 {
        let in_session = Submission {
            session: Some("x".into()),
            ..with(&["made>=1"])
        };
        let id = store.submit("a", None, &in_session).await.unwrap().job.id;
        over(&store, "a", &id).await;
        assert_eq!(text(&store, "a", &id).await, "made>=1\n");
    }
    assert_eq!(working.worker.sessions(), 1);
    let id = store.submit("a", None, &with(&["gone"])).await.unwrap().job.id;
    let job = over(&store, "a", &id).await;
    assert_eq!(job.error.as_deref(), Some("packages: gone is not there any more"));
    for (tenant, packages, expected) in [
        ("a", "nothing", "packages: there is no package nothing"),
        ("a", "other", "packages: this tenant's rules do not allow other"),
        ("none", "made", "packages: this tenant's rules do not allow made"),
        (
            "a",
            "made @ file:///etc",
            "packages: \"made @ file:///etc\" is none",
        ),
        (
            "a",
            "made\n-r /etc/passwd",
            "packages: \"made\\n-r /etc/passwd\" is none",
        ),
    ] {
        let error = store.submit(tenant, None, &with(&[packages])).await.unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    working.leave().await;
}

async fn who_waits_for_packages_is_ended_and_they_are_given_up(place: Place) {
    let made = Made::new();
    let given_up = made.1.clone();
    let store = place.open().await.with_packages(PackageSource::new(made));
    let mut quotas = Quotas::default();
    quotas.rules.packages = vec!["slow".into()];
    store.add_tenant("a", &quotas).await.unwrap();
    let working = Working::start(&store, 8).await;
    let late = Submission {
        limits: Limits {
            wall_time: Some(0.3),
            ..Limits::default()
        },
        ..with(&["slow"])
    };
    let late = store.submit("a", None, &late).await.unwrap().job.id;
    let job = over(&store, "a", &late).await;
    assert_eq!(
        (job.state, job.limit.as_deref()),
        (State::Failure, Some("wall_time"))
    );
    let in_session = Submission {
        session: Some("x".into()),
        ..with(&["slow"])
    };
    for job in [with(&["slow"]), in_session] {
        let id = store.submit("a", None, &job).await.unwrap().job.id;
        when(&store, "a", &id, is(State::Started)).await;
        store.cancel("a", &id).await.unwrap();
        assert_eq!(over(&store, "a", &id).await.state, State::Revoked);
    }
    // Those that have begun end; one that was cancelled before its turn never did.
    let end = Instant::now() + Duration::from_secs(60);
    while given_up.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < end, "it goes on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    working.leave().await;
}

async fn a_service_without_packages_says_so(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas::default();
    quotas.rules.packages = vec!["*".into()];
    store.add_tenant("a", &quotas).await.unwrap();
    let error = store.submit("a", None, &with(&["made"])).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error}");
}

on_both! {
    who_waits_for_packages_is_ended_and_they_are_given_up
    a_job_has_the_packages_that_were_locked_when_it_was_submitted
    a_service_without_packages_says_so
}
