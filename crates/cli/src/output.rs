//! Where results go: JSON lines, files that are checked before the work, and aligned tables.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::Failure;

/// A file to be written at the end, opened at the start: a path that cannot be written
/// is reported before a long measurement, and an older file survives a run that fails.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    sink: Option<File>,
}

impl OutputFile {
    /// Opens `path` for writing; `-` is standard output.
    pub fn open(path: &Path) -> Result<OutputFile, Failure> {
        let sink = match path.as_os_str() == "-" {
            true => None,
            false => {
                let file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(false)
                    .open(path);
                Some(file.map_err(|error| Failure::file(path, "write", &error))?)
            }
        };
        Ok(OutputFile {
            path: path.to_owned(),
            sink,
        })
    }

    pub fn is_stdout(&self) -> bool {
        self.sink.is_none()
    }

    pub fn write(mut self, text: &str) -> Result<(), Failure> {
        match &mut self.sink {
            None => Ok(std::io::stdout().lock().write_all(text.as_bytes())?),
            Some(file) => {
                replace(file, text).map_err(|error| Failure::file(&self.path, "write", &error))
            }
        }
    }
}

/// Writes `text` in place of what a file holds; a pipe or a terminal holds nothing.
fn replace(file: &mut File, text: &str) -> std::io::Result<()> {
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(text.as_bytes())
}

/// One JSON object per row, one row per line.
pub fn json_lines<R: Serialize>(rows: &[R]) -> String {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(row).expect("rows are plain structs of numbers and strings");
        text.push('\n');
    }
    text
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Align {
    Left,
    Right,
}

/// A table of text with aligned columns; a row may be blank to separate groups.
#[derive(Debug)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    pub fn blank(&mut self) {
        self.rows.push(Vec::new());
    }

    /// The table as text; `bold` marks the heading for a terminal.
    pub fn render(&self, bold: bool) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|i| {
                let cells = self
                    .rows
                    .iter()
                    .filter_map(|row| row.get(i))
                    .map(|cell| cell.chars().count());
                cells
                    .max()
                    .unwrap_or(0)
                    .max(self.columns[i].0.chars().count())
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for ((cell, width), (_, align)) in cells.zip(&widths).zip(&self.columns) {
                match align {
                    Align::Left => line += &format!("{cell:<width$}  "),
                    Align::Right => line += &format!("{cell:>width$}  "),
                }
            }
            line.truncate(line.trim_end().len());
            line
        };
        let heading = line(&mut self.columns.iter().map(|(name, _)| *name));
        let mut text = match bold {
            true => format!("\x1b[1m{heading}\x1b[0m\n"),
            false => heading + "\n",
        };
        for row in &self.rows {
            text += &line(&mut row.iter().map(String::as_str));
            text.push('\n');
        }
        text
    }

    /// Prints the table to standard output.
    pub fn print(&self) -> Result<(), Failure> {
        let bold = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Ok(std::io::stdout()
            .lock()
            .write_all(self.render(bold).as_bytes())?)
    }
}

/// Prints a line to standard output.
pub fn print_line(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout().lock(), "{line}")?)
}

/// A whole number with thousands separated: `1,443,846`.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits: `0.512`, `12.3`, `1,240`.
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        v if v < 1.0 => format!("{value:.3}"),
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => thousands(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(thousands(0.0), "0");
        assert_eq!(thousands(999.6), "1,000");
        assert_eq!(thousands(1443846.2), "1,443,846");
        assert_eq!(three_digits(0.05123), "0.051");
        assert_eq!(three_digits(12.345), "12.3");
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("mode", Align::Left), ("ops/s", Align::Right)]);
        table.row(vec!["own".into(), "74,051".into()]);
        table.blank();
        table.row(vec!["processes".into(), "9".into()]);
        assert_eq!(
            table.render(false),
            "mode        ops/s\nown        74,051\n\nprocesses       9\n"
        );
    }
}
