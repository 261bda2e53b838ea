//! Who is next: submissions, turns, priorities, quotas. Nothing runs here; a test takes and ends jobs itself.

use crate::on_both;
use crate::place::{Place, code, submitted, success};
use std::time::Duration;
use vtwasm_server::{Claimed, End, Error, Quotas, State, Store, Submission, Verdict};

const LEASE: Duration = Duration::from_secs(60);

async fn claim(store: &Store, slots: usize) -> Vec<Claimed> {
    store.claim("worker", slots, LEASE).await.unwrap()
}

async fn finish(store: &Store, job: &Claimed) {
    assert_eq!(
        store.finish(job, &success(), 0, &[]).await.unwrap(),
        Some(State::Success)
    );
}

async fn jobs_of_one_tenant_start_in_their_order_and_higher_priorities_first(place: Place) {
    let store = place.open().await;
    let mut quotas = Quotas::default();
    quotas.rules.priority = 9;
    store.add_tenant("a", &quotas).await.unwrap();
    let mut expected = Vec::new();
    for (priority, place) in [(0, 3), (5, 0), (0, 4), (-9, 6), (5, 1), (0, 5), (1, 2)] {
        let job = Submission {
            priority,
            ..code("pass")
        };
        expected.push((place, store.submit("a", None, &job).await.unwrap().job.id));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    expected.sort();
    let mut started = Vec::new();
    for slots in [1, 3, 2, 9] {
        started.extend(claim(&store, slots).await.into_iter().map(|job| job.id));
    }
    assert_eq!(
        started,
        expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    );
}

async fn a_tenant_with_many_jobs_delays_another_s_first_by_one_slot_at_most(place: Place) {
    let store = place.with(&["crowd", "single", "third"]).await;
    for _ in 0..300 {
        submitted(&store, "crowd", "pass").await;
    }
    // The crowd has been served already, in two processes.
    let other = place.open().await;
    for job in claim(&store, 3).await.iter().chain(&claim(&other, 2).await) {
        finish(&store, job).await;
    }
    submitted(&store, "single", "pass").await;
    let next = claim(&other, 1).await;
    assert_eq!(next[0].tenant, "single");
    // From then on in turns, whatever is taken at once and wherever.
    for _ in 0..20 {
        submitted(&store, "single", "pass").await;
        submitted(&store, "third", "pass").await;
    }
    let mut served = Vec::new();
    for (store, slots) in [
        (&store, 1),
        (&other, 4),
        (&store, 2),
        (&other, 1),
        (&store, 7),
        (&other, 15),
    ] {
        let jobs = claim(store, slots).await;
        assert_eq!(jobs.len(), slots);
        served.extend(jobs.into_iter().map(|job| job.tenant));
    }
    for window in served.windows(3) {
        let mut window = window.to_vec();
        window.sort();
        window.dedup();
        assert_eq!(window.len(), 3, "{served:?}");
    }
}

async fn a_tenant_runs_no_more_jobs_at_once_than_its_quota(place: Place) {
    let store = place.open().await;
    let quotas = Quotas {
        max_running: 2,
        ..Quotas::default()
    };
    store.add_tenant("a", &quotas).await.unwrap();
    store.add_tenant("b", &Quotas::default()).await.unwrap();
    for _ in 0..5 {
        submitted(&store, "a", "pass").await;
        submitted(&store, "b", "pass").await;
    }
    let jobs = claim(&store, 10).await;
    let of_a = jobs.iter().filter(|job| job.tenant == "a").collect::<Vec<_>>();
    assert_eq!((of_a.len(), jobs.len()), (2, 7));
    assert!(claim(&store, 10).await.is_empty());
    finish(&store, of_a[0]).await;
    assert_eq!(claim(&store, 10).await.len(), 1);
}

async fn a_tenant_queues_no_more_jobs_than_its_quota(place: Place) {
    let store = place.open().await;
    let quotas = Quotas {
        max_queued: 2,
        ..Quotas::default()
    };
    store.add_tenant("a", &quotas).await.unwrap();
    submitted(&store, "a", "pass").await;
    let second = submitted(&store, "a", "pass").await;
    let refused = store.submit("a", None, &code("pass")).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Quota(message) if message.contains("max_queued")),
        "{refused:?}"
    );
    assert_eq!(store.jobs("a", None, None, 10).await.unwrap().jobs.len(), 2);
    store.cancel("a", &second).await.unwrap();
    submitted(&store, "a", "pass").await;
    assert_eq!(claim(&store, 1).await.len(), 1);
    submitted(&store, "a", "pass").await;
    // One that comes back is counted, too.
    let refused = store.retry("a", &second).await.unwrap_err();
    assert!(matches!(refused, Error::Quota(_)), "{refused:?}");
    assert_eq!(store.job("a", &second).await.unwrap().state, State::Revoked);
}

async fn a_tenant_whose_processor_time_is_used_neither_queues_nor_starts_more(place: Place) {
    let store = place.open().await;
    let quotas = Quotas {
        cpu_time: Some(2.5),
        ..Quotas::default()
    };
    store.add_tenant("a", &quotas).await.unwrap();
    store.add_tenant("b", &quotas).await.unwrap();
    for _ in 0..4 {
        submitted(&store, "a", "pass").await;
    }
    let mut used = success();
    used.usage.cpu_time = 1.5;
    for _ in 0..2 {
        let job = claim(&store, 1).await.remove(0);
        store.finish(&job, &used, 0, &[]).await.unwrap();
    }
    assert!(claim(&store, 1).await.is_empty());
    let refused = store.submit("a", None, &code("pass")).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Quota(message) if message.contains("2.5 s of processor time")),
        "{refused:?}"
    );
    submitted(&store, "b", "pass").await;
    assert_eq!(claim(&store, 1).await[0].tenant, "b");
    let quotas = Quotas {
        cpu_time: Some(3.5),
        ..quotas
    };
    store.change_tenant("a", &quotas).await.unwrap();
    assert_eq!(claim(&store, 9).await.len(), 2);
}

async fn a_thousand_tenants_get_equal_shares_and_a_newcomer_the_next_slot_beside_a_backlog(place: Place) {
    let store = place.open().await;
    let many = Quotas {
        max_running: 10_000,
        ..Quotas::default()
    };
    store.add_tenant("crowd", &many).await.unwrap();
    backlog(&place, &store, BACKLOG).await;
    let mut tenants = Vec::new();
    for n in 0..1000 {
        let store = store.clone();
        tenants.push(tokio::spawn(async move {
            let tenant = format!("t{n:04}");
            store.add_tenant(&tenant, &Quotas::default()).await.unwrap();
            for _ in 0..3 {
                submitted(&store, &tenant, "pass").await;
            }
        }));
    }
    for tenant in tenants {
        tenant.await.unwrap();
    }
    let mut shares = std::collections::BTreeMap::<_, usize>::new();
    // Two rounds for each, in bites of sizes that do not divide them.
    let mut left = 2002;
    while left > 0 {
        let jobs = claim(&store, left.min(77)).await;
        left -= jobs.len();
        for job in jobs {
            *shares.entry(job.tenant).or_default() += 1;
        }
    }
    assert_eq!(shares.len(), 1001);
    assert!(shares.values().all(|share| *share == 2), "{shares:?}");
    store.add_tenant("new", &Quotas::default()).await.unwrap();
    submitted(&store, "new", "pass").await;
    assert_eq!(claim(&store, 1).await[0].tenant, "new");
}

/// In CI; `VTWASM_BACKLOG=100000` for what is promised.
const BACKLOG: usize = 5_000;

async fn backlog(place: &Place, store: &Store, count: usize) {
    let count = std::env::var("VTWASM_BACKLOG").map_or(count, |count| count.parse().unwrap());
    let other = place.open().await;
    let submitting = (0..64).map(|n| {
        let store = if n % 2 == 0 { store.clone() } else { other.clone() };
        tokio::spawn(async move {
            for _ in 0..count / 64 {
                submitted(&store, "crowd", "pass").await;
            }
        })
    });
    for submitting in submitting.collect::<Vec<_>>() {
        submitting.await.unwrap();
    }
}

async fn a_key_gives_the_same_job_again_and_is_a_tenant_s_own(place: Place) {
    let store = place.with(&["a", "b"]).await;
    let first = store.submit("a", Some("k"), &code("print(1)")).await.unwrap();
    let again = store.submit("a", Some("k"), &code("print(1)")).await.unwrap();
    assert_eq!(
        (first.new, again.new, &again.job.id),
        (true, false, &first.job.id)
    );
    let other = store.submit("a", Some("k"), &code("print(2)")).await.unwrap_err();
    assert!(matches!(other, Error::Conflict(_)), "{other:?}");
    let others = store.submit("b", Some("k"), &code("print(1)")).await.unwrap();
    assert!(others.new && others.job.id != first.job.id);
    // Many at once make one job.
    let tries = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.submit("a", Some("same"), &code("pass")).await.unwrap() })
    });
    let mut ids = Vec::new();
    for made in tries.collect::<Vec<_>>() {
        ids.push(made.await.unwrap().job.id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(claim(&store, 10).await.len(), 3);
}

async fn many_who_take_and_end_jobs_at_once_take_each_just_once(place: Place) {
    let store = place.with(&["a", "b", "c"]).await;
    let mut submitting = Vec::new();
    for tenant in ["a", "b", "c"] {
        let store = place.open().await;
        submitting.push(tokio::spawn(async move {
            for n in 0..60 {
                let priority = -(n % 3);
                let job = Submission {
                    priority,
                    ..code("pass")
                };
                let id = store.submit(tenant, None, &job).await.unwrap().job.id;
                if n % 10 == 9 {
                    let _ = store.cancel(tenant, &id).await;
                }
            }
        }));
    }
    let mut taking = Vec::new();
    for n in 0..3 {
        let store = place.open().await;
        taking.push(tokio::spawn(async move {
            let mut taken = Vec::new();
            let mut idle = 0;
            while idle < 40 {
                let jobs = store.claim(&format!("w{n}"), 3, LEASE).await.unwrap();
                idle = if jobs.is_empty() { idle + 1 } else { 0 };
                for job in &jobs {
                    let end = if job.attempt == 1 && taken.len() % 5 == 0 {
                        End {
                            verdict: Verdict::GivenBack,
                            ..success()
                        }
                    } else {
                        success()
                    };
                    store.finish(job, &end, 0, &[]).await.unwrap();
                    taken.push((job.id.clone(), job.attempt));
                }
                if jobs.is_empty() {
                    tokio::time::sleep(Duration::from_millis(25)).await;
                }
            }
            taken
        }));
    }
    for task in submitting {
        task.await.unwrap();
    }
    let mut taken = Vec::new();
    for task in taking {
        taken.extend(task.await.unwrap());
    }
    let count = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), count, "an attempt was given out twice");
    let mut ended = 0;
    for tenant in ["a", "b", "c"] {
        let page = store.jobs(tenant, None, None, 1000).await.unwrap();
        assert_eq!(page.jobs.len(), 60);
        ended += page.jobs.iter().filter(|job| job.state.is_final()).count();
    }
    assert_eq!(ended, 180);
    assert_eq!(store.queue_lengths().await.unwrap(), [0, 0]);
}

async fn a_listing_goes_by_pages_without_gaps(place: Place) {
    let store = place.with(&["a", "b"]).await;
    let mut expected = Vec::new();
    for _ in 0..7 {
        expected.push(submitted(&store, "a", "pass").await);
        submitted(&store, "b", "pass").await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    expected.reverse();
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = store.jobs("a", None, before.as_deref(), 3).await.unwrap();
        listed.extend(page.jobs.into_iter().map(|job| job.id));
        if !page.more {
            break;
        }
        before = listed.last().cloned();
    }
    assert_eq!(listed, expected);
    store.cancel("a", &expected[2]).await.unwrap();
    let revoked = store.jobs("a", Some(State::Revoked), None, 3).await.unwrap().jobs;
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].id, expected[2]);
}

async fn what_cannot_be_done_is_refused_before_it_is_kept(place: Place) {
    let store = place.with(&["a"]).await;
    let refused = [
        Submission {
            source: " \n".into(),
            ..code("")
        },
        Submission {
            arguments: serde_json::json!("text"),
            ..code("pass")
        },
        Submission {
            environment: [("A=B".into(), "x".into())].into(),
            ..code("pass")
        },
        Submission {
            environment: [("A".into(), "x\0y".into())].into(),
            ..code("pass")
        },
        Submission {
            priority: 10,
            ..code("pass")
        },
        Submission {
            priority: 1,
            ..code("pass")
        },
        Submission {
            retries: -1,
            ..code("pass")
        },
        Submission {
            delay: f64::NAN,
            ..code("pass")
        },
        Submission {
            delay: -1.0,
            ..code("pass")
        },
        Submission {
            backoff: f64::INFINITY,
            ..code("pass")
        },
        Submission {
            time_to_live: Some(0.0),
            ..code("pass")
        },
    ];
    for submission in refused {
        let error = store.submit("a", None, &submission).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{submission:?}: {error:?}");
    }
    assert!(store.jobs("a", None, None, 10).await.unwrap().jobs.is_empty());
    assert!(matches!(
        store.submit("nobody", None, &code("pass")).await,
        Err(Error::NotFound("tenant"))
    ));
}

on_both! {
    jobs_of_one_tenant_start_in_their_order_and_higher_priorities_first
    a_tenant_with_many_jobs_delays_another_s_first_by_one_slot_at_most
    a_tenant_runs_no_more_jobs_at_once_than_its_quota
    a_tenant_queues_no_more_jobs_than_its_quota
    a_tenant_whose_processor_time_is_used_neither_queues_nor_starts_more
    a_thousand_tenants_get_equal_shares_and_a_newcomer_the_next_slot_beside_a_backlog
    a_key_gives_the_same_job_again_and_is_a_tenant_s_own
    many_who_take_and_end_jobs_at_once_take_each_just_once
    a_listing_goes_by_pages_without_gaps
    what_cannot_be_done_is_refused_before_it_is_kept
}
