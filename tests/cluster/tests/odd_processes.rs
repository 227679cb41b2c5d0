//! Commands that end the process they run in, on real processes under supervisors: how many it costs, and what becomes of
//! everybody else.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aether::prelude::*;
use aether_cluster_tests::odd::{Abort, Add, Fuse, Odd, Spin, Total};
use aether_domain::Namespace;
use aether_domain::Sequence;
use aether_domain::cluster::Member;
use aether_domain::records::StoredLetter;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use xtask::nats::{NatsServer, ServerOptions};
use xtask::process::{self, Identity};

const PROGRAM: &str = env!("CARGO_BIN_EXE_aether-under-test");
const NODE: &str = env!("CARGO_BIN_EXE_odd-node");
const NAMESPACE: &str = "odd";
const LIMIT: Duration = Duration::from_secs(60);

/// A supervised node that does not outlive the test.
struct Supervised {
    child: Child,
    pid: PathBuf,
}

impl Supervised {
    fn start(folder: &Path, url: &str, id: &str, starts: &Path) -> Self {
        let pid = folder.join(format!("{id}.pid"));
        let log = std::fs::File::create(folder.join(format!("{id}.log"))).expect("a log");
        let mut command = Command::new(PROGRAM);
        process::without_our_variables(&mut command);
        command.env("AETHER_NATS__URLS", url).env("AETHER_NAMESPACE", NAMESPACE);
        command.args(["supervise", "--id", id, "--restart", "on-failure", "--pid-file"]).arg(&pid);
        command.arg("--").arg(NODE).args([url, NAMESPACE, id]).arg(starts);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        Self { child: command.spawn().expect("it starts"), pid }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // Both may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let pid = std::fs::read_to_string(&self.pid).ok().and_then(|text| text.trim().parse().ok());
        if let Some(node) = pid.and_then(Identity::of) {
            let _ = node.kill();
        }
    }
}

/// Three supervised nodes of odd actors, and one in this process that asks them and carries next to nothing itself.
struct Stage {
    /// Before the folder, which has the files that say which processes they are.
    _nodes: Vec<Supervised>,
    server: NatsServer,
    folder: tempfile::TempDir,
    starts: PathBuf,
    asker: Node,
}

impl Stage {
    async fn set() -> Self {
        let server = tokio::task::spawn_blocking(|| NatsServer::start(ServerOptions::default()));
        let server = server.await.expect("no panic").expect("a nats-server");
        let folder = tempfile::tempdir().expect("a folder");
        let starts = folder.path().join("starts");
        let nodes = ["n1", "n2", "n3"].map(|id| Supervised::start(folder.path(), &server.url(), id, &starts));
        let asker = Node::builder("asker").namespace(NAMESPACE).actor::<Odd>();
        let asker = asker.nats(NatsConfig::new([server.url()])).start();
        let asker = timeout(LIMIT, asker).await.expect("in time").expect("it starts");
        let stage = Self { _nodes: nodes.into(), server, folder, starts, asker };
        stage
            .until("the others own the shards", || {
                let picture = stage.asker.source().picture().expect("it has begun");
                let assignment = picture.topology.assignment();
                let cluster = picture.topology.cluster();
                let owned = |member: &Member| assignment.owned_by(member.node.incarnation);
                let others: Vec<_> = cluster.active().filter(|member| member.node != picture.me).map(owned).collect();
                let least = others.iter().min().copied().unwrap_or_default();
                // A node that has just joined has no shards, and no plan yet that gives it some.
                let shared = others.len() == 3 && others.iter().all(|owned| *owned - least <= 1);
                shared && assignment.owned_by(picture.me.incarnation) <= 2 && cluster.plan().is_none()
            })
            .await;
        stage
    }

    async fn until(&self, what: &str, is: impl Fn() -> bool) {
        let wait = async {
            while !is() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("in time: {what}; {}", self.logs()));
    }

    fn logs(&self) -> String {
        ["n1", "n2", "n3"].map(|id| process::tail(&self.folder.path().join(format!("{id}.log")), 15)).join("\n")
    }

    /// How many lives of nodes there were.
    fn starts(&self) -> usize {
        std::fs::read_to_string(&self.starts).unwrap_or_default().lines().count()
    }

    async fn letters(&self) -> Vec<StoredLetter> {
        let namespace = Namespace::new(NAMESPACE).expect("a name");
        let ports = aether_infra_nats::connect(&NatsConfig::new([self.server.url()]), &namespace).await;
        let ports = ports.expect("it connects");
        let letters = ports.ports.dead_letters.read(Sequence::ZERO, 100).await.expect("letters are read");
        ports.session.close().await;
        letters
    }

    /// The letter of that command, once there is one: whoever gives a command up does not wait until its letter is kept.
    async fn letter_of(&self, command: &str) -> StoredLetter {
        let kept = async {
            loop {
                if let Some(stored) = self.letters().await.into_iter().find(|stored| stored.letter.command == command) {
                    return stored;
                }
                sleep(Duration::from_millis(200)).await;
            }
        };
        timeout(LIMIT, kept).await.unwrap_or_else(|_| panic!("a letter of {command} in time: {}", self.logs()))
    }

    /// What the program says when it is asked that.
    fn program(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        process::without_our_variables(&mut command);
        command.env("AETHER_NATS__URLS", self.server.url()).env("AETHER_NAMESPACE", NAMESPACE).args(arguments);
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it is text")
    }
}

/// Adds to other actors, one at a time each, until told to stop; answers what each of them must have then.
fn innocents(node: &Node, stop: &Arc<AtomicBool>) -> JoinSet<(String, u64, u64)> {
    let mut tasks = JoinSet::new();
    for id in 0..8 {
        let (actor, stop) = (node.actor::<Odd>(format!("innocent {id}")), stop.clone());
        tasks.spawn(async move {
            let (mut acknowledged, mut doubtful) = (0, 0);
            // Each is to be answered once, at least: all may be over before its shard is served again.
            while !stop.load(Ordering::Relaxed) || acknowledged == 0 {
                match actor.ask(Add(1)).await {
                    Ok(_) => acknowledged += 1,
                    Err(error) if error.maybe_applied() => doubtful += 1,
                    Err(_) => {}
                }
                sleep(Duration::from_millis(2)).await;
            }
            (format!("innocent {id}"), acknowledged, doubtful)
        });
    }
    tasks
}

/// Every acknowledged addition is there, and no other but those in doubt.
async fn are_unharmed(node: &Node, mut tasks: JoinSet<(String, u64, u64)>) {
    while let Some(done) = timeout(LIMIT, tasks.join_next()).await.expect("everybody is answered in time") {
        let (id, acknowledged, doubtful) = done.expect("no task fails");
        let total = timeout(LIMIT, async {
            loop {
                match node.actor::<Odd>(id.clone()).ask(Total()).await {
                    Ok(total) => return total,
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        });
        let total = total.await.expect("it answers in time");
        assert!(acknowledged > 0, "{id} was never answered");
        let expected = acknowledged..=acknowledged + doubtful;
        assert!(expected.contains(&total), "{id}: {total} is none of {expected:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_ends_its_process_ends_two_of_them_and_is_given_up() {
    let stage = Stage::set().await;
    assert_eq!(stage.starts(), 3);
    let stop = Arc::new(AtomicBool::new(false));
    let others = innocents(&stage.asker, &stop);
    let deadly = stage.asker.actor::<Odd>("deadly".to_owned()).timeout(LIMIT);
    assert_eq!(deadly.ask(Add(7)).await, Ok(7));
    let given_up = deadly.ask(Abort()).await;
    assert!(
        matches!(&given_up, Err(AskError::Poisoned { reason, maybe_applied: true }) if reason.contains("2 lives")),
        "{given_up:?} {}",
        stage.logs()
    );
    assert_eq!(deadly.ask(Total()).await, Ok(7), "the actor lives on");
    stop.store(true, Ordering::Relaxed);
    are_unharmed(&stage.asker, others).await;
    stage.until("both are started again", || stage.starts() == 5).await;
    stage.letter_of("abort").await;
    let letters = stage.letters().await;
    let abort: Vec<_> = letters.iter().filter(|stored| stored.letter.command == "abort").collect();
    let [letter] = &abort[..] else { panic!("one letter: {letters:?}") };
    assert_eq!(letter.letter.actor.key.id.as_str(), "deadly");

    // What an operator sees and does.
    let number = letter.sequence.0.to_string();
    let shown: Value = serde_json::from_str(&stage.program(&["dead-letters", "show", &number])).expect("JSON");
    assert_eq!(
        (&shown["id"], &shown["command"], &shown["maybe_applied"]),
        (&"deadly".into(), &"abort".into(), &true.into())
    );
    assert_eq!(stage.program(&["dead-letters", "list"]).lines().count(), letters.len());
    stage.program(&["dead-letters", "forget", &number]);
    assert_eq!(stage.letters().await.len(), letters.len() - 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.starts(), 5, "nobody else has died");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_that_ends_its_process_ends_three_of_them_and_fires_without_its_command() {
    let stage = Stage::set().await;
    assert_eq!(stage.starts(), 3);
    let stop = Arc::new(AtomicBool::new(false));
    let others = innocents(&stage.asker, &stop);
    let deadly = stage.asker.actor::<Odd>("deadly".to_owned()).timeout(LIMIT);
    assert_eq!(deadly.ask(Add(7)).await, Ok(7));
    assert_eq!(deadly.ask(Fuse()).await, Ok(()));
    let letter = stage.letter_of("abort").await.letter;
    assert!(letter.reason.contains("2 lives"), "{}", letter.reason);
    assert_eq!(deadly.ask(Total()).await, Ok(7), "the actor lives on");
    stop.store(true, Ordering::Relaxed);
    are_unharmed(&stage.asker, others).await;
    stage.until("all three are started again", || stage.starts() == 6).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(stage.starts(), 6, "nobody else has died");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_returns_holds_up_its_shard_until_the_watchdog_ends_its_process() {
    let stage = Stage::set().await;
    let stop = Arc::new(AtomicBool::new(false));
    let others = innocents(&stage.asker, &stop);
    let stuck = stage.asker.actor::<Odd>("stuck".to_owned()).timeout(LIMIT);
    let given_up = stuck.ask(Spin()).await;
    assert!(
        matches!(&given_up, Err(AskError::Poisoned { reason, maybe_applied: true }) if reason.contains("2 lives")),
        "{given_up:?} {}",
        stage.logs()
    );
    assert_eq!(stuck.ask(Add(1)).await, Ok(1), "the actor lives on");
    stop.store(true, Ordering::Relaxed);
    are_unharmed(&stage.asker, others).await;
    stage.until("both are started again", || stage.starts() == 5).await;
    let said = ["n1", "n2", "n3"]
        .map(|id| std::fs::read_to_string(stage.folder.path().join(format!("{id}.log"))).unwrap_or_default());
    let ended = said.iter().map(|said| said.matches(&format!("{}", aether::EXIT_STUCK)).count()).sum::<usize>();
    assert!(ended >= 2, "the supervisors name the exit code: {}", stage.logs());
    stage.letter_of("spin").await;
}
