//! Callers in other processes: the conversation with one such process, from both ends.
//!
//! A peer speaks JSON lines over its standard input and output, whether it is this command
//! started again (mode `processes`) or a program that drives another library (`--with`):
//!
//! ```text
//! peer  {"ready": "wootz 0.1.0"}                     once, when it can work
//! us    {"callers": 4, "window_ns": 200000000}       opens a round
//! peer  {"warm": true}                               every caller is warmed up
//! us    {"go": true}                                 starts the clock
//! peer  {"rate": 74051.0, "latency": [[13500, 14810], …]}   ops/s; nanoseconds and their count
//! ```
//!
//! At any point a peer may answer `{"error": "…"}`. It leaves when its input ends,
//! so none outlives the command.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::crowd::{Crowd, MakeCall, Round, race};
use super::histogram::Histogram;
use crate::failure::Failure;

/// How long a peer may stay silent beyond the work asked of it: starting an interpreter
/// and a GPU library takes many seconds, on a busy machine a minute; two mean that it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    callers: usize,
    window_ns: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Start {
    Go(bool),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Answer {
    Ready { ready: String },
    Warm { warm: bool },
    Done { rate: f64, latency: Vec<(f64, u64)> },
    Error { error: String },
}

/// A running peer process, seen from the command.
pub struct Peer {
    name: String,
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<std::io::Result<String>>,
}

impl Peer {
    /// Starts the process; `hello` then waits until it can work, so that several start side by side.
    pub fn start(name: &str, mut command: Command) -> Result<Peer, Failure> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy();
            let which = match program == name {
                true => String::new(),
                false => format!(" ({program})"),
            };
            Failure::Input(format!("cannot start {name}{which}: {error}"))
        })?;
        let requests = child.stdin.take();
        let output = child.stdout.take().expect("standard output is piped");
        let (send, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Peer {
            name: name.to_owned(),
            child,
            requests,
            answers,
        })
    }

    /// Waits until the peer can work; returns what it says it is.
    pub fn hello(&mut self) -> Result<String, Failure> {
        match self.answer(PATIENCE)? {
            Answer::Ready { ready } => Ok(ready),
            other => Err(self.surprise(&other)),
        }
    }

    fn prepare(&mut self, callers: usize, window: Duration) -> Result<(), Failure> {
        self.send(&Request {
            callers,
            window_ns: window.as_nanos() as u64,
        })
    }

    fn warm(&mut self, window: Duration) -> Result<(), Failure> {
        match self.answer(PATIENCE + window)? {
            Answer::Warm { .. } => Ok(()),
            other => Err(self.surprise(&other)),
        }
    }

    fn go(&mut self) -> Result<(), Failure> {
        self.send(&Start::Go(true))
    }

    fn done(&mut self, window: Duration) -> Result<Round, Failure> {
        match self.answer(PATIENCE + window)? {
            Answer::Done {
                rate,
                latency: entries,
            } => {
                let mut latency = Histogram::new();
                entries
                    .iter()
                    .for_each(|(nanos, count)| latency.add(*nanos as u64, *count));
                Ok(Round { rate, latency })
            }
            other => Err(self.surprise(&other)),
        }
    }

    fn send<M: Serialize>(&mut self, message: &M) -> Result<(), Failure> {
        let requests = self
            .requests
            .as_mut()
            .expect("open until the peer is dropped");
        say(requests, message)
            .map_err(|error| Failure::Device(format!("{} went away: {error}", self.name)))
    }

    fn answer(&mut self, patience: Duration) -> Result<Answer, Failure> {
        let name = &self.name;
        let fail = |what: String| Failure::Device(format!("{name} {what}"));
        let line = match self.answers.recv_timeout(patience) {
            Ok(line) => line.map_err(|error| fail(format!("cannot be read: {error}")))?,
            Err(RecvTimeoutError::Timeout) => {
                return Err(fail(format!("did not answer in {} s", patience.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let status = self
                    .child
                    .wait()
                    .map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(fail(format!("ended early ({status})")));
            }
        };
        match serde_json::from_str(&line) {
            Ok(Answer::Error { error }) => Err(fail(format!("failed: {error}"))),
            Ok(answer) => Ok(answer),
            Err(_) => Err(fail(format!("said something unexpected: {line}"))),
        }
    }

    fn surprise(&self, answer: &Answer) -> Failure {
        Failure::Device(format!("{} answered out of turn: {answer:?}", self.name))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input tells a healthy peer to leave; one that does not is ended.
        self.requests = None;
        let left = self.answers.recv_timeout(Duration::from_secs(2));
        if !matches!(left, Err(RecvTimeoutError::Disconnected)) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// A program that has all its callers in one process.
impl Crowd for Peer {
    fn round(&mut self, callers: usize, window: Duration) -> Result<Round, Failure> {
        self.prepare(callers, window)?;
        self.warm(window)?;
        self.go()?;
        self.done(window)
    }
}

/// Processes with one caller each.
pub struct Pool(pub Vec<Peer>);

impl Crowd for Pool {
    fn round(&mut self, callers: usize, window: Duration) -> Result<Round, Failure> {
        let peers = &mut self.0[..callers];
        peers
            .iter_mut()
            .try_for_each(|peer| peer.prepare(1, window))?;
        peers.iter_mut().try_for_each(|peer| peer.warm(window))?;
        peers.iter_mut().try_for_each(Peer::go)?;
        let mut round = Round::empty();
        for peer in peers {
            round.join(&peer.done(window)?);
        }
        Ok(round)
    }
}

/// Serves rounds over standard input and output until the input ends: the peer's end.
pub fn serve(make_call: Result<Box<MakeCall<'_>>, Failure>) -> Result<(), Failure> {
    let served = make_call.and_then(|make_call| serve_rounds(&*make_call));
    if let Err(failure) = &served {
        answer(&Answer::Error {
            error: failure.to_string(),
        })?;
    }
    served
}

fn serve_rounds(make_call: &MakeCall<'_>) -> Result<(), Failure> {
    answer(&Answer::Ready {
        ready: concat!("wootz ", env!("CARGO_PKG_VERSION")).to_owned(),
    })?;
    while let Some(Request { callers, window_ns }) = hear()? {
        let round = race(callers, Duration::from_nanos(window_ns), make_call, || {
            answer(&Answer::Warm { warm: true })?;
            hear::<Start>()?.map(|_| ()).ok_or(Failure::OutputClosed)
        })?;
        answer(&Answer::Done {
            rate: round.rate,
            latency: round.latency.entries().collect(),
        })?;
    }
    Ok(())
}

fn answer(answer: &Answer) -> Result<(), Failure> {
    Ok(say(&mut std::io::stdout().lock(), answer)?)
}

fn hear<M: for<'a> Deserialize<'a>>() -> Result<Option<M>, Failure> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let parsed = serde_json::from_str(&line);
    parsed
        .map(Some)
        .map_err(|error| Failure::Input(format!("not a request ({error}): {}", line.trim_end())))
}

fn say<M: Serialize>(to: &mut impl Write, message: &M) -> std::io::Result<()> {
    let mut line = serde_json::to_string(message).expect("messages are plain structs");
    line.push('\n');
    to.write_all(line.as_bytes())?;
    to.flush()
}
