//! Graphs of tensors: what is recorded once comes out the same on each replay, and what cannot be
//! replayed is said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use wootz::{DType, Device, Error, Graph, Result, Stream, Tensor, ops, runtime::null::Null};

/// Where these tests run: the CPU, or what `WOOTZ_TEST_DEVICE` names.
fn device() -> Device {
    let name = std::env::var("WOOTZ_TEST_DEVICE");
    Device::open(name.as_deref().unwrap_or("cpu")).unwrap()
}

fn stream() -> Stream {
    Stream::new(device()).unwrap()
}

/// `rows × 8` numbers that depend on `seed`.
fn numbers(seed: usize, rows: usize) -> Tensor {
    let values: Vec<f32> = (0..8 * rows)
        .map(|i| ((i * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0)
        .collect();
    Tensor::from_slice(&values, &[rows, 8], device()).unwrap()
}

/// Several ops with temporaries, a view between them, and a tensor that is no input.
fn model(x: &Tensor, weight: &Tensor) -> Result<Vec<Tensor>> {
    let hidden = ops::gelu(&ops::matmul(x, weight)?)?;
    let turned = ops::add(&hidden.transpose(0, 1)?, &x.transpose(0, 1)?)?;
    Ok(vec![
        ops::softmax(&turned, 0)?,
        ops::sum(&hidden, 1, false)?,
    ])
}

fn bits(tensors: &[Tensor]) -> Vec<Vec<u32>> {
    let bits = |x: &Tensor| {
        x.to_vec::<f32>()
            .unwrap()
            .iter()
            .map(|x| x.to_bits())
            .collect()
    };
    tensors.iter().map(bits).collect()
}

#[test]
fn a_replay_gives_the_bits_of_a_call() {
    let (stream, weight) = (stream(), numbers(9, 8));
    let graph = Graph::record(&stream, &[&numbers(0, 5)], |x| model(&x[0], &weight)).unwrap();
    assert!(graph.steps() >= 5, "{}", graph.steps());
    for seed in 0..4 {
        let x = numbers(seed, 5);
        let replayed = graph.replay(&stream, &[&x]).unwrap();
        assert_eq!(replayed[0].dims(), [8, 5]);
        assert_eq!(
            bits(&replayed),
            bits(&model(&x, &weight).unwrap()),
            "{seed}"
        );
    }
}

#[test]
fn threads_replay_one_graph_at_once() {
    let weight = numbers(9, 8);
    let graph = Graph::record(&stream(), &[&numbers(0, 5)], |x| model(&x[0], &weight)).unwrap();
    // The graph keeps what it needs: the stream it was recorded on and the weight may go.
    let wanted: Vec<_> = (0..20)
        .map(|seed| bits(&model(&numbers(seed, 5), &weight).unwrap()))
        .collect();
    drop(weight);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let stream = stream();
                for (seed, wanted) in wanted.iter().enumerate() {
                    let replayed = graph.replay(&stream, &[&numbers(seed, 5)]).unwrap();
                    assert_eq!(&bits(&replayed), wanted);
                }
            });
        }
    });
}

#[test]
fn a_view_is_replayed_as_it_looks() {
    let (stream, weight) = (stream(), numbers(9, 8));
    let graph = Graph::record(&stream, &[&numbers(0, 5)], |x| model(&x[0], &weight)).unwrap();
    let rows = numbers(3, 7);
    for view in [
        rows.narrow(0, 1, 5).unwrap(),
        rows.narrow(0, 2, 5).unwrap().flip(0).unwrap(),
        rows.narrow(0, 0, 1).unwrap().broadcast_to(&[5, 8]).unwrap(),
    ] {
        let replayed = graph.replay(&stream, &[&view]).unwrap();
        assert_eq!(
            bits(&replayed),
            bits(&model(&ops::copy(&view).unwrap(), &weight).unwrap())
        );
    }
}

#[test]
fn outputs_may_be_inputs_their_views_and_constants() {
    let (stream, constant) = (stream(), numbers(4, 2));
    let graph = Graph::record(&stream, &[&numbers(0, 3)], |x| {
        let product = ops::neg(&x[0])?;
        Ok(vec![
            x[0].clone(),
            x[0].transpose(0, 1)?,
            constant.clone(),
            product.narrow(0, 1, 1)?,
        ])
    });
    let graph = graph.unwrap();
    let x = numbers(5, 3);
    let replayed = graph.replay(&stream, &[&x]).unwrap();
    let negative = ops::neg(&x).unwrap().narrow(0, 1, 1).unwrap();
    let wanted = [
        x.clone(),
        x.transpose(0, 1).unwrap(),
        constant.clone(),
        negative,
    ];
    assert_eq!(bits(&replayed), bits(&wanted));
}

#[test]
fn other_inputs_than_recorded_are_refused() {
    let stream = stream();
    let graph = Graph::record(&stream, &[&numbers(0, 3)], |x| Ok(vec![ops::neg(&x[0])?])).unwrap();
    let (right, wide, half) = (
        numbers(0, 3),
        numbers(0, 4),
        ops::cast(&numbers(0, 3), DType::F16).unwrap(),
    );
    let wrong: [(&[&Tensor], &str); 4] = [
        (&[], "f32 [3, 8]"),
        (&[&right, &right], "f32 [3, 8], f32 [3, 8]"),
        (&[&wide], "f32 [4, 8]"),
        (&[&half], "f16 [3, 8]"),
    ];
    for (inputs, word) in wrong {
        let message = graph.replay(&stream, inputs).unwrap_err().to_string();
        assert!(
            message.contains(word) && message.contains("f32 [3, 8]"),
            "{message}"
        );
    }
    let elsewhere =
        Tensor::from_slice(&[0f32; 24], &[3, 8], Null::device(1 << 20, true).0).unwrap();
    assert!(graph.replay(&stream, &[&elsewhere]).is_err());
    let other = Stream::new(Null::device(1 << 20, true).0).unwrap();
    assert!(graph.replay(&other, &[&right]).is_err());
    assert!(graph.replay(&stream, &[&right]).is_ok());
}

#[test]
fn a_recording_that_fails_leaves_the_stream_as_it_was() {
    let (stream, x) = (stream(), numbers(1, 3));
    let works = || {
        let y = stream.enter(|| ops::neg(&x)).unwrap();
        assert_eq!(
            y.to_vec::<f32>().unwrap()[0],
            -x.to_vec::<f32>().unwrap()[0]
        );
    };
    // An op that is refused.
    let failed = Graph::record(&stream, &[&x], |x| Ok(vec![ops::matmul(&x[0], &x[0])?]));
    assert!(
        matches!(failed, Err(Error::Shapes { op: "matmul", .. })),
        "{failed:?}"
    );
    works();
    // Nothing ran, so there is no value to read.
    let failed = Graph::record(&stream, &[&x], |x| {
        ops::neg(&x[0])?.to_vec::<f32>()?;
        Ok(vec![])
    });
    assert!(matches!(failed, Err(Error::Runtime(_))), "{failed:?}");
    works();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        Graph::record(&stream, &[&x], |_| std::panic::panic_any("in the middle"))
    }));
    assert!(panicked.is_err());
    works();
}

/// An index that a replay brings is told of by the replay, or, where kernels run after their
/// submission has returned, by whoever asks for the result; and by him once.
#[test]
fn a_bad_index_is_an_error_of_its_replay() {
    let stream = stream();
    let index = |value: i64| Tensor::from_slice(&[0, value], &[2], device()).unwrap();
    let table = numbers(2, 4);
    let graph = Graph::record(&stream, &[&index(0)], |x| {
        Ok(vec![ops::embedding(&table, &x[0])?])
    })
    .unwrap();
    let pick = |value: i64| {
        let picked = graph.replay(&stream, &[&index(value)])?;
        stream.enter(|| picked[0].to_vec::<f32>())
    };
    for bad in [4, -5, 1 << 40] {
        let told = pick(bad);
        assert!(told.is_err(), "{bad}: {told:?}");
        let wanted = ops::embedding(&table, &index(3)).unwrap();
        assert_eq!(pick(3).unwrap(), wanted.to_vec::<f32>().unwrap());
    }
}

/// Results that are kept, and inputs of other streams, are other memory for each replay.
#[test]
fn replays_find_their_memory_wherever_it_is() {
    let (stream, other, weight) = (stream(), stream(), numbers(9, 8));
    let graph = Graph::record(&stream, &[&numbers(0, 5)], |x| model(&x[0], &weight)).unwrap();
    let inputs: Vec<_> = (0..12)
        .map(|seed| {
            let stream = if seed % 3 == 0 { &other } else { &stream };
            stream.enter(|| ops::neg(&numbers(seed, 5))).unwrap()
        })
        .collect();
    let replayed: Vec<_> = inputs
        .iter()
        .map(|x| graph.replay(&stream, &[x]).unwrap())
        .collect();
    for (x, replayed) in inputs.iter().zip(&replayed).rev() {
        assert_eq!(bits(replayed), bits(&model(x, &weight).unwrap()));
    }
}

/// Graphs come and go, more of them than a stream keeps in mind.
#[test]
fn many_graphs_take_turns_on_a_stream() {
    let stream = stream();
    let graph = |scale: f32| {
        let scale = Tensor::scalar(scale, device()).unwrap();
        Graph::record(&stream, &[&numbers(0, 3)], |x| {
            Ok(vec![ops::neg(&ops::mul(&x[0], &scale)?)?])
        })
        .unwrap()
    };
    let kept: Vec<_> = (0..40).map(|i| graph(i as f32)).collect();
    let x = numbers(1, 3);
    let values = x.to_vec::<f32>().unwrap();
    let check = |graph: &Graph, scale: f32| {
        let found = graph.replay(&stream, &[&x]).unwrap()[0].to_vec::<f32>();
        let wanted: Vec<f32> = values.iter().map(|x| -(x * scale)).collect();
        assert_eq!(found.unwrap(), wanted, "{scale}");
    };
    for _ in 0..2 {
        kept.iter()
            .enumerate()
            .for_each(|(i, graph)| check(graph, i as f32));
        (50..90).for_each(|i| check(&graph(i as f32), i as f32));
    }
}

/// A graph inside another's recording becomes part of it.
#[test]
fn a_replay_can_be_recorded() {
    let (stream, weight) = (stream(), numbers(9, 8));
    let inner = Graph::record(&stream, &[&numbers(0, 5)], |x| model(&x[0], &weight)).unwrap();
    let outer = Graph::record(&stream, &[&numbers(0, 5)], |x| {
        let both = inner.replay(&stream, &[&ops::neg(&x[0])?])?;
        Ok(vec![ops::neg(&both[0])?])
    })
    .unwrap();
    assert_eq!(outer.steps(), inner.steps() + 2);
    let x = numbers(3, 5);
    let wanted = ops::neg(&model(&ops::neg(&x).unwrap(), &weight).unwrap()[0]).unwrap();
    assert_eq!(
        bits(&outer.replay(&stream, &[&x]).unwrap()),
        bits(&[wanted])
    );
}

/// Steps that differ in size and in what they read, one behind the other: a step that began before
/// the last one's end would find what was there before.
#[test]
fn a_long_chain_gives_the_bits_of_calls() {
    // Enough groups to fill a GPU, where there is one.
    let rows = if device().name().starts_with("cuda") {
        2000
    } else {
        40
    };
    let chain = |x: &Tensor| -> Result<Vec<Tensor>> {
        let mut x = x.clone();
        for step in 0..12 {
            let weights = ops::softmax(&ops::mul(&x, &x)?, -1)?;
            let turned = ops::copy(&weights.transpose(0, 1)?)?;
            let sums = ops::sum(&turned, 0, false)?;
            let mixed = ops::add(&turned.transpose(0, 1)?, &x)?;
            x = match step % 3 {
                0 => ops::sub(&mixed, &ops::max(&sums, 0, false)?)?,
                1 => ops::tanh(&mixed)?,
                _ => ops::neg(&mixed)?,
            };
        }
        Ok(vec![x])
    };
    let inputs: Vec<Tensor> = (0..3).map(|seed| numbers(seed, rows)).collect();
    let wanted: Vec<_> = inputs.iter().map(|x| bits(&chain(x).unwrap())).collect();
    let graph = Graph::record(&stream(), &[&inputs[0]], |x| chain(&x[0])).unwrap();
    thread::scope(|scope| {
        for first in 0..4 {
            let (graph, inputs, wanted) = (&graph, &inputs, &wanted);
            scope.spawn(move || {
                let stream = stream();
                for round in 0..8 {
                    let seed = (first + round) % inputs.len();
                    let replayed = graph.replay(&stream, &[&inputs[seed]]).unwrap();
                    assert_eq!(bits(&replayed), wanted[seed], "{first} {round}");
                }
            });
        }
    });
}
