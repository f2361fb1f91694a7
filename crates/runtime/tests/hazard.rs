#![cfg(not(loom))]
//! Hazards and waits against models that remember everything.

use proptest::{collection::vec, prelude::*};
use wootz_runtime::{
    Access,
    hazard::{Hazards, Order, Use, Waits},
    timeline::Ticket,
};

fn read(buffer: u64, start: u64, end: u64) -> Use {
    Use {
        buffer,
        start,
        end,
        access: Access::Read,
    }
}

fn write(buffer: u64, start: u64, end: u64) -> Use {
    Use {
        buffer,
        start,
        end,
        access: Access::Write,
    }
}

/// Byte by byte, without a clever thought.
fn conflict(a: &Use, b: &Use) -> bool {
    a.buffer == b.buffer
        && (a.access != Access::Read || b.access != Access::Read)
        && (a.start..a.end).any(|byte| (b.start..b.end).contains(&byte))
}

#[test]
fn each_kind_of_hazard_places_one_barrier() {
    for (first, second) in [
        (write(1, 0, 8), read(1, 4, 6)),
        (read(1, 0, 8), write(1, 7, 9)),
        (write(1, 0, 8), write(1, 0, 1)),
    ] {
        let mut hazards = Hazards::new();
        assert_eq!(hazards.plan(&[first]), Order::Nothing);
        assert_eq!(
            hazards.plan(&[second]),
            Order::Barrier,
            "{first:?}, {second:?}"
        );
        assert_eq!(hazards.plan(&[read(2, 0, 8)]), Order::Nothing);
    }
}

#[test]
fn reads_neighbours_other_buffers_and_empty_ranges_run_side_by_side() {
    let mut hazards = Hazards::new();
    for new in [
        read(1, 0, 8),
        read(1, 4, 12),
        write(1, 12, 16),
        write(2, 0, 8),
        write(1, 3, 3),
        read(1, 14, 13),
        write(u64::MAX, u64::MAX - 1, u64::MAX),
    ] {
        assert_eq!(hazards.plan(&[new]), Order::Nothing, "{new:?}");
    }
}

#[test]
fn a_plan_may_write_what_it_reads() {
    let in_place = [read(1, 0, 8), write(1, 0, 8)];
    let mut hazards = Hazards::new();
    assert_eq!(hazards.plan(&in_place), Order::Nothing);
    assert_eq!(hazards.plan(&in_place), Order::Barrier);
}

#[test]
fn many_open_uses_end_in_a_barrier_and_not_in_endless_memory() {
    let mut hazards = Hazards::new();
    let barriers = (0..1_000)
        .filter(|&buffer| hazards.plan(&[write(buffer, 0, 8)]) == Order::Barrier)
        .count();
    assert_eq!(barriers, 1_000_usize.div_ceil(64) - 1);
}

#[test]
fn a_plan_too_large_to_remember_is_followed_by_a_barrier() {
    let all: Vec<_> = (0..65).map(|buffer| write(buffer, 0, 8)).collect();
    let mut hazards = Hazards::new();
    assert_eq!(hazards.plan(&all), Order::Nothing);
    assert_eq!(hazards.plan(&[read(64, 0, 8)]), Order::Barrier);
    assert_eq!(hazards.plan(&[read(0, 0, 8)]), Order::Nothing);
}

fn any_use() -> impl Strategy<Value = Use> {
    let access = prop_oneof![
        Just(Access::Read),
        Just(Access::Write),
        Just(Access::Update)
    ];
    (0..3_u64, 0..12_u64, 0..6_u64, access).prop_map(|(buffer, start, len, access)| Use {
        buffer,
        start,
        end: start + len,
        access,
    })
}

proptest! {
    /// Barriers come exactly where the model, which remembers every use since the last
    /// barrier, finds a conflict. (Few enough uses here that none is forgotten.)
    #[test]
    fn barriers_come_exactly_where_order_shows(
        plans in vec(vec(any_use(), 0..4), 0..16),
    ) {
        let mut hazards = Hazards::new();
        let mut open: Vec<Use> = Vec::new();
        for plan in plans {
            let shows = plan.iter().any(|a| open.iter().any(|b| conflict(a, b)));
            if shows {
                open.clear();
            }
            let expected = if shows { Order::Barrier } else { Order::Nothing };
            prop_assert_eq!(hazards.plan(&plan), expected);
            open.extend(plan);
        }
    }

    /// With any number of uses no conflict goes without a barrier.
    #[test]
    fn no_conflict_is_missed_when_much_is_open(
        plans in vec(vec((0..200_u64, any::<bool>()), 0..90), 0..12),
    ) {
        let mut hazards = Hazards::new();
        let mut open: Vec<Use> = Vec::new();
        for plan in plans {
            let plan: Vec<_> = plan
                .into_iter()
                .map(|(buffer, writes)| if writes { write(buffer, 0, 4) } else { read(buffer, 0, 4) })
                .collect();
            let shows = plan.iter().any(|a| open.iter().any(|b| conflict(a, b)));
            let order = hazards.plan(&plan);
            prop_assert!(!shows || order == Order::Barrier);
            if order == Order::Barrier {
                open.clear();
            }
            open.extend(plan);
        }
    }

    /// A wait is needed exactly when no wait that stands covers it; one that could not be
    /// placed stays needed.
    #[test]
    fn waits_are_needed_until_one_stands(
        uses in vec((0..4_usize, 0..20_u64, any::<bool>()), 0..60),
    ) {
        const OWN: usize = 2;
        let mut waits = Waits::new(OWN);
        let mut covered = [0; 4];
        for (stream, number, succeeds) in uses {
            let ticket = Ticket::from_number(number);
            let needed = waits.need(stream, ticket);
            prop_assert_eq!(needed, stream != OWN && covered[stream] < number);
            if needed && succeeds {
                waits.placed(stream, ticket);
                covered[stream] = number;
            }
        }
    }
}
