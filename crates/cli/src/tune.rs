//! `wootz tune`: own kernels in several tiles, and the vendor's, on this machine; what is fastest is
//! kept for the library to go by.

use indicatif::{ProgressBar, ProgressStyle};
use wootz::kernels::Tiling;
use wootz::path::{self, Path};
use wootz::runtime::Family;
use wootz::tuning::{self, Class, Entry, Faster, Table as Tuning};
use wootz::{DType, Device, Stream, Tensor, ops, vendor};

use crate::args::{Shape, Tune};
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
/// On the CPU one of these takes seconds, and so does a far smaller one on a device that only emulates
/// a GPU: what is larger is left out.
const CPU_FLOPS: usize = 1 << 31;
const EMULATED_FLOPS: usize = 1 << 22;
/// How much faster than the library's own pick a tile must be to be kept: sizes near the measured one
/// go by it too.
const WORTH: f64 = 0.96;

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
    let library = vendor::library(device);
    if let (Err(why), true) = (&library, device == Device::cpu()) {
        let device = device.name();
        let message = format!("nothing to measure against on {device}: {why}");
        return Err(Failure::Input(message));
    }
    let library = library.ok();
    let known = Tuning::read(device).unwrap_or_else(|why| {
        eprintln!("wootz: the table is made anew: {why}");
        None
    });
    let known = known.filter(|table| table.vendor == library && !args.again);
    let mut cases = cases(device, args)?;
    let all = cases.len();
    cases.retain(|case| {
        known
            .as_ref()
            .is_none_or(|table| table.way(&case.class()).is_none())
    });
    let measured = all - cases.len();
    print_line(&format!(
        "own kernels{} on {}",
        against(library.as_deref()),
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
        let entry = measure(device, case, library.is_some())?;
        // Kept one by one: what ends this program early loses one measurement.
        let mut table = Tuning::new(device, library.as_deref());
        table.put(entry);
        table.merge(device).map_err(Failure::Input)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    show(device)
}

/// ` against cuBLASLt 13.1`, where there is something to be against.
fn against(library: Option<&str>) -> String {
    library.map_or_else(String::new, |library| format!(" against {library}"))
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

/// The products to measure: those that were asked for, or what models are made of.
fn cases(device: Device, args: &Tune) -> Result<Vec<Case>, Failure> {
    let family = device.caps().family;
    let dtypes = match family {
        Family::Cpu => &[DType::F32][..],
        _ => DType::FLOATS,
    };
    let asked = |dtype: &&DType| args.dtype.is_empty() || args.dtype.contains(&dtype.name());
    let dtypes = dtypes.iter().filter(asked);
    let products = match &args.shape {
        Some(shape) => {
            let product = product(shape)?;
            vec![(product, true), (product, false)]
        }
        None => usual(family),
    };
    let of_dtype = |&dtype: &DType| {
        products.iter().map(move |&(product, turned)| Case {
            dtype,
            product,
            turned,
        })
    };
    Ok(dtypes.flat_map(of_dtype).collect())
}

/// The product of a shape: `m×n×k`, after the size of a batch if there is one.
fn product(shape: &Shape) -> Result<Product, Failure> {
    let product = match *shape.0.as_slice() {
        [m, n, k] => Some([1, m, n, k]),
        [batch, m, n, k] => Some([batch, m, n, k]),
        _ => None,
    };
    let whole = product.filter(|sizes| !sizes.contains(&0));
    whole.ok_or_else(|| Failure::Input(format!("{shape} is no product m×n×k, of a batch or not")))
}

/// Those of models' layers that a device computes in a moment.
fn usual(family: Family) -> Vec<(Product, bool)> {
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
    let most = match family {
        Family::Cpu => CPU_FLOPS,
        Family::Emulated => EMULATED_FLOPS,
        _ => usize::MAX,
    };
    products.retain(|(product, _)| 2 * product.iter().product::<usize>() <= most);
    products
}

fn measure(device: Device, case: &Case, vendor: bool) -> Result<Entry, Failure> {
    let [batch, m, n, k] = case.product;
    let turned = [false, case.turned];
    let tilings = match device.caps().family {
        Family::Cpu => vec![],
        _ => Tiling::candidates(device.caps(), case.dtype, turned, [m, n, k], batch),
    };
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
        let (a, b): (&Tensor, &Tensor) = (&a, &b);
        let multiply = |path, tiling| {
            let multiply = move || path::with(path, || ops::matmul(a, b).map(Some));
            Probe::new(Box::new(move || tuning::with(tiling, multiply)))
        };
        // First as the library picks by itself.
        let mut probes = vec![multiply(Path::Own, None)];
        probes.extend(
            tilings
                .iter()
                .map(|&tiling| multiply(Path::Own, Some(tiling))),
        );
        if vendor {
            probes.push(multiply(Path::Vendor, None));
        }
        timing::interleave(&mut probes)?;
        let us: Vec<f64> = probes.iter().map(|probe| probe.seconds() * 1e6).collect();
        let named = tilings.iter().zip(&us[1..]);
        let fastest = named.min_by(|left, right| left.1.total_cmp(right.1));
        let faster = fastest.filter(|&(_, &tile_us)| tile_us < us[0] * WORTH);
        Ok(Entry {
            class: case.class(),
            own_us: us[0],
            tile: faster.map(|(tiling, &us)| Faster {
                name: tiling.to_string(),
                us,
            }),
            vendor_us: vendor.then(|| us[us.len() - 1]),
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
        let against = against(table.vendor.as_deref());
        print_line(&format!("{}: own kernels{against}\n", file.display()))?;
    }
    let (left, right) = (Align::Left, Align::Right);
    let mut rows = Table::new(&[
        ("dtype", left),
        ("near m×n×k", left),
        ("batch", right),
        ("", left),
        ("own µs", right),
        ("µs in a better tile", left),
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
        let ratio = entry.vendor_us.map(|us| us / entry.fastest_us());
        rows.row(vec![
            dtype.name().to_owned(),
            format!("2^{m}×2^{n}×2^{k}"),
            format!("2^{batch}"),
            turned.to_owned(),
            three_digits(entry.own_us),
            entry.tile.as_ref().map_or_else(String::new, |tile| {
                format!("{}, {}", three_digits(tile.us), tile.name)
            }),
            entry.vendor_us.map_or_else(String::new, three_digits),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            entry.way().to_string(),
        ]);
    }
    rows.print()
}
