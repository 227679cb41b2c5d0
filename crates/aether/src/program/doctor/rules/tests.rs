//! Every rule on facts that are made up: one row for each kind of finding, and none where all is well.

mod made_up;
mod rows;

use std::collections::BTreeSet;
use std::time::Duration;

use aether_domain::ShardCount;
use aether_domain::timing::Profile;
use aether_infra_nats::{Difference, Role};

use super::*;
use crate::node::builder::founding;
use crate::program::doctor::finding::Severity;
use made_up::{facts, member, told};
use rows::{drift, rows, state};

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.kind.code).collect()
}

#[test]
fn a_healthy_node_cluster_and_server_have_no_finding_and_nothing_is_left_unsaid() {
    let report = report(&facts());
    assert_eq!((codes(&report), &report.notes[..]), (Vec::new(), &[][..]));
    let seen: BTreeSet<_> = report.seen.iter().map(|(what, _)| *what).collect();
    let all = [
        "account",
        "certificate",
        "clock",
        "log",
        "machine",
        "monitor",
        "nodes",
        "rights",
        "server",
        "settings",
        "streams",
    ];
    assert_eq!(seen, all.into());
}

#[test]
fn each_kind_of_finding_is_found_where_it_is_and_nothing_else_but_what_follows() {
    for (code, words, change) in rows() {
        let mut facts = facts();
        change(&mut facts);
        let report = report(&facts);
        let with: &[&str] = match code {
            "account-streams" | "account-byte-limits" => &["stream-missing"],
            _ => &[],
        };
        let mut expected: Vec<_> = [code].iter().chain(with).copied().collect();
        let mut found = codes(&report);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{code}");
        let finding = report.findings.iter().find(|finding| finding.kind.code == code).expect("found");
        let said = format!("{}\n{}", finding.found, finding.cure);
        assert!(said.contains(words), "{code}: {said}");
    }
}

#[test]
fn every_kind_of_finding_has_a_row_above_a_name_of_its_own_and_three_sentences() {
    let rows: BTreeSet<_> = rows().into_iter().map(|(code, ..)| code).collect();
    let all: Vec<_> = kinds().collect();
    assert_eq!(rows, all.iter().map(|kind| kind.code).collect());
    assert_eq!(rows.len(), all.len(), "no name is given twice");
    for Kind { code, what, why, cure, .. } in all {
        assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
        assert!(what.ends_with('.') && why.ends_with('.') && !cure.ends_with('.'), "{code}");
    }
}

#[test]
fn the_worst_comes_first() {
    let mut facts = facts();
    for (_, _, change) in
        rows().into_iter().filter(|(code, ..)| ["few-open-files", "api-level", "copies-few"].contains(code))
    {
        change(&mut facts);
    }
    let report = report(&facts);
    assert_eq!(codes(&report), ["api-level", "few-open-files", "copies-few"]);
    assert_eq!((report.worst(), report.count(Severity::Warning)), (Some(Severity::Fault), 2));
}

#[test]
fn what_may_not_be_seen_is_said_and_is_no_finding() {
    let denied = |what: &str| Unseen::Denied(format!("$JS.API.{what}"));
    let mut facts = facts();
    let examined = facts.nats.as_mut().expect("looked").as_mut().expect("seen");
    examined.account = Err(denied("INFO"));
    examined.streams.iter_mut().for_each(|stream| stream.found = Err(denied("STREAM.INFO.X")));
    (examined.members, examined.log, examined.clock) =
        (Err(denied("STREAM.INFO.X")), Err(denied("STREAM.MSG.GET.X")), None);
    facts.monitors.clear();
    let report = report(&facts);
    assert_eq!(codes(&report), Vec::<&str>::new());
    let notes = report.notes.join("\n");
    for said in [
        "$JS.API.INFO",
        "2 of 2 streams were not seen",
        "the nodes' records",
        "the topology log",
        "clock",
        "sync_interval",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
}

#[test]
fn a_node_that_is_this_one_has_not_taken_its_own_id() {
    for (more, announced) in [("[admin]\nlisten = \"127.0.0.1:7400\"", None), ("", Some("http://10.0.0.9:7400"))] {
        let mut facts = facts();
        facts.told = Ok(told(more));
        facts.host.announced = announced.map(str::to_owned);
        let mut ours = member("n1");
        ours.record.as_mut().expect("understood").admin_url = "http://10.0.0.9:7400".to_owned();
        facts.nats.as_mut().expect("looked").as_mut().expect("seen").members.as_mut().expect("seen").push(ours);
        assert_eq!(codes(&report(&facts)), Vec::<&str>::new(), "{more} {announced:?}");
    }
}

#[test]
fn a_server_is_down_if_nobody_hears_it_and_behind_if_it_is_heard_and_not_current() {
    for (current, heard, code) in [
        (true, Some(700), None),
        (true, None, None),
        (true, Some(5000), Some("replica-offline")),
        (false, None, Some("replica-offline")),
        (false, Some(700), Some("replica-behind")),
    ] {
        let mut facts = facts();
        state(move |state| {
            let replica = &mut state.replicas[1];
            (replica.current, replica.heard) = (current, heard.map(Duration::from_millis));
        })(&mut facts);
        assert_eq!(codes(&report(&facts)), Vec::from_iter(code), "{current} {heard:?}");
    }
}

#[test]
fn a_login_in_a_url_is_never_said() {
    for url in ["nats://me:canary@far.example:4222", "nats://me:canary@10.0.0.7:4222", "canary@far.example"] {
        let mut facts = facts();
        let told = facts.told.as_mut().expect("told");
        (told.nats.urls, told.nats.tls.insecure) = (vec![url.to_owned()], true);
        facts.nats.as_mut().expect("looked").as_mut().expect("seen").server.asks_who = false;
        let report = report(&facts);
        let codes = codes(&report);
        assert!(["nats-in-clear", "server-takes-anybody"].iter().all(|code| codes.contains(code)), "{codes:?}");
        assert_eq!(codes.contains(&"one-server-named"), url.contains("10.0.0.7"), "{codes:?}");
        assert!(!format!("{report:?}").contains("canary"), "{report:?}");
    }
}

#[test]
fn who_may_not_hear_answers_is_told_where_its_role_does() {
    for (role, inbox, more, cure) in [
        (Role::Client, None, 0, "nats.inbox_prefix = \"_INBOX_CLIENT_bank\""),
        (Role::Observer, None, 1, "nats.inbox_prefix = \"_INBOX_OBSERVER_bank\"; and give the user"),
        (Role::Node, Some("_INBOX_x"), 0, "nats.inbox_prefix = \"_INBOX_bank\""),
        (Role::Node, None, 0, "give the user"),
        (Role::Client, Some("_INBOX_CLIENT_bank"), 0, "give the user"),
    ] {
        let mut facts = facts();
        facts.role = role;
        facts.told.as_mut().expect("told").nats.inbox_prefix = inbox.map(str::to_owned);
        let rights = &mut facts.nats.as_mut().expect("looked").as_mut().expect("seen").rights;
        rights.subscribe = vec![format!("{}.>", inbox.unwrap_or("_INBOX_bank"))];
        rights.publish = vec!["a".to_owned(); more];
        let report = report(&facts);
        assert!(report.findings[0].cure.starts_with(cure), "{role:?} {inbox:?}: {}", report.findings[0].cure);
    }
}

#[test]
fn a_file_without_a_certificate_is_none_of_certificates() {
    let mut facts = facts();
    facts.host.certificates[0].held = Ok(Vec::new());
    let report = report(&facts);
    assert_eq!(codes(&report), ["certificate-unreadable"]);
    assert_eq!(report.findings[0].found, "nats.tls_cert (me.pem): there is no certificate in it");
}

#[test]
fn a_clock_is_off_by_what_the_way_cannot_explain() {
    let at = |unix_millis| WallTime { unix_millis };
    for (asked, said, answered, off) in [
        (1000, "1970-01-01T00:00:01.500Z", 2000, 0),
        (1000, "1970-01-01T00:00:00.400Z", 2000, -600),
        (1000, "1970-01-01T00:00:03.000Z", 2000, 1000),
    ] {
        assert_eq!(clock_off(at(asked), said, at(answered)), Some(off));
    }
    assert_eq!(clock_off(at(0), "soon", at(1)), None);
}

#[test]
fn who_says_nothing_of_profile_and_copies_is_no_node_that_differs() {
    let mut facts = facts();
    let told = facts.told.as_mut().expect("told");
    (told.says_profile, told.says_replicas, told.nats.replicas) = (false, false, 1);
    drift("num_replicas", "3", "1")(&mut facts);
    let examined = facts.nats.as_mut().expect("looked").as_mut().expect("seen");
    examined.log.as_mut().expect("seen").founded = Some(founding(Profile::Fast));
    state(|state| state.messages_max = Some(12))(&mut facts);
    let seen = report(&facts);
    assert_eq!(codes(&seen), ["dead-letters-filling"], "more copies than nobody asked for are no difference");
    assert!(seen.seen.iter().any(|(what, how)| *what == "streams" && how.contains("2 as they must be")), "{seen:?}");
    state(|state| state.messages_max = None)(&mut facts);
    assert_eq!(codes(&report(&facts)), Vec::<&str>::new());
    // That there is one copy only is unwise whoever sees it.
    state(|state| state.differences.clear())(&mut facts);
    assert_eq!(codes(&report(&facts)), ["copies-few"]);
}

#[test]
fn what_is_the_same_in_many_streams_is_said_once_and_cured_in_one_line() {
    let mut facts = facts();
    let wrong =
        |setting: &str| Difference { setting: setting.to_owned(), found: "1".to_owned(), expected: "0".to_owned() };
    for stream in &mut facts.nats.as_mut().expect("looked").as_mut().expect("seen").streams {
        stream.found.as_mut().expect("seen").differences = vec![wrong("max_age"), wrong("first_seq")];
    }
    let report = report(&facts);
    assert_eq!(codes(&report), ["stream-drops-history", "stream-setting"]);
    assert_eq!(report.findings[0].found, "AETHER_bank_EVT_0, AETHER_bank_DLQ: max_age is 1 instead of 0");
    let cure = "for stream in AETHER_bank_EVT_0 AETHER_bank_DLQ; do nats stream edit $stream --max-age=0s; done";
    assert_eq!(report.findings[0].cure, cure);
    assert!(report.findings[1].cure.starts_with("for each of them: it cannot be set back"), "{:?}", report.findings[1]);
}

#[test]
fn profiles_that_founded_another_number_of_shards_cannot_be_set_right_by_a_profile() {
    let mut facts = facts();
    let shards = ShardCount::new(2048).expect("a count");
    let founded = Some(aether_domain::cluster::ClusterSettings { shards, ..founding(Profile::Default) });
    facts.nats.as_mut().expect("looked").as_mut().expect("seen").log.as_mut().expect("seen").founded = founded;
    let report = report(&facts);
    assert!(report.findings[0].found.contains("2048 shards where this node has 1024"));
    assert!(report.findings[0].cure.contains("build"));
}
