//! Many threads, streams and tasks at once: whatever runs beside, the bits are those of a run
//! alone.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Barrier, mpsc},
    thread,
};
use wootz::{DType, Device, Error, Result, Stream, Tensor, ops, runtime::null::Null};

/// Where these tests run: the CPU, or what `WOOTZ_TEST_DEVICE` names.
fn device() -> Device {
    let name = std::env::var("WOOTZ_TEST_DEVICE");
    Device::open(name.as_deref().unwrap_or("cpu")).unwrap()
}

const THREADS: usize = 4;
const STREAMS: usize = 3;
const ROUNDS: usize = 20;

/// Rows of the input.
const ROWS: usize = 24;
/// Columns of the input.
const COLUMNS: usize = 65;

fn input(seed: usize) -> Tensor {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 1000) as f32 / 100.0 - 5.0;
    let values: Vec<f32> = (0..ROWS * COLUMNS).map(value).collect();
    Tensor::from_slice(&values, &[ROWS, COLUMNS], device()).unwrap()
}

/// The steps of a small model: rows are normalized, picked, joined, added up by groups.
const STEPS: &[fn(&Tensor) -> Result<Tensor>] = &[
    |x| ops::softmax(x, -1),
    |x| ops::concat(&[x, &x.flip(0)?, &x.narrow(0, 3, 5)?], 0),
    |x| ops::pad(x, &[(1, 2), (3, 0)], 0.25),
    |x| ops::index_select(&x.transpose(0, 1)?, 0, &every(x.dims()[1], 3)?),
    |x| ops::softmax(x, 0),
    |x| {
        let index = every(x.dims()[0], 7)?
            .unsqueeze(1)?
            .broadcast_to(x.dims())?;
        ops::scatter_add(&x.flip(1)?, 0, &index, x)
    },
    |x| ops::copy(&x.transpose(0, 1)?),
];

/// Every index below `count`, in steps around it.
fn every(count: usize, step: usize) -> Result<Tensor> {
    let indices: Vec<i64> = (0..count).map(|i| (i * step % count) as i64).collect();
    Tensor::from_slice(&indices, &[count], device())
}

fn model(x: &Tensor) -> Result<Tensor> {
    STEPS.iter().try_fold(x.clone(), |x, step| step(&x))
}

fn bits(x: &Tensor) -> Vec<u32> {
    x.to_vec::<f32>()
        .unwrap()
        .into_iter()
        .map(f32::to_bits)
        .collect()
}

/// What the model makes of each input, on one stream alone.
fn serial(count: usize) -> Vec<Vec<u32>> {
    (0..count)
        .map(|seed| bits(&model(&input(seed)).unwrap()))
        .collect()
}

#[test]
fn threads_with_streams_of_their_own_agree_with_one_alone() {
    let wanted = serial(ROUNDS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let streams: Vec<_> = (0..STREAMS)
                    .map(|_| Stream::new(device()).unwrap())
                    .collect();
                for (seed, wanted) in wanted.iter().enumerate() {
                    for stream in &streams {
                        let got = stream.enter(|| model(&input(seed))).unwrap();
                        assert_eq!(&bits(&got), wanted);
                    }
                }
            });
        }
    });
}

#[test]
fn threads_share_a_tensor_without_streams_in_sight() {
    let x = input(1);
    let wanted = &serial(2)[1];
    thread::scope(|scope| {
        for _ in 0..2 * THREADS {
            scope
                .spawn(|| (0..ROUNDS).for_each(|_| assert_eq!(&bits(&model(&x).unwrap()), wanted)));
        }
    });
}

#[test]
fn each_step_of_a_model_on_another_thread() {
    let wanted = serial(ROUNDS);
    let (first, mut last) = mpsc::channel::<Tensor>();
    thread::scope(|scope| {
        for step in STEPS {
            let (to, next) = mpsc::channel();
            let from = std::mem::replace(&mut last, next);
            // The input is dropped here, far from where its memory came from.
            scope.spawn(move || {
                from.iter()
                    .for_each(|x| to.send(step(&x).unwrap()).unwrap())
            });
        }
        (0..ROUNDS).for_each(|seed| first.send(input(seed)).unwrap());
        drop(first);
        let got: Vec<_> = last.iter().map(|x| bits(&x)).collect();
        assert_eq!(got, wanted);
    });
}

#[test]
fn streams_change_threads_between_steps() {
    let wanted = serial(THREADS);
    let mut work: Vec<_> = (0..THREADS)
        .map(|seed| (Stream::new(device()).unwrap(), input(seed)))
        .collect();
    for step in STEPS {
        let threads: Vec<_> = work
            .into_iter()
            .map(|(stream, x)| thread::spawn(move || (stream.enter(|| step(&x)).unwrap(), stream)))
            .collect();
        let done = threads.into_iter().map(|thread| thread.join().unwrap());
        work = done.map(|(x, stream)| (stream, x)).collect();
    }
    let got: Vec<_> = work.iter().map(|(_, x)| bits(x)).collect();
    assert_eq!(got, wanted);
}

#[test]
fn tensors_outlive_their_stream() {
    let wanted = serial(ROUNDS);
    let made: Vec<Tensor> = (0..ROUNDS)
        .map(|seed| {
            let stream = Stream::new(device()).unwrap();
            stream.enter(|| model(&input(seed))).unwrap()
        })
        .collect();
    // The slots of those streams have new owners by now, which write memory of their own.
    let others: Vec<_> = (0..ROUNDS)
        .map(|_| Stream::new(device()).unwrap())
        .collect();
    for stream in &others {
        stream.enter(|| model(&input(99))).unwrap();
    }
    assert_eq!(made.iter().map(bits).collect::<Vec<_>>(), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_hop_threads_in_mid_model() {
    let wanted = serial(ROUNDS);
    let tasks: Vec<_> = (0..ROUNDS)
        .map(|seed| {
            tokio::spawn(async move {
                let mut x = input(seed);
                for step in STEPS {
                    x = step(&x).unwrap();
                    tokio::task::yield_now().await;
                    x.ready().await.unwrap();
                }
                bits(&x)
            })
        })
        .collect();
    for (task, wanted) in tasks.into_iter().zip(wanted) {
        assert_eq!(task.await.unwrap(), wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stream_travels_with_its_task() {
    let wanted = serial(THREADS);
    let tasks: Vec<_> = (0..THREADS)
        .map(|seed| {
            let stream = Stream::new(device()).unwrap();
            tokio::spawn(async move {
                let (mut stream, mut x) = (stream, input(seed));
                for step in STEPS {
                    // A stream is not shared, so it crosses an await by value.
                    (stream, x) = tokio::task::spawn_blocking(move || {
                        let next = stream.enter(|| step(&x)).unwrap();
                        (stream, next)
                    })
                    .await
                    .unwrap();
                }
                bits(&x)
            })
        })
        .collect();
    for (task, wanted) in tasks.into_iter().zip(wanted) {
        assert_eq!(task.await.unwrap(), wanted);
    }
}

#[test]
fn a_panic_with_a_stream_in_hand_harms_nobody() {
    let wanted = serial(ROUNDS);
    let start = Barrier::new(THREADS + 1);
    thread::scope(|scope| {
        let panicking = scope.spawn(|| {
            start.wait();
            for seed in 0..ROUNDS {
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    let stream = Stream::new(device()).unwrap();
                    stream.enter(|| {
                        let _kept = model(&input(seed)).unwrap();
                        std::panic::panic_any(seed);
                    });
                }));
                assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&seed));
            }
            let stream = Stream::new(device()).unwrap();
            stream.enter(|| std::panic::panic_any(0));
        });
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for (seed, wanted) in wanted.iter().enumerate() {
                    let stream = Stream::new(device()).unwrap();
                    assert_eq!(
                        &bits(&stream.enter(|| model(&input(seed))).unwrap()),
                        wanted
                    );
                }
            });
        }
        assert!(panicking.join().is_err());
    });
    assert_eq!(bits(&model(&input(0)).unwrap()), wanted[0]);
}

#[test]
fn running_out_of_memory_leaves_other_streams_working() {
    const ROUNDS: usize = 5000;
    let (device, _null) = Null::device(1 << 20, true);
    let stream = Stream::new(device).unwrap();
    let large = [0u8; 600 << 10];
    let kept = stream
        .enter(|| Tensor::from_slice(&large, &[large.len()], device))
        .unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let full = Tensor::from_slice(&large, &[large.len()], device).unwrap_err();
                    let Error::Runtime(full) = full else {
                        panic!("{full}")
                    };
                    assert!(
                        full.to_string().starts_with("null is out of memory"),
                        "{full}"
                    );
                    // A request that fails takes no memory from those that fit, for no moment.
                    ops::copy(&kept.narrow(0, 0, 1000).unwrap().flip(0).unwrap()).unwrap();
                    let trim = |own: &Stream| {
                        own.trim();
                        Ok::<(), Error>(())
                    };
                    Stream::with_current(device, trim).unwrap();
                }
            });
        }
    });
    drop(kept);
    let again = stream.enter(|| Tensor::from_slice(&large, &[large.len()], device));
    assert_eq!(again.unwrap().dtype(), DType::U8);
}

#[test]
fn a_request_that_no_memory_can_serve_fails_beside_work_that_goes_on() {
    let wanted = serial(ROUNDS);
    let huge = input(0).narrow(0, 0, 1).unwrap().unsqueeze(0).unwrap();
    let huge = huge.broadcast_to(&[1 << 40, 1, COLUMNS]).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| (0..ROUNDS).for_each(|_| assert!(ops::copy(&huge).is_err())));
        scope.spawn(|| {
            for (seed, wanted) in wanted.iter().enumerate() {
                assert_eq!(&bits(&model(&input(seed)).unwrap()), wanted);
            }
        });
    });
}

#[test]
fn a_bad_index_on_one_thread_is_no_error_of_another() {
    let wanted = serial(1);
    let outside = Tensor::from_slice(&[ROWS as i64], &[1], device()).unwrap();
    let x = input(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100 {
                    // The call tells, or the first wait where kernels run after it.
                    let picked = ops::embedding(&x, &outside).and_then(|y| y.to_vec::<f32>());
                    let refused = |error: &Error| {
                        let error = error.to_string();
                        error.contains("index") || error.contains("refused")
                    };
                    assert!(picked.as_ref().is_err_and(refused), "{picked:?}");
                }
            });
            scope.spawn(|| {
                (0..ROUNDS).for_each(|_| assert_eq!(bits(&model(&x).unwrap()), wanted[0]));
            });
        }
    });
}
