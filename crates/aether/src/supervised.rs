//! What a process knows of the supervisor that runs it.
//!
//! `aether supervise` gives each process it starts a token of its own in [`VARIABLE`]; the node puts it into its member
//! record, and by it the supervisor finds that record once it has reaped the process. Any program that embeds a
//! [`Node`](crate::Node) gets this without doing anything. The token counts only in the supervisor's own child: a program
//! that the child starts in turn may outlive it, and must not be written dead with it.

use aether_domain::Nonce;

/// The variable that says who supervises a process: the supervisor's process id in decimal, a colon, and the token as 16
/// hex digits. `4711:00c0ffee00c0ffee`.
pub const VARIABLE: &str = "AETHER_SUPERVISOR";

/// A supervisor, as its child sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervisor {
    /// Its process id.
    pub pid: u32,
    /// What it knows this process by: drawn anew for each start.
    pub token: Nonce,
}

impl Supervisor {
    /// What [`VARIABLE`] is set to.
    pub fn as_variable(self) -> String {
        format!("{}:{:016x}", self.pid, self.token.0)
    }

    /// Reads what [`VARIABLE`] is set to; `None` if it is nothing of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let (pid, token) = text.split_once(':')?;
        let of_hex = |text: &str| (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
        Some(Self { pid: pid.parse().ok()?, token: Nonce(of_hex(token)?) })
    }

    /// The supervisor of this process, if one has started it.
    pub fn of_this_process() -> Option<Self> {
        let text = std::env::var(VARIABLE).ok()?;
        let Some(named) = Self::parse(&text) else {
            tracing::warn!(
                variable = VARIABLE,
                "this variable does not name a supervisor; nobody will say when this process dies"
            );
            return None;
        };
        if !named.is_parent() {
            tracing::warn!(
                supervisor = named.pid,
                "this process was not started by the supervisor that {VARIABLE} names, but by something between them; its \
                 death will be noticed by its silence only: let a script that the supervisor starts end in `exec`"
            );
            return None;
        }
        Some(named)
    }

    /// Whether it is this process's parent now: not if something stands between them, and no more once it has died.
    #[cfg(unix)]
    pub fn is_parent(self) -> bool {
        std::os::unix::process::parent_id() == self.pid
    }

    /// Whether it is this process's parent now; nobody is where processes have none.
    #[cfg(not(unix))]
    pub fn is_parent(self) -> bool {
        false
    }
}

/// What the supervisor of this process knows it by, if it has one.
pub(crate) fn token() -> Option<Nonce> {
    Supervisor::of_this_process().map(|supervisor| supervisor.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_supervisor_says_is_what_its_child_reads() {
        for supervisor in [Supervisor { pid: 1, token: Nonce(0) }, Supervisor { pid: u32::MAX, token: Nonce(u64::MAX) }]
        {
            assert_eq!(Supervisor::parse(&supervisor.as_variable()), Some(supervisor));
        }
        assert_eq!(Supervisor { pid: 4711, token: Nonce(0xc0_ffee) }.as_variable(), "4711:0000000000c0ffee");
    }

    #[test]
    fn anything_else_names_nobody() {
        for text in
            ["", "4711", "4711:", "4711:c0ffee", ":0000000000c0ffee", "-1:0000000000c0ffee", "1:000000000000000g"]
        {
            assert_eq!(Supervisor::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_parent_is_believed() {
        let parent = std::os::unix::process::parent_id();
        assert!(Supervisor { pid: parent, token: Nonce(1) }.is_parent());
        assert!(!Supervisor { pid: std::process::id(), token: Nonce(1) }.is_parent());
    }
}
