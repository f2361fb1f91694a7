//! What a careless caller, or one who means harm, does with streams, graphs and tasks: he gets an
//! error or what he asked for.

use std::{
    cell::RefCell,
    future::Future,
    pin::pin,
    task::{Context, Waker},
    thread,
};
use wootz::{Device, Error, Graph, Result, Stream, Tensor, ops, runtime, runtime::null::Null};

/// Where these tests run: the CPU, or what `WOOTZ_TEST_DEVICE` names.
fn device() -> Device {
    let name = std::env::var("WOOTZ_TEST_DEVICE");
    Device::open(name.as_deref().unwrap_or("cpu")).unwrap()
}

fn stream() -> Stream {
    Stream::new(device()).unwrap()
}

fn tensor(values: &[f32]) -> Tensor {
    Tensor::from_slice(values, &[values.len()], device()).unwrap()
}

fn values(x: &Tensor) -> Vec<f32> {
    x.to_vec().unwrap()
}

#[track_caller]
fn is_recorded<T: std::fmt::Debug>(outcome: Result<T>) {
    assert!(
        matches!(outcome, Err(Error::Runtime(runtime::Error::Recorded))),
        "{outcome:?}"
    );
}

#[test]
fn a_value_of_one_recording_is_none_of_another() {
    let (stream, x) = (stream(), tensor(&[1.0, 2.0]));
    let (mut input, mut made) = (None, None);
    Graph::record(&stream, &[&x], |x| {
        input = Some(x[0].clone());
        made = Some(ops::neg(&x[0])?);
        Ok(vec![])
    })
    .unwrap();
    for stray in [input.unwrap(), made.unwrap()] {
        let recorded = |f: fn(&Tensor, &Tensor) -> Result<Tensor>| {
            is_recorded(Graph::record(&stream, &[&x], |x| {
                Ok(vec![f(&x[0], &stray)?])
            }));
        };
        recorded(|_, stray| ops::neg(stray));
        recorded(ops::add);
        recorded(|_, stray| Ok(stray.clone()));
        is_recorded(ops::neg(&stray));
        is_recorded(stray.to_vec::<f32>());
        is_recorded(stray.wait());
        assert!(!stray.to_string().is_empty());
    }
}

#[test]
fn what_a_recording_makes_of_values_is_a_constant() {
    let (stream, x) = (stream(), tensor(&[1.0, 2.0]));
    let graph = Graph::record(&stream, &[&x], |x| {
        let nothing = tensor(&[]);
        let (one, empty) = (tensor(&[10.0, 20.0]), ops::neg(&nothing)?);
        Ok(vec![
            ops::add(&x[0], &one)?,
            one,
            ops::concat(&[&empty, &x[0]], 0)?,
            empty,
        ])
    })
    .unwrap();
    for _ in 0..2 {
        let made = graph.replay(&stream, &[&x]).unwrap();
        let made: Vec<_> = made.iter().map(values).collect();
        assert_eq!(
            made,
            [vec![11.0, 22.0], vec![10.0, 20.0], vec![1.0, 2.0], vec![]]
        );
    }
}

#[test]
fn a_graph_runs_where_it_was_recorded() {
    let other = Stream::new(Null::device(1 << 20, true).0).unwrap();
    let make = |_: &[Tensor]| Ok(vec![ops::fill(1f32, &[2], device())?]);
    let graph = Graph::record(&stream(), &[], make).unwrap();
    let message = graph.replay(&other, &[]).unwrap_err().to_string();
    assert!(
        message.contains(device().name()) && message.contains("a stream of null"),
        "{message}"
    );
}

/// A stream, a graph, its inputs and its outputs go in every order.
#[test]
fn things_are_dropped_in_any_order() {
    const PARTS: usize = 4;
    for order in 0..PARTS.pow(PARTS as u32) {
        let stream = stream();
        let x = stream.enter(|| tensor(&[1.0, 2.0]));
        let graph = Graph::record(&stream, &[&x], |x| Ok(vec![ops::neg(&x[0])?])).unwrap();
        let y = graph.replay(&stream, &[&x]).unwrap().remove(0);
        let z = ops::neg(&y).unwrap();
        let (mut stream, mut graph, mut x, mut y) = (Some(stream), Some(graph), Some(x), Some(y));
        for turn in 0..PARTS as u32 {
            match order / PARTS.pow(turn) % PARTS {
                0 => drop(stream.take()),
                1 => drop(graph.take()),
                2 => drop(x.take()),
                _ => thread::scope(|scope| drop(scope.spawn(|| drop(y.take())))),
            }
        }
        assert_eq!(values(&z), [1.0, 2.0]);
    }
}

#[test]
fn hundreds_of_streams_live_at_once() {
    const STREAMS: usize = 300;
    let streams: Vec<Stream> = (0..STREAMS).map(|_| stream()).collect();
    let made = |(i, stream): (usize, &Stream)| stream.enter(|| tensor(&[i as f32]));
    let made: Vec<Tensor> = streams.iter().enumerate().map(made).collect();
    let sum = made
        .iter()
        .try_fold(tensor(&[0.0]), |sum, x| ops::add(&sum, x));
    thread::spawn(move || drop((streams, made))).join().unwrap();
    assert_eq!(
        values(&sum.unwrap()),
        [(STREAMS * (STREAMS - 1) / 2) as f32]
    );
}

#[test]
fn a_wait_may_be_given_up() {
    let x = tensor(&[1.0; 1000]);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        let y = ops::exp(&x).unwrap();
        // Looked at once, and then no more.
        let _ = pin!(y.ready()).poll(&mut context);
        drop(y.ready());
    }
    assert_eq!(values(&ops::neg(&x).unwrap())[999], -1.0);
}

/// A thread's own variables may be destroyed after its streams.
#[test]
fn tensors_outlive_the_streams_of_their_thread() {
    struct Late(RefCell<Option<Tensor>>);
    impl Drop for Late {
        fn drop(&mut self) {
            let x = self.0.take().unwrap();
            assert_eq!(values(&ops::neg(&x).unwrap()), [-3.0]);
        }
    }
    thread_local! {
        static EARLY: Late = const { Late(RefCell::new(None)) };
    }
    for _ in 0..10 {
        let keep = || EARLY.with(|late| *late.0.borrow_mut() = Some(tensor(&[3.0])));
        // Made before the stream is, or after it.
        thread::spawn(keep).join().unwrap();
        let keep_later = move || {
            tensor(&[0.0]);
            keep();
        };
        thread::spawn(keep_later).join().unwrap();
    }
}
