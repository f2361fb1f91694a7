//! The emulator catches each fault that is planted in `planted/faults.h`, and names it rightly.

use std::sync::OnceLock;
use wootz::kernels::flatten;
use wootz_runtime::{
    emulated::{Bound, Launch, Library, Machine},
    plan::Access,
};

const LANES: u32 = 64;

/// The kernels, compiled once for all tests of this file.
fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = flatten("dialect/dialect.h").unwrap() + include_str!("planted/faults.h");
        let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated");
        Library::open(&source, &cache).unwrap_or_else(|error| panic!("{error}"))
    })
}

/// Runs `planted_<name>` over two groups; what it computed, or the report.
fn run(name: &str) -> Result<Vec<f32>, String> {
    run_with_parts(name, [0, 0])
}

/// The same with so many bytes of the input and the output declared to be each group's own.
fn run_with_parts(name: &str, parts: [usize; 2]) -> Result<Vec<f32>, String> {
    let mut x: Vec<f32> = (0..2 * LANES).map(|i| i as f32).collect();
    let mut y = vec![0.0; x.len()];
    let [input, output] = [(&mut x, Access::Read), (&mut y, Access::Write)].map(bound);
    let [mine, theirs] = parts;
    let bindings = [
        Bound {
            part: mine,
            ..input
        },
        Bound {
            part: theirs,
            ..output
        },
    ];
    launch(name, &bindings)?;
    Ok(y)
}

fn bound((values, access): (&mut Vec<f32>, Access)) -> Bound {
    Bound {
        start: values.as_mut_ptr().cast(),
        bytes: 4 * values.len(),
        offset: 0,
        access,
        part: 0,
    }
}

fn launch(name: &str, bindings: &[Bound; 2]) -> Result<(), String> {
    let params = [u128::from(2 * LANES)];
    let launch = Launch {
        kernel: name,
        entry: library().entry(&format!("planted_{name}")).unwrap(),
        groups: 2,
        lanes: LANES,
        scratch: 4 * LANES as usize,
        params: bytemuck::cast_slice(&params),
        bindings,
    };
    let mut machine = Machine::new().unwrap();
    // SAFETY: the kernels take these buffers and parameters, which live; the emulator stops the
    // planted ones before they touch anything else.
    unsafe { machine.run(&launch) }.map_err(|fault| fault.to_string())
}

/// Asserts that the fault planted in `name` is reported in these words.
fn caught(name: &str, report: &str) {
    let found = run(name).expect_err("the fault was not noticed");
    // Lines move whenever a header does.
    let mut plain = found.clone();
    while let Some(start) = plain.find(" (line ") {
        let end = start + plain[start..].find(')').unwrap();
        plain.replace_range(start..=end, "");
    }
    assert_eq!(plain, format!("kernel {name}, {report}"), "{found}");
}

#[test]
fn a_sound_kernel_runs() {
    let y = run("sound").unwrap();
    let expected: Vec<f32> = (0..2 * LANES)
        .map(|i| {
            let (group, lane) = (i / LANES, i % LANES);
            (group * LANES + LANES - 1 - lane) as f32 + (lane ^ 1) as f32
        })
        .collect();
    assert_eq!(y, expected);
}

/// Those who follow such a plan part by part do not wait for the groups of other parts.
#[test]
fn groups_that_leave_their_parts_are_caught() {
    let row = 4 * LANES as usize;
    assert_eq!(run_with_parts("sound", [row, row]), run("sound"));
    let lie = |parts| run_with_parts("sound", parts).unwrap_err();
    let words = "of buffer 0, which the plan leaves to another group";
    let half = (row / 2, LANES / 2);
    assert_eq!(
        lie([half.0, row]),
        format!(
            "kernel sound, group 0, lane {} reads byte {} {words}",
            half.1, half.0
        )
    );
    assert!(lie([2 * row, row]).contains("group 1, lane 0 reads"));
    let words = "of buffer 1, which the plan leaves to another group";
    assert!(lie([row, row / 2]).contains(words));
}

#[test]
fn accesses_out_of_range_are_caught() {
    caught(
        "reads_past_the_end",
        "group 1, lane 3 reads 4 bytes out of range: byte 516 of buffer 0, which has 512",
    );
    caught(
        "writes_before_the_start",
        "group 0, lane 0 writes 4 bytes out of range: 4 bytes before buffer 1",
    );
    caught(
        "overruns_scratch",
        "group 0, lane 63 writes 4 bytes out of range: byte 256 of scratch, which has 256",
    );
    caught(
        "writes_what_it_reads",
        "group 0, lane 0 writes byte 0 of buffer 0, which is bound for reading",
    );
    caught(
        "moves_a_crooked_pack",
        "group 0, lane 0 moves a pack of 16 bytes at an address that is not aligned to it",
    );
}

#[test]
fn reads_of_unwritten_memory_are_caught() {
    caught(
        "reads_unwritten_scratch",
        "group 0, lane 7 reads byte 28 of scratch, which nobody has written",
    );
    caught(
        "keeps_scratch_between_groups",
        "group 1, lane 0 reads byte 0 of scratch, which nobody has written",
    );
    caught(
        "reads_output_before_it_is_written",
        "group 0, lane 0 reads byte 0 of buffer 1, which nobody has written",
    );
}

/// Compilers may take what is bound for reading as constant, so a plan that works in place does not
/// bind it so, even where each lane reads before it writes.
#[test]
fn writes_to_what_is_bound_for_reading_too_are_caught() {
    let name = "works_element_by_element";
    assert_eq!(run(name).unwrap()[3], 4.0);
    let mut values = vec![1.0; 2 * LANES as usize];
    let place = bound((&mut values, Access::Read));
    for access in [Access::Write, Access::Update] {
        let found = launch(name, &[place, Bound { access, ..place }]).unwrap_err();
        let words = "group 0, lane 0 writes byte 0 of buffer 0, read before: it is bound for \
                     reading too, which promises that nobody writes it";
        assert_eq!(found, format!("kernel {name}, {words}"));
    }
    // Parts of one buffer are as good as two.
    let half = LANES as usize * 4;
    let mut values = vec![1.0; 4 * LANES as usize];
    let place = bound((&mut values, Access::Read));
    let behind = Bound {
        access: Access::Write,
        offset: 2 * half,
        ..place
    };
    launch(name, &[place, behind]).unwrap();
    assert_eq!(values[2 * LANES as usize], 2.0);
}

#[test]
fn races_are_caught() {
    caught(
        "forgets_a_barrier",
        "group 0, lane 1 reads byte 0 of scratch, written by lane 0: no barrier between",
    );
    caught(
        "reuses_scratch_too_early",
        "group 0, lane 32 reads byte 124 of scratch, written by lane 31: no barrier between",
    );
    caught(
        "takes_a_simd_barrier_for_a_group_barrier",
        "group 0, lane 32 reads byte 0 of scratch, written by lane 0: no barrier between",
    );
    caught(
        "takes_a_shuffle_for_a_barrier",
        "group 0, lane 0 reads byte 4 of scratch, written by lane 1: no barrier between",
    );
    caught(
        "takes_a_scratch_barrier_for_a_device_barrier",
        "group 0, lane 0 reads byte 252 of buffer 1, written by lane 63: no barrier between",
    );
    caught(
        "groups_write_one_element",
        "group 1, lane 0 writes byte 0 of buffer 1, written by lane 0 of another group: groups have no order",
    );
    caught(
        "stores_beside_an_atomic",
        "group 0, lane 1 writes byte 0 of buffer 1, written by lane 0: no barrier between",
    );
}

#[test]
fn barriers_not_reached_by_all_are_caught() {
    caught(
        "leaves_before_the_barrier",
        "group 0, lane 0 waits at a scratch barrier, but lane 40 has returned",
    );
    caught(
        "waits_at_two_barriers",
        "group 0, lane 0 waits at a scratch barrier, lane 32 at a device barrier",
    );
    caught(
        "shuffles_in_half_a_simd",
        "group 0, lane 0 waits at a simd operation, but lane 16 has returned",
    );
}
