//! The account's rules, without any runtime.

use aether::demo::bank::{
    Account, AccountError, AccountEvent, Audit, Audited, Balance, Deposit, Open, Settle, TransferIn, TransferOut,
    Withdraw, fingerprint,
};
use aether::prelude::testkit::given;

fn opened() -> AccountEvent {
    AccountEvent::Opened { operation: 1 }
}
fn deposited(operation: u64, amount: u64) -> AccountEvent {
    AccountEvent::Deposited { operation, amount }
}
fn left(operation: u64, transfer: u64, amount: u64) -> AccountEvent {
    AccountEvent::TransferLeft { operation, transfer, to: 8, amount }
}

#[test]
fn an_account_is_opened_once() {
    given::<Account>(7, []).when(Open { operation: 1 }).then([opened()]).reply(());
    given::<Account>(7, [opened()]).when(Open { operation: 2 }).rejected(AccountError::AlreadyOpen);
}

#[test]
fn nothing_happens_to_an_account_that_is_not_open() {
    given::<Account>(7, []).when(Deposit { operation: 1, amount: 5 }).rejected(AccountError::NotOpen);
    given::<Account>(7, []).when(Withdraw { operation: 1, amount: 5 }).rejected(AccountError::NotOpen);
    given::<Account>(7, []).when(TransferIn { operation: 1, transfer: 1, amount: 5 }).rejected(AccountError::NotOpen);
    given::<Account>(7, []).when(Balance {}).rejected(AccountError::NotOpen);
}

#[test]
fn money_comes_and_goes_and_never_goes_below_nothing() {
    let past = || [opened(), deposited(2, 50)];
    given::<Account>(7, past()).when(Deposit { operation: 3, amount: 5 }).then([deposited(3, 5)]).reply(55);
    let withdrawn = AccountEvent::Withdrawn { operation: 3, amount: 50 };
    given::<Account>(7, past()).when(Withdraw { operation: 3, amount: 50 }).then([withdrawn]).reply(0);
    let short = AccountError::Insufficient { balance: 50 };
    given::<Account>(7, past()).when(Withdraw { operation: 3, amount: 51 }).rejected(short);
    let amount = u64::MAX;
    given::<Account>(7, past())
        .when(Deposit { operation: 3, amount })
        .rejected(AccountError::TooMuch { amount_max: 1_000_000_000 });
}

#[test]
fn a_transfer_is_pending_until_it_is_settled() {
    let past = || [opened(), deposited(2, 50)];
    let out = TransferOut { operation: 3, transfer: 9, to: 8, amount: 20 };
    given::<Account>(7, past()).when(out).then([left(3, 9, 20)]).reply(30);
    let audited = |pending, operations: &[u64]| Audited {
        balance: 30,
        pending,
        operations: operations.len() as u64,
        checksum: operations.iter().fold(0, |sum, operation| sum.wrapping_add(fingerprint(*operation))),
    };
    let pending = || [opened(), deposited(2, 50), left(3, 9, 20)];
    given::<Account>(7, pending()).when(Audit {}).then([]).reply(audited(20, &[1, 2, 3]));
    let settled = AccountEvent::TransferSettled { operation: 4, transfer: 9 };
    given::<Account>(7, pending()).when(Settle { operation: 4, transfer: 9 }).then([settled.clone()]).reply(30);
    let past: Vec<_> = pending().into_iter().chain([settled]).collect();
    given::<Account>(7, past.clone()).when(Audit {}).reply(audited(0, &[1, 2, 3, 4]));
    let unknown = AccountError::NoSuchTransfer { transfer: 9 };
    given::<Account>(7, past).when(Settle { operation: 5, transfer: 9 }).rejected(unknown);
}

#[test]
fn an_audit_tells_a_repeated_operation_from_a_different_one() {
    let audit = |history: Vec<AccountEvent>| {
        let mut seen = Audited::default();
        for event in &history {
            seen.operations += 1;
            seen.checksum = seen.checksum.wrapping_add(fingerprint(event.operation()));
        }
        (seen.operations, seen.checksum)
    };
    let right = audit(vec![opened(), deposited(2, 5), deposited(3, 5)]);
    assert_eq!(right, audit(vec![opened(), deposited(3, 5), deposited(2, 5)]), "order does not matter");
    assert_ne!(right, audit(vec![opened(), deposited(2, 5), deposited(2, 5)]), "one lost, another twice");
    assert_ne!(right.0, audit(vec![opened(), deposited(2, 5)]).0);
}
