//! What a caller may rely on.

use aether_domain::MessageId;
use aether_domain::ports::ReadMode;
use aether_infra_memory::MemoryHub;

use crate::bank::{AccountError, Balance, Deposit, Withdraw};
use crate::desk::Desk;
use aether_runtime::actor::AskError;

#[tokio::test]
async fn an_account_answers_from_its_history_wherever_it_is_loaded() {
    let hub = MemoryHub::new();
    let first = Desk::open(&hub, "a", 1);
    assert_eq!(first.ask(7, Balance).await, Ok(0));
    assert_eq!(first.ask(7, Deposit { amount: 70 }).await, Ok(70));
    assert_eq!(first.ask(7, Withdraw { amount: 20 }).await, Ok(50));
    let refused = AccountError::Insufficient { balance: 50 };
    assert_eq!(first.ask(7, Withdraw { amount: 51 }).await, Err(AskError::Rejected(refused)));

    let second = Desk::open(&hub, "b", 2);
    for mode in [ReadMode::Strict, ReadMode::Leased, ReadMode::Log] {
        assert_eq!(second.ask_as(7, Balance, mode, None).await, Ok(50), "{mode:?}");
    }
    assert_eq!(first.host.stats().resident_actors, 1);
}

#[tokio::test]
async fn a_message_id_of_the_application_counts_once_across_owners() {
    let hub = MemoryHub::new();
    let first = Desk::open(&hub, "a", 1);
    let again = Some(MessageId(99));
    for _ in 0..3 {
        assert_eq!(first.ask_as(1, Deposit { amount: 5 }, ReadMode::Strict, again).await, Ok(5));
    }
    let second = Desk::open(&hub, "b", 2);
    assert_eq!(second.ask_as(1, Deposit { amount: 5 }, ReadMode::Strict, again).await, Ok(5));
    assert_eq!(second.ask(1, Balance).await, Ok(5));
}
