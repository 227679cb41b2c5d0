//! The judge against runs that are right, and against the same runs doctored.

use bytes::Bytes;

use super::*;
use crate::ids::{CommandId, Epoch, Incarnation, MessageId, Nonce, Version};
use crate::records::{CommandMark, CommitRecord, EventRecord, PayloadCodec, Position};
use crate::time::WallTime;

/// A small generator of numbers: the crate has no other.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A run of one actor that is right: a book and a history, and which operation is what.
#[derive(Clone)]
struct Run {
    book: Book<&'static str, u64>,
    commits: Vec<StoredCommit>,
    /// The names and values of commands, in order.
    commands: Vec<(Option<u128>, u64)>,
}

impl Run {
    fn judged(&self) -> Result<Agreed, Wrong> {
        self.book.check("a", &Kept { commits: &self.commits, born: Some(0), commands: self.commands.clone() })
    }

    /// The place of the nth call with such an answer.
    fn call(&self, nth: usize, is: impl Fn(&Told<u64>) -> bool) -> usize {
        let fits = |asking: &Asking<&str, u64>| asking.told.as_ref().is_some_and(|(_, told)| is(told));
        let mut found = self.book.calls.iter().enumerate().filter(|(_, asking)| fits(asking)).map(|(place, _)| place);
        found.nth(nth).expect("the run has such a call")
    }

    fn done(&self, nth: usize) -> usize {
        self.call(nth, |told| matches!(told, Told::Done(_)))
    }
}

/// How a command that is under way in a run will end.
enum Open {
    Write { call: Call, name: u128, place: Option<u64>, lost: bool, in_turn: bool },
    Read { call: Call, value: Option<u64> },
}

/// Plays `steps` things that may happen to one actor: several ask at once, commands take effect at some moment between
/// question and answer, some answers are lost, some are refused, some are asked again.
fn right(seed: u64, steps: u64) -> Run {
    let mut dice = Dice(seed);
    let mut run = Run { book: Book::default(), commits: Vec::new(), commands: Vec::new() };
    let (mut open, mut names, mut total, mut lost) = (Vec::<Open>::new(), 0_u128, 0_u64, Vec::<u128>::new());
    let mut places = BTreeMap::new();
    for _ in 0..steps {
        match dice.below(10) {
            0..=3 if open.len() < 6 => {
                names += 1;
                let again = (dice.below(4) == 0).then(|| lost.pop()).flatten();
                let name = again.unwrap_or(names);
                let place = places.get(&name).copied();
                let in_turn = again.is_none() && dice.below(2) == 0;
                let call = if in_turn { run.book.call_in_turn("a", name, 1) } else { run.book.call("a", name) };
                open.push(Open::Write { call, name, place, lost: dice.below(5) == 0, in_turn });
            }
            4 | 5 if open.len() < 6 => {
                names += 1;
                open.push(Open::Read { call: run.book.call("a", names), value: None });
            }
            6 => {
                let call = run.book.call("a", u128::MAX - names);
                names += 1;
                run.book.told(call, Told::No);
            }
            _ if !open.is_empty() => {
                let mut nth = dice.below(open.len() as u64) as usize;
                let waits = |open: &Open| matches!(open, Open::Write { place: None, in_turn: true, .. });
                if waits(&open[nth]) {
                    nth = open.iter().position(waits).expect("that one does");
                }
                match &mut open[nth] {
                    Open::Write { name, place: place @ None, .. } => {
                        total += 1 + dice.below(9);
                        *place = Some(run.commands.len() as u64);
                        places.insert(*name, run.commands.len() as u64);
                        run.commands.push((Some(*name), total));
                    }
                    Open::Read { value: value @ None, .. } => *value = Some(total),
                    Open::Write { call, name, place: Some(place), lost: is_lost, .. } => {
                        let told = if *is_lost { Told::Unsure } else { Told::Done(run.commands[*place as usize].1) };
                        lost.extend(is_lost.then_some(*name));
                        run.book.told(*call, told);
                        open.remove(nth);
                    }
                    Open::Read { call, value: Some(value) } => {
                        run.book.told(*call, Told::Seen { value: *value, fresh: true });
                        open.remove(nth);
                    }
                }
            }
            _ => {}
        }
    }
    run.commits = stored(&run.commands, &mut dice);
    run
}

/// The commands in records of one to four, chained, with a record that only confirms now and then.
fn stored(commands: &[(Option<u128>, u64)], dice: &mut Dice) -> Vec<StoredCommit> {
    let (mut commits, mut rest, mut sequence) = (Vec::<StoredCommit>::new(), commands, 0);
    let mut epoch = 5;
    while !rest.is_empty() {
        let (now, later) = rest.split_at((dice.below(5) as usize).min(rest.len()));
        rest = later;
        sequence += 1 + dice.below(3);
        epoch += u64::from(dice.below(6) == 0);
        let before = commits.last().map_or(Position::default(), |last| last.at);
        let version = commits.last().map_or(Version::ZERO, |last| last.record.version());
        let mark = |(name, value): &(Option<u128>, u64)| CommandMark {
            id: CommandId { origin: Incarnation(3), sequence: name.map_or(0, |name| name as u64) },
            floor: 1,
            message: name.map(MessageId),
            reply: Bytes::from(value.to_string()),
        };
        let event = |_: &(Option<u128>, u64)| EventRecord { schema: 1, name: "".into(), payload: Bytes::new() };
        let record = CommitRecord {
            shard_epoch: Epoch(epoch),
            owner: Incarnation(3),
            nonce: Nonce(sequence),
            base: version,
            prev_sequence: before.sequence,
            prev_hash: before.hash,
            at: WallTime::default(),
            codec: PayloadCodec::Json,
            commands: now.iter().map(mark).collect(),
            events: now.iter().map(event).collect(),
            timers: Vec::new(),
        };
        commits.push(StoredCommit { record, at: Position { sequence: crate::Sequence(sequence), hash: sequence * 7 } });
    }
    commits
}

#[test]
fn whatever_can_have_happened_is_right() {
    let mut agreed = Agreed::default();
    for seed in 0..300 {
        let run = right(seed, 200);
        agreed += run.judged().unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
    }
    assert!(agreed.done > 1000 && agreed.seen > 1000 && agreed.unsure_and_stored > 100, "{agreed}");
}

/// Changes a run so that it cannot have happened.
type Doctored = (&'static str, fn(&mut Run));

const DOCTORED: &[Doctored] = &[
    ("an acknowledged command is missing", |run| {
        let name = run.book.calls[run.done(3)].name;
        run.commands.retain(|(stored, _)| *stored != Some(name));
    }),
    ("a command is there twice", |run| {
        let again = run.commands[2];
        run.commands.push(again);
    }),
    ("a command is there twice, under two names of the application", |run| {
        let again = run.commits.iter().find_map(|commit| commit.record.commands.first().cloned());
        run.commits.last_mut().expect("a record").record.commands.extend(again);
    }),
    ("two commands have changed places", |run| {
        let last = run.commands.len() - 1;
        let (first, second) = (run.commands[0].0, run.commands[last].0);
        (run.commands[0].0, run.commands[last].0) = (second, first);
    }),
    ("a command that was refused is there", |run| {
        let refused = run.book.calls[run.call(0, |told| *told == Told::No)].name;
        let last = run.commands.last().expect("a command").1;
        run.commands.push((Some(refused), last + 1));
    }),
    ("a question that changed nothing is there", |run| {
        let seen = run.book.calls[run.call(0, |told| matches!(told, Told::Seen { .. }))].name;
        let last = run.commands.last().expect("a command").1;
        run.commands.push((Some(seen), last + 1));
    }),
    ("something is there that nobody asked", |run| run.commands.push((Some(1 << 100), 1 << 60))),
    ("a reply is another one than the history has", |run| {
        let place = run.done(2);
        let Some((_, Told::Done(value))) = &mut run.book.calls[place].told else { return };
        *value += 1;
    }),
    ("two who asked the same were told two things", |run| {
        let place = run.done(2);
        let name = run.book.calls[place].name;
        let call = run.book.call("a", name);
        run.book.told(call, Told::Done(1 << 60));
    }),
    ("an acknowledged command was also answered as if it had changed nothing", |run| {
        let name = run.book.calls[run.done(2)].name;
        let call = run.book.call("a", name);
        run.book.told(call, Told::Seen { value: 0, fresh: true });
    }),
    ("a read lacks what was acknowledged before it was asked", |run| {
        let call = run.book.call("a", 1 << 101);
        run.book.told(call, Told::Seen { value: run.commands[0].1, fresh: true });
    }),
    ("a read is of before everything", |run| {
        let call = run.book.call("a", 1 << 101);
        run.book.told(call, Told::Seen { value: 0, fresh: true });
    }),
    ("a read has what was asked after its answer", |run| {
        let last = run.commands.last().expect("a command").1;
        run.book.calls[0].called += 2;
        for asking in &mut run.book.calls {
            asking.called += 2;
            if let Some((at, _)) = &mut asking.told {
                *at += 2;
            }
        }
        let told = Some((2, Told::Seen { value: last, fresh: true }));
        run.book.calls.insert(0, Asking { actor: "a", name: 1 << 101, in_turn: None, called: 1, told });
    }),
    ("two who were asked in turn have changed places", |run| {
        let last = run.commands.last().expect("a command").1;
        let names = [1 << 105, 1 << 106];
        let calls = names.map(|name| run.book.call_in_turn("a", name, 9));
        for (nth, place) in [(1, 1), (0, 2)] {
            run.commands.push((Some(names[nth]), last + place));
            run.book.told(calls[nth], Told::Done(last + place));
        }
    }),
    ("a read goes back behind another one", |run| {
        // Nobody was told of the last two commands; one reads the last, then one the last but one.
        let last = run.commands.last().expect("a command").1;
        for (name, value) in [(1 << 102, last + 1), (1 << 103, last + 2)] {
            run.book.call("a", name);
            run.commands.push((Some(name), value));
        }
        for value in [last + 2, last + 1] {
            let call = run.book.call("a", (1 << 104) + u128::from(value));
            run.book.told(call, Told::Seen { value, fresh: true });
        }
    }),
    ("a read is what the actor never was", |run| {
        let call = run.book.call("a", 1 << 101);
        run.book.told(call, Told::Seen { value: 1 << 60, fresh: false });
    }),
    ("versions have a gap", |run| run.commits.last_mut().expect("a record").record.base.0 += 1),
    ("a shard epoch falls", |run| run.commits.last_mut().expect("a record").record.shard_epoch = Epoch(1)),
    ("a record follows another one than the one before", |run| {
        run.commits.last_mut().expect("a record").record.prev_hash += 1;
    }),
    ("a record is missing", |run| drop(run.commits.remove(1))),
    ("a record stands where another one stood", |run| {
        let before = run.commits[0].at.sequence;
        run.commits[1].at.sequence = before;
    }),
    ("whoever was told that it is not stored is wrong", |run| {
        let place = run.done(4);
        let name = run.book.calls[place].name;
        for asking in run.book.calls.iter_mut().filter(|asking| asking.name == name) {
            asking.told = Some((asking.called + 1, Told::No));
        }
    }),
];

#[test]
fn whatever_cannot_have_happened_is_noticed() {
    let mut missed = Vec::new();
    for (what, doctor) in DOCTORED {
        for seed in 0..40 {
            let mut run = right(seed, 200);
            doctor(&mut run);
            if run.judged().is_ok() {
                missed.push(format!("{what} (seed {seed})"));
            }
        }
    }
    assert!(DOCTORED.len() >= 12 && missed.is_empty(), "not noticed: {missed:#?}");
}

#[test]
fn an_answer_that_may_be_old_is_only_held_to_what_the_actor_was() {
    let mut run = right(1, 200);
    let call = run.book.call("a", 1 << 101);
    run.book.told(call, Told::Seen { value: run.commands[0].1, fresh: false });
    assert!(run.judged().is_ok());
}

#[test]
fn the_judge_takes_a_hundred_thousand_operations() {
    let run = right(7, 400_000);
    let agreed = run.judged().expect("it is right");
    assert!(agreed.done > 50_000, "{agreed}");
}
