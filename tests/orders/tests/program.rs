//! The example does what it shows, in memory and on a real nats-server.

use std::process::Command;

const SAYS: &str = "\
placed order 4711: version 2
added an item: version 3
a payment behind version 2 was refused: the order is at version 3
the other shop knows version 3 without asking
heard of it: order/4711 is paid at version 4
replayed 5 events: 2 items, paid: true
behind version 4: shipped
the snapshot and the events behind it are the whole order
";

fn run(arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_aether-orders")).args(arguments).output().expect("it starts");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).expect("it says text")
}

#[test]
fn orders_are_traded_in_memory() {
    assert_eq!(run(&[]), SAYS);
}

#[test]
fn orders_are_traded_on_nats_and_namespaces_share_nothing() {
    let server = xtask::nats::NatsServer::start(xtask::nats::ServerOptions::default()).expect("a server");
    for namespace in ["spring", "autumn"] {
        assert_eq!(run(&[&server.url(), namespace]), SAYS, "{namespace}");
    }
}
