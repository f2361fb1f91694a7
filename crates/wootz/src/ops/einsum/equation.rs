//! What an equation says: a label for each axis of each operand, and the labels that are left.

/// The name of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    /// An axis that `...` stands for, so many before the last of them.
    Rest(usize),
    /// One that has a letter.
    Letter(char),
}

/// The labels of each operand's axes, and of the result's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Equation {
    pub inputs: Vec<Vec<Label>>,
    pub output: Vec<Label>,
}

/// A term before the axes are counted: letters, and where `...` stands.
struct Term {
    letters: Vec<char>,
    rest: Option<usize>,
}

impl Equation {
    /// Reads `text` for operands of so many axes each; an error says what was expected.
    pub fn parse(text: &str, ranks: &[usize]) -> Result<Equation, String> {
        let (inputs, output) = match text.split_once("->") {
            Some((inputs, output)) => (inputs, Some(output)),
            None => (text, None),
        };
        let terms: Result<Vec<Term>, String> = inputs.split(',').map(Term::parse).collect();
        let terms = terms?;
        if terms.len() != ranks.len() {
            return Err(format!(
                "{} terms before the arrow, one an operand",
                ranks.len()
            ));
        }
        let labelled = terms.iter().zip(ranks).enumerate();
        let inputs: Result<Vec<Vec<Label>>, String> = labelled
            .map(|(i, (term, &rank))| {
                let needs = || format!("labels for the {rank} axes of operand {i}");
                let missing = rank.checked_sub(term.letters.len()).ok_or_else(needs)?;
                match (term.rest, missing) {
                    (None, 1..) => Err(needs()),
                    _ => Ok(term.labels(missing)),
                }
            })
            .collect();
        let inputs = inputs?;
        let output = match output {
            Some(output) => Equation::given(&Term::parse(output)?, &inputs)?,
            None => Equation::implied(&inputs),
        };
        Ok(Equation { inputs, output })
    }

    /// The labels that a written result names.
    fn given(term: &Term, inputs: &[Vec<Label>]) -> Result<Vec<Label>, String> {
        let output = term.labels(rests(inputs));
        for (i, label) in output.iter().enumerate() {
            if output[..i].contains(label) {
                return Err(format!("{label} once in the result"));
            }
            if !inputs.iter().flatten().any(|known| known == label) {
                return Err(format!(
                    "a result of labels that operands have, unlike {label}"
                ));
            }
        }
        Ok(output)
    }

    /// Without an arrow: what `...` stands for, then the letters that occur once, in their order.
    fn implied(inputs: &[Vec<Label>]) -> Vec<Label> {
        let all = || inputs.iter().flatten();
        let once = |label: &&Label| all().filter(|other| other == label).count() == 1;
        let letter = |label: &&Label| matches!(label, Label::Letter(_));
        let mut letters: Vec<Label> = all().filter(letter).filter(once).copied().collect();
        letters.sort();
        let rest = (0..rests(inputs)).rev().map(Label::Rest);
        rest.chain(letters).collect()
    }
}

/// Most axes that `...` stands for.
fn rests(inputs: &[Vec<Label>]) -> usize {
    let each = inputs.iter().flatten().map(|label| match label {
        Label::Rest(from_end) => from_end + 1,
        Label::Letter(_) => 0,
    });
    each.max().unwrap_or(0)
}

impl Term {
    fn parse(text: &str) -> Result<Term, String> {
        let (mut letters, mut rest) = (vec![], None);
        let mut left = text.trim();
        while let Some(next) = left.chars().next() {
            if let Some(after) = left.strip_prefix("...") {
                if rest.replace(letters.len()).is_some() {
                    return Err("at most one ellipsis a term".to_owned());
                }
                left = after;
                continue;
            }
            match next {
                ' ' => {}
                'a'..='z' | 'A'..='Z' => letters.push(next),
                other => return Err(format!("letters, commas, `...` and `->`, not {other:?}")),
            }
            left = &left[next.len_utf8()..];
        }
        Ok(Term { letters, rest })
    }

    /// Its labels, where `...` stands for so many axes.
    fn labels(&self, axes: usize) -> Vec<Label> {
        let mut labels: Vec<Label> = self.letters.iter().copied().map(Label::Letter).collect();
        if let Some(at) = self.rest {
            labels.splice(at..at, (0..axes).rev().map(Label::Rest));
        }
        labels
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Label::Rest(from_end) => write!(f, "axis {from_end} from the end of `...`"),
            Label::Letter(letter) => write!(f, "`{letter}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(labels: &[Label]) -> String {
        let name = |label: &Label| match label {
            Label::Rest(from_end) => char::from_digit(*from_end as u32, 10).unwrap(),
            Label::Letter(letter) => *letter,
        };
        labels.iter().map(name).collect()
    }

    #[test]
    fn equations_label_each_axis() {
        for (text, ranks, inputs, output) in [
            ("ij,jk->ik", &[2, 2][..], &["ij", "jk"][..], "ik"),
            ("ba", &[2], &["ba"], "ab"),
            ("ii", &[2], &["ii"], ""),
            (" b i , b i -> b ", &[2, 2], &["bi", "bi"], "b"),
            ("...ij,...jk", &[4, 3], &["10ij", "0jk"], "10ik"),
            ("i...->...", &[3], &["i10"], "10"),
            ("->", &[0], &[""], ""),
        ] {
            let equation = Equation::parse(text, ranks).unwrap();
            let found: Vec<String> = equation.inputs.iter().map(|term| names(term)).collect();
            assert_eq!(found, inputs, "{text}");
            assert_eq!(names(&equation.output), output, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, ranks, words) in [
            ("ij,jk->ik", &[2][..], "1 terms"),
            ("ij->i", &[3], "3 axes of operand 0"),
            ("ij->i", &[1], "1 axes of operand 0"),
            ("ij->k", &[2], "unlike `k`"),
            ("ij->ii", &[2], "`i` once"),
            ("i1->i", &[2], "not '1'"),
            ("......->", &[2], "one ellipsis"),
            ("i->j->k", &[1], "not '-'"),
            ("ä->ä", &[1], "not 'ä'"),
        ] {
            let said = Equation::parse(text, ranks).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
