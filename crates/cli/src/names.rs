//! Looking names up, with a suggestion when one is unknown.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};

/// The nearest known name, if it is near enough to be what was meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// One line that says what was unknown, and what was likely meant or what there is.
pub fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("no {what} named '{name}'; did you mean '{near}'?"),
        None => {
            let known: Vec<&str> = known.into_iter().collect();
            format!("no {what} named '{name}'; there is {}", known.join(", "))
        }
    }
}

/// A clap value parser that accepts the names of a table and suggests the nearest otherwise.
pub fn one_of(what: &'static str, known: Vec<&'static str>) -> OneOf {
    OneOf { what, known }
}

/// See [`one_of`]. The names are possible values, so that shells complete them.
#[derive(Clone, Debug)]
pub struct OneOf {
    what: &'static str,
    known: Vec<&'static str>,
}

impl TypedValueParser for OneOf {
    type Value = &'static str;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<&'static str, clap::Error> {
        let OneOf { what, known } = self.clone();
        let find = move |name: &str| match known.iter().find(|known| **known == name) {
            Some(found) => Ok(*found),
            None => Err(unknown(what, name, known.iter().copied())),
        };
        find.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.known.iter().map(PossibleValue::new)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPS: [&str; 4] = ["softmax", "log_softmax", "rms_norm", "matmul"];

    #[test]
    fn a_slip_finds_what_was_meant() {
        assert_eq!(nearest("sofmax", OPS), Some("softmax"));
        assert_eq!(nearest("rmsnorm", OPS), Some("rms_norm"));
        assert_eq!(nearest("xyz", OPS), None);
    }

    #[test]
    fn an_unlike_name_lists_what_there_is() {
        assert_eq!(
            unknown("device", "zz", ["cpu", "null"]),
            "no device named 'zz'; there is cpu, null"
        );
    }
}
