//! What people and other programs write: configuration, policies, ids, histories.

use aether::config::Layers;
use aether::placement::PolicyText;
use aether::supervised::Supervisor;
use aether_domain::policy::Strategy;
use aether_domain::{ActorId, NodeId, ShardSet};
use aether_histcheck::History;

use super::{BYTES_MAX, USUAL};
use crate::{Allowance, Decoded, Shape, Target, again};

/// Of a table of tables, kept more than once while it is read.
const OF_TOML: Allowance = Allowance { times: 64, room: 512 * 1024 };

pub(super) fn targets() -> Vec<Target> {
    let target = |name, allowance, read| Target {
        name,
        shape: Shape::Plain,
        golden: &[],
        allowance,
        bytes_max: BYTES_MAX,
        read,
    };
    vec![
        // Each step of a key is a table, of two bytes, until it is seen how many there are.
        target("config-file", Allowance { times: 1_024, ..OF_TOML }, config_file as fn(&[u8]) -> Decoded),
        target("config-variables", Allowance { times: 1_024, ..OF_TOML }, config_variables),
        // A run of shards names 65,536 of them in seven bytes, and each of them may be pinned.
        target("policy-file", Allowance { room: 8 * 1024 * 1024, ..OF_TOML }, policy),
        target("supervisor", USUAL, supervisor),
        target("shards", USUAL, shards),
        target("names", USUAL, names),
        target("history", USUAL, history),
    ]
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|fault| fault.to_string())
}

fn config_file(bytes: &[u8]) -> Decoded {
    Layers::text("a file", text(bytes)?).load().map_err(|refused| refused.to_string())?;
    Ok(Box::new(|| Ok(())))
}

/// One variable a line, over an empty file.
fn config_variables(bytes: &[u8]) -> Decoded {
    let pairs = text(bytes)?.lines().filter_map(|line| line.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Layers::none().with_environment(pairs).load().map_err(|refused| refused.to_string())?;
    Ok(Box::new(|| Ok(())))
}

fn policy(bytes: &[u8]) -> Decoded {
    let read = |bytes: &[u8]| PolicyText::parse(text(bytes)?).map_err(|refused| refused.to_string());
    let policy = read(bytes)?;
    Ok(Box::new(move || again(&policy, |policy| Ok(PolicyText::of(policy).to_string().into_bytes()), read)))
}

fn supervisor(bytes: &[u8]) -> Decoded {
    let read = |bytes: &[u8]| Supervisor::parse(text(bytes)?).ok_or_else(|| "nothing of ours".to_owned());
    let supervisor = read(bytes)?;
    Ok(Box::new(move || again(&supervisor, |supervisor| Ok(supervisor.as_variable().into_bytes()), read)))
}

fn shards(bytes: &[u8]) -> Decoded {
    let read = |bytes: &[u8]| text(bytes)?.parse::<ShardSet>().map_err(|fault| fault.to_string());
    let set = read(bytes)?;
    Ok(Box::new(move || again(&set, |set| Ok(set.to_string().into_bytes()), read)))
}

fn names(bytes: &[u8]) -> Decoded {
    let text = text(bytes)?.to_owned();
    let (node, actor) = (NodeId::new(&text).map(drop), ActorId::new(&text).map(drop));
    let strategy = text.parse::<Strategy>();
    match (&node, &actor, &strategy) {
        (Err(fault), Err(_), Err(_)) => return Err(fault.to_string()),
        (Ok(()), Err(_), _) => return Err("a node's name is no actor's id".to_owned()),
        _ => {}
    }
    Ok(Box::new(move || match strategy {
        Ok(strategy) => again(
            &strategy,
            |strategy| Ok(strategy.to_string().into_bytes()),
            |bytes| String::from_utf8_lossy(bytes).parse::<Strategy>().map_err(|fault| fault.to_string()),
        ),
        Err(_) => Ok(()),
    }))
}

fn history(bytes: &[u8]) -> Decoded {
    let verdict =
        History::read(bytes).and_then(|history| history.judge()).map_err(|malformed| malformed.to_string())?;
    Ok(Box::new(move || if verdict.to_string().is_empty() { Err("nothing is said".to_owned()) } else { Ok(()) }))
}
