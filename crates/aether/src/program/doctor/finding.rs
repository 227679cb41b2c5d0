//! What is found: a kind, which has a name for ever, and what of it is there.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// It works, and is unwise.
    Warning,
    /// It does not work, or a promise is lost.
    Fault,
}

impl Severity {
    /// Its stable name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Fault => "fault",
        }
    }
}

/// A kind of finding. docs/DOCTOR.md has a line for each.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Its name, for ever.
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    /// What is there, in general.
    pub(super) what: &'static str,
    /// Why it matters.
    pub(super) why: &'static str,
    /// What to do, in general; capitals stand for what a finding says.
    pub(super) cure: &'static str,
}

impl Kind {
    pub(super) const fn fault(code: &'static str, what: &'static str, why: &'static str, cure: &'static str) -> Self {
        Self { code, severity: Severity::Fault, what, why, cure }
    }

    pub(super) const fn warning(code: &'static str, what: &'static str, why: &'static str, cure: &'static str) -> Self {
        Self { code, severity: Severity::Warning, what, why, cure }
    }
}

/// Something that is wrong or unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: &'static Kind,
    /// What was found, with the value.
    pub(super) found: String,
    /// What to do: the command or the setting.
    pub(super) cure: String,
}

/// What follows from the facts.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The cluster's name, if the settings say it.
    pub(super) namespace: Option<String>,
    /// Where NATS was looked for.
    pub(super) servers: Option<String>,
    /// The worst first.
    pub(super) findings: Vec<Finding>,
    /// What could not be seen, and what is no fault and good to know.
    pub(super) notes: Vec<String>,
    /// What was looked at, and how it is.
    pub(super) seen: Vec<(&'static str, String)>,
}

impl Report {
    /// Something with the cure that its kind has.
    pub(super) fn find(&mut self, kind: &'static Kind, found: impl Into<String>) {
        self.find_cured(kind, found, kind.cure);
    }

    /// Something with a cure of its own.
    pub(super) fn find_cured(&mut self, kind: &'static Kind, found: impl Into<String>, cure: impl Into<String>) {
        self.findings.push(Finding { kind, found: found.into(), cure: cure.into() });
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(super) fn saw(&mut self, what: &'static str, how: impl Into<String>) {
        self.seen.push((what, how.into()));
    }

    /// How bad the worst of it is; nothing if all is well.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.kind.severity).max()
    }

    pub(super) fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.kind.severity == severity).count()
    }
}
