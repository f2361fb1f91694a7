//! `wootz tune`: own kernels against the vendor's on this machine, kept for the library to go by.

use indicatif::{ProgressBar, ProgressStyle};
use wootz::path::{self, Path};
use wootz::tuning::{self, Class, Entry, Table as Tuning};
use wootz::{DType, Device, Stream, Tensor, ops, vendor};

use crate::args::Tune;
use crate::bench::timing::{self, Probe};
use crate::failure::Failure;
use crate::output::{Align, Table, print_line, three_digits};
use crate::{devices, inputs};

/// A product: batch, m, n, k.
type Product = [usize; 4];

/// The sizes of models' layers: few rows and many, square weights, wide ones and deep ones.
const ROWS: &[usize] = &[1, 16, 64, 256, 1024, 4096];
const WEIGHTS: &[[usize; 2]] = &[
    [768, 768],
    [4096, 1024],
    [4096, 4096],
    [16384, 4096],
    [4096, 16384],
];
/// Batches of small products.
const BATCHES: &[Product] = &[
    [64, 64, 64, 64],
    [64, 128, 128, 128],
    [64, 256, 256, 256],
    [256, 64, 64, 64],
];
/// On the CPU one of these takes seconds: what is larger is left out.
const CPU_FLOPS: usize = 1 << 31;

/// One kind of product to measure.
struct Case {
    dtype: DType,
    product: Product,
    /// Whether the right operand is weights, `[n, k]`, turned.
    turned: bool,
}

impl Case {
    fn class(&self) -> Class {
        let [batch, m, n, k] = self.product.map(|size| size as u64);
        Class::new(self.dtype, [false, self.turned], [m, n, k], batch)
    }
}

pub fn run(args: &Tune) -> Result<(), Failure> {
    let device = devices::open(&args.device)?;
    if args.show {
        return show(device);
    }
    let library = vendor::library(device).map_err(|why| {
        let device = device.name();
        Failure::Input(format!("nothing to measure against on {device}: {why}"))
    })?;
    let known = Tuning::read(device).unwrap_or_else(|why| {
        eprintln!("wootz: the table is made anew: {why}");
        None
    });
    let known = known.filter(|table| table.vendor == library && !args.again);
    let mut cases = cases(device);
    let all = cases.len();
    cases.retain(|case| {
        known
            .as_ref()
            .is_none_or(|table| table.way(&case.class()).is_none())
    });
    let measured = all - cases.len();
    print_line(&format!(
        "own kernels against {library} on {}",
        devices::describe(device)
    ))?;
    print_line(&format!(
        "{all} kinds of products, {measured} of them measured before"
    ))?;
    if args.dry_run {
        return print_cases(&cases);
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg}, {eta} left");
    let progress = ProgressBar::new(cases.len() as u64);
    if let Ok(style) = style {
        progress.set_style(style);
    }
    for case in &cases {
        progress.set_message(name(case));
        let entry = measure(device, case)?;
        // Kept one by one: what ends this program early loses one measurement.
        let mut table = Tuning::new(device, &library);
        table.put(entry);
        table.merge(device).map_err(Failure::Input)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    show(device)
}

/// `bf16 16×4096×4096`
fn name(case: &Case) -> String {
    let [batch, m, n, k] = case.product;
    let batch = if batch == 1 {
        String::new()
    } else {
        format!("{batch}×")
    };
    let turned = if case.turned { " turned" } else { "" };
    format!("{} {batch}{m}×{n}×{k}{turned}", case.dtype)
}

fn cases(device: Device) -> Vec<Case> {
    let cpu = device == Device::cpu();
    let dtypes = if cpu {
        &[DType::F32][..]
    } else {
        DType::FLOATS
    };
    let mut products: Vec<(Product, bool)> = vec![];
    for &m in ROWS {
        for &[n, k] in WEIGHTS {
            products.extend([true, false].map(|turned| ([1, m, n, k], turned)));
        }
    }
    products.extend(
        BATCHES
            .iter()
            .flat_map(|&product| [true, false].map(|turned| (product, turned))),
    );
    let fits = |product: &Product| !cpu || 2 * product.iter().product::<usize>() <= CPU_FLOPS;
    products.retain(|(product, _)| fits(product));
    let of_dtype = |&dtype: &DType| {
        products.iter().map(move |&(product, turned)| Case {
            dtype,
            product,
            turned,
        })
    };
    dtypes.iter().flat_map(of_dtype).collect()
}

fn measure(device: Device, case: &Case) -> Result<Entry, Failure> {
    let [batch, m, n, k] = case.product;
    let stream = Stream::new(device)?;
    stream.enter(|| {
        let matrices = |rows: usize, columns: usize| match batch {
            1 => vec![rows, columns],
            _ => vec![batch, rows, columns],
        };
        let a = inputs::tensor(case.dtype, &matrices(m, k), device)?;
        let b = match case.turned {
            true => inputs::tensor(case.dtype, &matrices(n, k), device)?.transpose(-1, -2)?,
            false => inputs::tensor(case.dtype, &matrices(k, n), device)?,
        };
        let multiply = |path| {
            let (a, b): (&Tensor, &Tensor) = (&a, &b);
            Probe::new(Box::new(move || {
                path::with(path, || ops::matmul(a, b).map(Some))
            }))
        };
        let mut probes = [multiply(Path::Own), multiply(Path::Vendor)];
        timing::interleave(&mut probes)?;
        let [own_us, vendor_us] = [0, 1].map(|i| probes[i].seconds() * 1e6);
        Ok(Entry {
            class: case.class(),
            own_us,
            vendor_us,
        })
    })
}

fn print_cases(cases: &[Case]) -> Result<(), Failure> {
    print_line("\nwould measure:")?;
    cases
        .iter()
        .try_for_each(|case| print_line(&format!("  {}", name(case))))
}

/// Prints the table that the library goes by.
fn show(device: Device) -> Result<(), Failure> {
    let nothing = || Failure::Input(format!("nothing was measured on {} yet", device.name()));
    let table = Tuning::read(device)
        .map_err(Failure::Input)?
        .ok_or_else(nothing)?;
    if let Some(file) = tuning::file_of(device) {
        print_line(&format!(
            "{}: own kernels against {}\n",
            file.display(),
            table.vendor
        ))?;
    }
    let (left, right) = (Align::Left, Align::Right);
    let mut rows = Table::new(&[
        ("dtype", left),
        ("near m×n×k", left),
        ("batch", right),
        ("", left),
        ("own µs", right),
        ("vendor µs", right),
        ("vendor/own", right),
        ("auto takes", left),
    ]);
    for entry in &table.entries {
        let Class {
            dtype,
            turned,
            sizes: [m, n, k],
            batch,
        } = &entry.class;
        let turned = match turned {
            [false, false] => "",
            [false, true] => "b turned",
            [true, false] => "a turned",
            [true, true] => "both turned",
        };
        rows.row(vec![
            dtype.name().to_owned(),
            format!("2^{m}×2^{n}×2^{k}"),
            format!("2^{batch}"),
            turned.to_owned(),
            three_digits(entry.own_us),
            three_digits(entry.vendor_us),
            format!("{:.2}", entry.vendor_us / entry.own_us),
            entry.way().to_string(),
        ]);
    }
    rows.print()
}
