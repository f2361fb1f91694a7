//! Several GPUs in one program: tensors go from one to another, threads work on each, and what
//! belongs to different ones does not mix. Needs two that CUDA lists.

use std::thread;
use wootz::{Device, Error, Tensor, ops};

/// Two GPUs, or a word that nothing was tested.
fn two() -> Option<[Device; 2]> {
    let open = |name| Device::open(name).ok();
    let pair = open("cuda:0").zip(open("cuda:1"));
    if pair.is_none() {
        eprintln!("skipped: there are no two GPUs here");
    }
    pair.map(|(first, second)| [first, second])
}

fn values(count: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 1000) as f32 / 100.0 - 5.0;
    (0..count).map(value).collect()
}

#[test]
fn a_tensor_comes_around_as_it_left() {
    let Some([first, second]) = two() else { return };
    let sent = values(3 * 1000, 1);
    let x = Tensor::from_slice(&sent, &[3, 1000], Device::cpu()).unwrap();
    let turned = x.transpose(0, 1).unwrap();
    for x in [&x, &turned] {
        let mut there = x.clone();
        for device in [first, second, first, Device::cpu(), second, Device::cpu()] {
            there = there.to_device(device).unwrap();
            assert_eq!(there.device(), device);
        }
        assert_eq!(there.to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
    }
}

#[test]
fn work_on_one_is_seen_by_the_other() {
    let Some([first, second]) = two() else { return };
    let x = Tensor::from_slice(&values(64 * 1024, 2), &[64, 1024], first).unwrap();
    let mut here = x.clone();
    let mut crossing = x;
    for step in 0..20 {
        here = ops::softmax(&here, -1).unwrap();
        // Not waited for on the host before it crosses.
        let other = if step % 2 == 0 { second } else { first };
        crossing = ops::softmax(&crossing, -1)
            .unwrap()
            .to_device(other)
            .unwrap();
    }
    assert_eq!(
        here.to_vec::<f32>().unwrap(),
        crossing.to_vec::<f32>().unwrap()
    );
}

#[test]
fn threads_on_both_get_the_bits_of_one() {
    let Some(devices) = two() else { return };
    let alone = |device, seed| {
        let x = Tensor::from_slice(&values(48 * 1000, seed), &[48, 1000], device).unwrap();
        let y = ops::gelu(&ops::layer_norm(&x, 1, None, None, 1e-5).unwrap()).unwrap();
        ops::sum(&y, 0, false).unwrap().to_vec::<f32>().unwrap()
    };
    let want: Vec<Vec<f32>> = (0..8).map(|seed| alone(devices[0], seed)).collect();
    thread::scope(|scope| {
        for seed in 0..8 {
            for device in devices {
                let want = &want[seed];
                scope.spawn(move || {
                    for _ in 0..30 {
                        assert_eq!(&alone(device, seed), want);
                    }
                });
            }
        }
    });
}

#[test]
fn operands_of_two_devices_are_an_error() {
    let Some(devices) = two() else { return };
    let [a, b] = devices.map(|device| Tensor::from_slice(&[1.0f32, 2.0], &[2], device).unwrap());
    assert!(matches!(ops::add(&a, &b), Err(Error::Device { .. })));
}
