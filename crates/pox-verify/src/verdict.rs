//! What verification concludes.

use crate::facts::Facts;
use crate::grade::Grade;
use crate::reason::Reason;
use crate::rejection::Rejection;

/// What no grade says, in sentences for whoever reads a verdict.
pub const NOT_CLAIMED: &[&str] =
    &["that the method is right", "that the data is true", "that side channels leaked nothing"];

/// A graded answer with reasons.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// The worst grade of the components, or `inconsistent` with a rejection.
    pub grade: Grade,
    /// What the auditor asked for.
    pub required: Grade,
    /// Whether nothing was rejected and the grade, and today's if that was asked for, is the required one or above.
    pub meets: bool,
    /// What the grade comes from; empty where a rejection ended the verification.
    pub components: Vec<Component>,
    /// How the evidence stands by what is known today; `None` if the anchors know nothing of today that tells.
    pub today: Option<Component>,
    /// The step that failed, and how.
    pub rejection: Option<Rejection>,
    /// What the proof shows, as far as the grade carries it; nothing where it was rejected.
    pub facts: Option<Box<Facts>>,
    /// What no grade says.
    pub not_claimed: &'static [&'static str],
}

/// One of the parts that vouch for a proof.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Component {
    /// `evidence` or `chain`, or `today`.
    pub name: &'static str,
    /// How much this part shows.
    pub grade: Grade,
    /// Why.
    pub reasons: Vec<Reason>,
}

impl Verdict {
    pub(crate) fn rejected(rejection: Rejection, required: Grade) -> Self {
        Self {
            grade: Grade::Inconsistent,
            required,
            meets: false,
            components: Vec::new(),
            today: None,
            rejection: Some(rejection),
            facts: None,
            not_claimed: NOT_CLAIMED,
        }
    }

    pub(crate) fn graded(
        components: Vec<Component>,
        today: Option<Component>,
        facts: Facts,
        required: Grade,
    ) -> Self {
        let worst = components.iter().map(|component| component.grade).min();
        let grade = worst.unwrap_or(Grade::Asserted);
        Self {
            grade,
            required,
            meets: meets(grade, today.as_ref(), required),
            components,
            today,
            rejection: None,
            facts: Some(Box::new(facts)),
            not_claimed: NOT_CLAIMED,
        }
    }
}

/// What was asked for has to hold: of when it ran, and of today where today was asked for.
fn meets(grade: Grade, today: Option<&Component>, required: Grade) -> bool {
    grade >= required && today.is_none_or(|today| today.grade >= required)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_short_today_does_not_meet_what_was_asked_of_today() {
        let today = |grade| Component { name: "today", grade, reasons: Vec::new() };
        assert!(meets(Grade::Hardware, None, Grade::Hardware));
        assert!(meets(Grade::Hardware, Some(&today(Grade::Hardware)), Grade::Hardware));
        assert!(!meets(Grade::Hardware, Some(&today(Grade::HardwareTcbOutdated)), Grade::Hardware));
        assert!(!meets(Grade::Asserted, Some(&today(Grade::Hardware)), Grade::Simulated));
    }
}
