//! The compile-time list of an actor's commands.

use super::erased::Entry;
use super::model::{Actor, Command, Handle};

/// The commands of an actor: a tuple of 1 to 16 commands, each handled by it. Not to be implemented by users.
pub trait CommandSet<A: Actor> {
    /// One entry a command, in the tuple's order. Two of one name do not compile.
    #[doc(hidden)]
    const TABLE: &'static [Entry<A>];
}

/// The commands of `A`, in their order. The only way to them, so that a mistake in them is told once.
pub(crate) fn table<A: Actor>() -> &'static [Entry<A>] {
    A::Commands::TABLE
}

/// That `C` is one of these commands, at the place `Index`, which the compiler finds.
///
/// Code that is generic over a command asks for `A: Handle<C>, A::Commands: Contains<C, Index>`.
#[diagnostic::on_unimplemented(
    message = "`{C}` is not one of this actor's commands",
    label = "not listed",
    note = "add it to `type Commands = (..)` in the actor's `impl Actor`"
)]
pub trait Contains<C, Index> {}

/// A place in a tuple of commands.
#[derive(Debug)]
pub struct At<const N: usize>;

/// No command: with it a list of one has two places, so that the compiler does not take whatever is asked for that one, and
/// says what is wrong as it does of longer lists.
#[derive(Debug)]
pub enum Nothing {}

impl<C0> Contains<Nothing, At<1>> for (C0,) {}

/// Stops the compiler at names that could not be told apart, or that are none.
const fn check_names(kind: &str, names: &[&str]) {
    let mut place = 0;
    while place < names.len() {
        if names[place].is_empty() || names[place].as_bytes()[0] == b'$' {
            let parts = [
                "a command of the actor `",
                kind,
                "` has the name `",
                names[place],
                "`: give it a `NAME` that has letters and no `$` in front",
            ];
            panic!("{}", Complaint::of(&parts).text());
        }
        let mut before = 0;
        while before < place {
            if is_same(names[before], names[place]) {
                let parts = [
                    "two commands of the actor `",
                    kind,
                    "` have the name `",
                    names[place],
                    "`: give each its own `NAME`",
                ];
                panic!("{}", Complaint::of(&parts).text());
            }
            before += 1;
        }
        place += 1;
    }
}

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut place = 0;
    while place < one.len() && place < other.len() && one[place] == other[place] {
        place += 1;
    }
    place == one.len() && place == other.len()
}

/// A text put together while compiling; what is too long is cut off.
struct Complaint {
    bytes: [u8; 256],
    len: usize,
}

impl Complaint {
    const fn of(parts: &[&str]) -> Self {
        let mut complaint = Self { bytes: [0; 256], len: 0 };
        let mut part = 0;
        while part < parts.len() {
            let bytes = parts[part].as_bytes();
            let mut place = 0;
            while place < bytes.len() && complaint.len < complaint.bytes.len() {
                complaint.bytes[complaint.len] = bytes[place];
                complaint.len += 1;
                place += 1;
            }
            part += 1;
        }
        complaint
    }
    const fn text(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "two commands of an actor have the same name, or one has none: give each its own `NAME`",
        }
    }
}

macro_rules! command_tuples {
    // Every prefix of the list, from one command to all of them, is a command set.
    ([$($before:ident = $at:literal,)*]) => {};
    ([$($before:ident = $at:literal,)*] $next:ident = $nth:literal, $($rest:ident = $place:literal,)*) => {
        command_tuples!(@set $($before = $at,)* $next = $nth,);
        command_tuples!([$($before = $at,)* $next = $nth,] $($rest = $place,)*);
    };
    (@set $($command:ident = $at:literal,)+) => {
        impl<A: Actor $(+ Handle<$command>)+, $($command: Command),+> CommandSet<A> for ($($command,)+) {
            const TABLE: &'static [Entry<A>] = {
                check_names(A::KIND, &[$($command::NAME),+]);
                &[$(Entry::of::<$command>()),+]
            };
        }
        command_tuples!(@each ($($command,)+) $($command = $at,)+);
    };
    (@each $all:tt $($command:ident = $at:literal,)+) => { $(command_tuples!(@one $all $command $at);)+ };
    (@one ($($all:ident,)+) $command:ident $at:literal) => {
        impl<$($all),+> Contains<$command, At<$at>> for ($($all,)+) {}
    };
}

command_tuples! {
    [] C0 = 0, C1 = 1, C2 = 2, C3 = 3, C4 = 4, C5 = 5, C6 = 6, C7 = 7,
    C8 = 8, C9 = 9, C10 = 10, C11 = 11, C12 = 12, C13 = 13, C14 = 14, C15 = 15,
}
