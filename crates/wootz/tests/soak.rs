//! Random models by random ways from many threads, for as long as one likes: each value has the bits
//! that it has alone, by launches. `WOOTZ_SOAK` says for how many seconds, `WOOTZ_TEST_DEVICE` where.

use std::{
    env,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};
use wootz::{
    DType, Device, Graph, Result, Stream, Tensor, ops,
    runtime::{Family, Submission},
};

const THREADS: usize = 16;
const MODELS: usize = 96;
/// Shapes of inputs: many small ones, and one that is too large for a ring.
const SHAPES: &[[usize; 2]] = &[
    [1, 64],
    [3, 65],
    [16, 384],
    [64, 128],
    [64, 384],
    [64, 1024],
    [700, 2048],
];

/// What a step makes of the last value; each has rows of numbers about 1 and keeps the shape.
const STEPS: &[fn(&Tensor) -> Result<Tensor>] = &[
    |x| ops::softmax(x, -1),
    |x| ops::log_softmax(x, -1),
    |x| ops::layer_norm(x, 1, None, None, 1e-5),
    |x| ops::rms_norm(x, 1, None, 1e-5),
    |x| ops::gelu(x),
    |x| ops::silu(x),
    |x| ops::tanh(x),
    |x| ops::add(x, &ops::sum(x, -1, true)?),
    |x| ops::sub(x, &ops::max(x, 0, true)?),
    |x| ops::mul(x, &ops::sigmoid(x)?),
    |x| ops::cast(&ops::softmax(&ops::cast(x, DType::BF16)?, -1)?, DType::F32),
    |x| {
        ops::layer_norm(
            &ops::mean(x, -1, true)?.broadcast_to(x.dims())?,
            1,
            None,
            None,
            1e-5,
        )
    },
    |x| ops::copy(&x.flip(0)?),
    |x| ops::matmul(&ops::softmax(&ops::matmul(x, &x.transpose(0, 1)?)?, -1)?, x),
];

struct Random(u64);

impl Random {
    fn new(seed: usize) -> Random {
        Random((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % end
    }
}

/// A model with its input and what must come out.
struct Model {
    values: Vec<f32>,
    dims: [usize; 2],
    steps: Vec<usize>,
    wanted: Vec<u32>,
}

impl Model {
    fn new(device: Device, seed: usize) -> Result<Model> {
        let mut random = Random::new(seed);
        let dims = SHAPES[random.below(SHAPES.len())];
        let count = dims[0] * dims[1];
        let values = (0..count).map(|_| random.below(4000) as f32 / 1000.0 - 2.0);
        let mut model = Model {
            values: values.collect(),
            dims,
            steps: vec![],
            wanted: vec![],
        };
        let most = if count > 1 << 20 { 3 } else { 12 };
        let steps = (0..1 + random.below(most)).map(|_| random.below(STEPS.len()));
        model.steps = steps.collect();
        model.wanted = bits(&model.run(&model.input(device)?)?)?;
        Ok(model)
    }

    fn input(&self, device: Device) -> Result<Tensor> {
        Tensor::from_slice(&self.values, &self.dims, device)
    }

    fn run(&self, x: &Tensor) -> Result<Tensor> {
        let mut steps = self.steps.iter();
        steps.try_fold(x.clone(), |x, &step| STEPS[step](&x))
    }
}

fn bits(x: &Tensor) -> Result<Vec<u32>> {
    Ok(x.to_vec::<f32>()?.into_iter().map(f32::to_bits).collect())
}

/// A value on its way through a model: which one, and how many steps are done.
type Part = (usize, usize, Tensor);

struct Soak<'a> {
    device: Device,
    models: &'a [Model],
    over: &'a AtomicBool,
    values: &'a AtomicU64,
}

impl Soak<'_> {
    fn expect(&self, index: usize, found: &Tensor, way: &str) {
        let (model, found) = (&self.models[index], bits(found).expect("it can be read"));
        let wrong = found.iter().zip(&model.wanted).position(|(a, b)| a != b);
        if let Some(at) = wrong {
            self.over.store(true, Relaxed);
            let (found, wanted) = (f32::from_bits(found[at]), f32::from_bits(model.wanted[at]));
            let (dims, steps) = (model.dims, &model.steps);
            panic!("{way}, {dims:?}, steps {steps:?}: element {at} is {found}, not {wanted}");
        }
        self.values.fetch_add(1, Relaxed);
    }

    /// One thread's work: values of its own, others' halves, graphs, streams that come and go.
    fn work(&self, seed: usize, others: &[Sender<Part>], received: &Receiver<Part>) -> Result<()> {
        let mut random = Random::new(seed);
        let mut streams = [Stream::new(self.device)?, Stream::new(self.device)?];
        let mut graph: Option<(usize, Graph, Tensor)> = None;
        while !self.over.load(Relaxed) {
            let at = random.below(streams.len());
            let (stream, index) = (&streams[at], random.below(self.models.len()));
            let model = &self.models[index];
            match random.below(16) {
                0 => streams[at] = Stream::new(self.device)?,
                1 => thread::sleep(Duration::from_micros(random.below(2500) as u64)),
                2 => {
                    let x = stream.enter(|| model.input(self.device))?;
                    let recorded = Graph::record(stream, &[&x], |x| Ok(vec![model.run(&x[0])?]))?;
                    graph = Some((index, recorded, x));
                }
                3..9 => {
                    let Some((index, graph, x)) = &graph else {
                        continue;
                    };
                    for _ in 0..random.below(8) {
                        graph.replay(stream, &[x])?;
                    }
                    self.expect(*index, &graph.replay(stream, &[x])?[0], "replayed");
                }
                9..11 => {
                    let done = random.below(model.steps.len());
                    let half = stream.enter(|| {
                        let x = model.input(self.device)?;
                        let mut steps = model.steps[..done].iter();
                        steps.try_fold(x, |x, &step| STEPS[step](&x))
                    })?;
                    // Those that are over receive nothing.
                    let _ = others[random.below(others.len())].send((index, done, half));
                }
                11..13 => {
                    let Ok((index, done, half)) = received.try_recv() else {
                        continue;
                    };
                    let mut steps = self.models[index].steps[done..].iter();
                    let y = stream.enter(|| steps.try_fold(half, |x, &step| STEPS[step](&x)))?;
                    self.expect(index, &y, "in halves");
                }
                _ => {
                    let y = stream.enter(|| model.run(&model.input(self.device)?))?;
                    self.expect(index, &y, "step by step");
                }
            }
        }
        Ok(())
    }

    /// Changes the way that plans travel, over and over.
    fn change_ways(&self) {
        const WAYS: &[Submission] = &[
            Submission::Ring,
            Submission::Ring,
            Submission::Auto,
            Submission::Auto,
            Submission::Graph,
            Submission::Launch,
        ];
        let mut random = Random::new(usize::MAX - 1);
        let usual = self.device.submission();
        while !self.over.load(Relaxed) {
            if self.device.caps().family == Family::Cuda {
                self.device.set_submission(WAYS[random.below(WAYS.len())]);
            }
            thread::sleep(Duration::from_micros(random.below(8000) as u64));
        }
        self.device.set_submission(usual);
    }
}

/// The models, made by several threads: kernels are compiled on the way.
fn models(device: Device) -> Vec<Model> {
    thread::scope(|scope| {
        let make = |seed| scope.spawn(move || Model::new(device, seed).unwrap());
        let made: Vec<_> = (0..MODELS).map(make).collect();
        made.into_iter()
            .map(|model| model.join().unwrap())
            .collect()
    })
}

#[test]
fn whatever_the_way_and_whoever_else_is_there_the_bits_are_the_same() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let lasting = Duration::from_secs(number("WOOTZ_SOAK").unwrap_or(1));
    let device = env::var("WOOTZ_TEST_DEVICE");
    let device = Device::open(device.as_deref().unwrap_or("cpu")).unwrap();
    let usual = device.submission();
    device.set_submission(Submission::Launch);
    let models = models(device);
    device.set_submission(usual);
    let (over, values) = (AtomicBool::new(false), AtomicU64::new(0));
    let soak = &Soak {
        device,
        models: &models,
        over: &over,
        values: &values,
    };
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let seed = number("WOOTZ_SOAK").map_or(0, |_| std::process::id() as usize);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| soak.change_ways());
        for (index, receiver) in receivers.into_iter().enumerate() {
            let senders = &senders;
            scope.spawn(move || {
                let outcome = soak.work(seed + 1000 * index, senders, &receiver);
                soak.over.fetch_or(outcome.is_err(), Relaxed);
                outcome.unwrap();
            });
        }
        while start.elapsed() < lasting && !over.load(Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Relaxed);
    });
    let (count, lasted) = (values.into_inner(), start.elapsed());
    println!("{count} values in {lasted:.1?}, {:?}", device.residence());
    assert!(count > 0);
}
