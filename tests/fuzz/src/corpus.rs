//! What a target's inputs begin with: golden bytes of the product, and files of its own below `corpus/`.
//!
//! A file is one input, without what its target's shape puts around it. Those whose names are sentences broke a promise once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::Target;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join("..")
}

/// Where the files of that target are.
pub fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Every input that is kept for that target, with its name, in order.
///
/// # Errors
/// A file cannot be read, or is not what it should be.
pub fn read(target: &Target) -> Result<Vec<(String, Vec<u8>)>> {
    let mut inputs = Vec::new();
    for (file, nth) in target.golden {
        let path = root().join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let messages = messages(file, &text)?;
        let chosen = messages.iter().enumerate().filter(|(at, _)| nth.is_none_or(|nth| nth == *at));
        inputs.extend(chosen.map(|(at, message)| (format!("{file}#{at}"), target.shape.unwrap(message).to_vec())));
    }
    let folder = folder(target);
    if folder.is_dir() {
        let files = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let paths = files.map(|file| Ok(file?.path())).collect::<Result<BTreeSet<_>>>()?;
        for path in paths {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            inputs.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes));
        }
    }
    if inputs.is_empty() {
        bail!("{} has no corpus", target.name);
    }
    Ok(inputs)
}

/// The messages in a golden file: hex digits with an empty line between two, or a checksum and a text below it.
fn messages(file: &str, text: &str) -> Result<Vec<Vec<u8>>> {
    if file.ends_with(".json.txt") {
        let payload = text.lines().nth(1).with_context(|| format!("{file}: a text below its checksum"))?;
        return Ok(vec![payload.as_bytes().to_vec()]);
    }
    let message = |text: &str| {
        let digits: String = text.split_whitespace().collect();
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16);
        (0..digits.len()).step_by(2).map(byte).collect::<Result<Vec<_>, _>>().with_context(|| format!("{file}: hex"))
    };
    text.split("\n\n").filter(|text| !text.trim().is_empty()).map(message).collect()
}

/// Words of a target's inputs, to be put elsewhere.
pub(crate) fn words(inputs: &[(String, Vec<u8>)]) -> Vec<Vec<u8>> {
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$');
    let all = inputs.iter().flat_map(|(_, bytes)| bytes.split(|byte| !letter(byte)));
    let words: BTreeSet<_> = all.filter(|word| (2..=24).contains(&word.len())).map(<[u8]>::to_vec).collect();
    words.into_iter().take(512).collect()
}
