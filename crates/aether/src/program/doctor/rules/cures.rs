//! What sets a stream right: a command to be copied, or what to do where there is none.

use aether_infra_nats::Difference;

/// What sets that right in all of these streams.
pub(super) fn cure(names: &[String], difference: &Difference) -> String {
    let Difference { setting, found, expected } = difference;
    let Some(flag) = flag(difference) else {
        return match names {
            [name] => unset(name, difference),
            _ => format!("for each of them: {}", unset("STREAM", difference)),
        };
    };
    let edit = match names {
        [name] => format!("nats stream edit {name} {flag}"),
        _ => format!("for stream in {}; do nats stream edit $stream {flag}; done", names.join(" ")),
    };
    match setting.as_str() {
        "num_replicas" if found.parse::<u64>().ok() > expected.parse().ok() => {
            format!("`nats.replicas = {found}` for every node, or `{edit}`")
        }
        "max_consumers" => format!("`{edit}`, which nats-server 2.12.5 or newer obeys"),
        _ => edit,
    }
}

/// The flag of `nats stream edit`, quoted for a shell; nothing where it has none, or servers refuse it.
fn flag(Difference { setting, found, expected }: &Difference) -> Option<String> {
    let off = |flag: &str| if expected == "true" { format!("--{flag}") } else { format!("--no-{flag}") };
    let number = |flag: &str| format!("--{flag}={expected}");
    let bare = |value: &str| value.trim_matches('"').to_owned();
    let edit = match setting.as_str() {
        "num_replicas" => number("replicas"),
        "max_age" => "--max-age=0s".to_owned(),
        "max_msgs" => number("max-msgs"),
        "max_msgs_per_subject" => number("max-msgs-per-subject"),
        "max_msg_size" => number("max-msg-size"),
        "max_consumers" => number("max-consumers"),
        "retention" if bare(found) != "workqueue" => format!("--retention={}", bare(expected)),
        "discard" => format!("--discard={}", bare(expected)),
        "discard_new_per_subject" => "--no-discard-per-subject".to_owned(),
        "deny_delete" if expected == "true" => off("deny-delete"),
        "deny_purge" if expected == "true" => off("deny-purge"),
        "allow_atomic" => off("allow-batch"),
        "allow_batched" => off("allow-fast"),
        "allow_msg_schedules" => off("allow-schedules"),
        "allow_rollup_hdrs" => off("allow-rollup"),
        "allow_direct" => off("allow-direct"),
        "mirror_direct" => off("allow-mirror-direct"),
        "subject_delete_marker_ttl" => "--subject-del-markers-ttl=0s".to_owned(),
        "mirror" => "--no-mirror".to_owned(),
        "republish" => "--no-republish".to_owned(),
        "subject_transform" => "--no-transform".to_owned(),
        "subjects" => format!("--subjects='{}'", expected.trim_matches(['[', ']']).replace('"', "")),
        _ => return None,
    };
    Some(edit)
}

/// What to do where no flag sets it right.
fn unset(name: &str, Difference { setting, found, .. }: &Difference) -> String {
    match setting.as_str() {
        // The server cannot back up what it keeps in memory.
        "storage" if found == "\"memory\"" => format!(
            "it cannot be set back, and no backup can be had of a stream in memory: with the nodes stopped and the servers left \
             running, copy it into another stream on disk (`nats stream add COPY --mirror={name} --storage=file`) before anything \
             else is done to it, and take another namespace; what is not copied is gone with {name}"
        ),
        "allow_msg_counter" | "allow_msg_ttl" | "deny_delete" | "deny_purge" | "first_seq" | "persist_mode"
        | "retention" | "sealed" | "storage" => format!(
            "it cannot be set back: take another namespace, or with the nodes stopped `nats stream backup {name} DIR && nats stream \
             rm {name} && nats stream restore DIR --config FILE` with {setting} put right in FILE; remove it only if the backup has \
             succeeded"
        ),
        _ => format!("`nats stream edit {name} --config FILE`, where FILE has its settings with {setting} put right"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cured(names: &[&str], setting: &str, found: &str, expected: &str) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let text = |text: &str| text.to_owned();
        cure(&names, &Difference { setting: text(setting), found: text(found), expected: text(expected) })
    }

    const DIFFERENCES: [(&str, &str, &str); 30] = [
        ("num_replicas", "1", "3"),
        ("max_age", "7", "0"),
        ("max_msgs", "7", "-1"),
        ("max_msgs_per_subject", "7", "-1"),
        ("max_msg_size", "7", "-1"),
        ("max_consumers", "7", "-1"),
        ("retention", "\"interest\"", "\"limits\""),
        ("discard", "\"old\"", "\"new\""),
        ("discard_new_per_subject", "true", "unset"),
        ("deny_delete", "false", "true"),
        ("deny_purge", "unset", "true"),
        ("allow_atomic", "true", "unset"),
        ("allow_batched", "true", "unset"),
        ("allow_msg_schedules", "true", "unset"),
        ("allow_rollup_hdrs", "true", "false"),
        ("allow_direct", "false", "true"),
        ("mirror_direct", "true", "false"),
        ("subject_delete_marker_ttl", "7", "unset"),
        ("mirror", "{\"name\":\"other\"}", "unset"),
        ("sources", "[{\"name\":\"other\"}]", "unset"),
        ("republish", "{\"src\":\">\",\"dest\":\"other.>\"}", "unset"),
        ("subject_transform", "{\"src\":\">\",\"dest\":\"other.>\"}", "unset"),
        ("subjects", "[\"a\"]", "[\"$KV.aether_bank_ctl.>\",\"b.>\"]"),
        ("no_ack", "true", "unset"),
        ("pause_until", "\"tomorrow\"", "unset"),
        ("retention", "\"workqueue\"", "\"limits\""),
        ("deny_delete", "true", "false"),
        ("deny_purge", "true", "false"),
        ("allow_msg_ttl", "true", "unset"),
        ("storage", "\"memory\"", "\"file\""),
    ];

    #[test]
    fn a_command_can_be_copied_into_a_shell_as_it_stands() {
        assert_eq!(
            cured(&["KV_x"], "subjects", "[\"a\"]", "[\"$KV.x.>\",\"b.>\"]"),
            "nats stream edit KV_x --subjects='$KV.x.>,b.>'"
        );
        for (setting, found, expected) in DIFFERENCES {
            for names in [&["A"][..], &["A", "B"]] {
                let cure = cured(names, setting, found, expected);
                let unquoted: String = cure.split('\'').step_by(2).collect();
                let left = unquoted.replace("edit $stream ", "");
                assert!(!left.contains(['>', '$', '*', '"']), "{setting}: {cure}");
                assert!(names.len() == 1 || !cure.starts_with("nats "), "{setting} is for one of two: {cure}");
            }
        }
    }

    #[test]
    fn only_what_servers_refuse_to_change_is_answered_with_a_stream_made_anew() {
        let anew: Vec<_> = DIFFERENCES
            .into_iter()
            .filter(|(setting, found, expected)| cured(&["A"], setting, found, expected).contains(" rm "))
            .map(|(setting, ..)| setting)
            .collect();
        assert_eq!(anew, ["retention", "deny_delete", "deny_purge", "allow_msg_ttl"]);
        for setting in ["persist_mode", "sealed", "first_seq", "allow_msg_counter"] {
            let cure = cured(&["A"], setting, "true", "unset");
            assert!(cure.contains("nats stream backup A DIR && nats stream rm A && "), "{cure}");
        }
    }

    #[test]
    fn nobody_is_told_to_remove_a_stream_that_cannot_be_backed_up() {
        for names in [&["A"][..], &["A", "B"]] {
            let cure = cured(names, "storage", "\"memory\"", "\"file\"");
            assert!(!cure.contains(" rm ") && !cure.contains("nats stream backup"), "{cure}");
            assert!(cure.contains("no backup can be had") && cure.contains("--mirror="), "{cure}");
        }
    }

    #[test]
    fn more_copies_than_asked_for_are_cured_by_asking_for_them() {
        for (names, edit) in [
            (&["A"][..], "nats stream edit A --replicas=1"),
            (&["A", "B"], "for stream in A B; do nats stream edit $stream --replicas=1; done"),
        ] {
            let expected = format!("`nats.replicas = 3` for every node, or `{edit}`");
            assert_eq!(cured(names, "num_replicas", "3", "1"), expected);
        }
        assert_eq!(cured(&["A"], "num_replicas", "1", "3"), "nats stream edit A --replicas=3");
    }
}
