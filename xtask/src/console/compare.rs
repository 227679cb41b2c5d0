//! Whether what was said is what is printed, where `…` stands for what differs from run to run.

/// On a line of its own: any number of lines. Within one: any text, and none.
pub const ANY: &str = "…";

/// Whether all that is shown was said, in order, and nothing else.
pub fn matches(shown: &[String], said: &[String]) -> bool {
    match (shown.split_first(), said.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == ANY => (0..=said.len()).any(|passed| matches(rest, &said[passed..])),
        (Some((first, rest)), Some((heard, later))) => line(first, heard) && matches(rest, later),
        _ => false,
    }
}

fn line(shown: &str, said: &str) -> bool {
    let (shown, said) = (shown.trim_end(), said.trim_end());
    let pieces: Vec<_> = shown.split(ANY).collect();
    let [first, middle @ .., last] = pieces.as_slice() else { return shown == said };
    let Some(mut rest) = said.strip_prefix(first) else { return false };
    for piece in middle {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn text_is_compared_to_the_letter_and_marks_stand_for_what_differs() {
        for (shown, said, same) in [
            ("a\nb", "a\nb", true),
            ("a\nb", "a", false),
            ("a", "a\nb", false),
            ("a\n…", "a", true),
            ("a\n…", "a\nb\nc", true),
            ("…\nc", "a\nb\nc", true),
            ("a\n…\nc\n…", "a\nc", true),
            ("a\n…\nc", "a\nb", false),
            ("n1 … shards", "n1 has 341 shards", true),
            ("n1 … shards", "n2 has 341 shards", false),
            ("pid …, log …", "pid 7, log /a/b", true),
            ("pid …, log …", "pid 7", false),
            ("… lost, … twice", "0 lost, 0 twice", true),
            ("0 lost", "0 lost  ", true),
            ("0 lost", "10 lost", false),
        ] {
            assert_eq!(matches(&lines(shown), &lines(said)), same, "{shown:?} and {said:?}");
        }
    }
}
