//! Good files of tensors, spoiled in thousands of ways that repeat on every run. For each one a
//! second opinion, written from the format's description, says whether it is still a file; the
//! reader must agree, and what it accepts must hold the bytes that the file has there.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use wootz::{DType, Device, Error, safetensors::SafeTensors, with_dtype};

/// Numbers that are the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// A number that a header could hold: small mostly, else one where arithmetic overflows.
    fn number(&mut self) -> u64 {
        let large = [1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX - 7, u64::MAX];
        match self.below(4) {
            0 => self.pick(&large),
            _ => self.below(50) as u64,
        }
    }
}

/// A file in the parts that are spoiled one by one.
#[derive(Clone)]
struct File {
    /// Names with what is said of them, in the order of the text; a name may stand twice.
    entries: Vec<(String, Value)>,
    /// What the number in front says, if it is not the header's length.
    length: Option<u64>,
    data: Vec<u8>,
    /// Bytes of the whole that are changed in the end, and how many of its bytes are kept.
    changes: Vec<(usize, u8)>,
    kept: Option<usize>,
}

const DTYPES: &[(&str, usize)] = &[
    ("F32", 4),
    ("F16", 2),
    ("BF16", 2),
    ("I32", 4),
    ("U32", 4),
    ("I64", 8),
    ("U8", 1),
    ("F8_E4M3", 1),
    ("BOOL", 1),
];

impl File {
    /// A good one, of up to five tensors.
    fn good(random: &mut Random) -> File {
        let mut entries = vec![];
        if random.below(2) == 0 {
            entries.push(("__metadata__".to_owned(), json!({"made by": "a test"})));
        }
        let mut end = 0;
        for i in 0..random.below(6) {
            let (dtype, size) = random.pick(DTYPES);
            let shape: Vec<usize> = (0..random.below(4)).map(|_| random.below(4)).collect();
            let start = end;
            end += shape.iter().product::<usize>() * size;
            let entry = json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]});
            entries.push((format!("tensor {i}"), entry));
        }
        File {
            entries,
            length: None,
            data: (0..end).map(|_| random.next() as u8).collect(),
            changes: vec![],
            kept: None,
        }
    }

    fn header(&self) -> String {
        let entry = |(name, value): &(String, Value)| format!("{}:{value}", json!(name));
        let entries: Vec<String> = self.entries.iter().map(entry).collect();
        format!("{{{}}}", entries.join(","))
    }

    fn bytes(&self) -> Vec<u8> {
        let header = self.header();
        let length = self.length.unwrap_or(header.len() as u64);
        let mut bytes = [&length.to_le_bytes()[..], header.as_bytes(), &self.data].concat();
        for &(place, byte) in &self.changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        bytes.truncate(self.kept.unwrap_or(bytes.len()));
        bytes
    }
}

type Spoil = fn(&mut File, &mut Random);

/// Calls `change` with the part `key` of some tensor's entry.
fn entry(
    file: &mut File,
    random: &mut Random,
    key: &str,
    change: impl Fn(&mut Value, &mut Random),
) {
    let tensors = file.entries.iter_mut();
    let mut tensors: Vec<_> = tensors.filter(|(name, _)| name != "__metadata__").collect();
    if !tensors.is_empty() {
        let some = random.below(tensors.len());
        change(&mut tensors[some].1[key], random);
    }
}

const SPOILS: &[(&str, Spoil)] = &[
    ("an offset lies", |file, random| {
        entry(file, random, "data_offsets", |offsets, random| {
            if let Some(end) = offsets.get_mut(random.below(2)) {
                *end = json!(random.number());
            }
        });
    }),
    ("offsets overlap or leave a gap", |file, random| {
        entry(file, random, "data_offsets", |offsets, random| {
            let by = random.below(9) as i64 - 4;
            for end in offsets.as_array_mut().into_iter().flatten() {
                *end = json!(end.as_i64().unwrap_or(0).saturating_add(by));
            }
        });
    }),
    ("offsets run backwards", |file, random| {
        entry(file, random, "data_offsets", |offsets, _| {
            if let Value::Array(ends) = offsets {
                ends.reverse();
            }
        });
    }),
    ("one offset too few or too many", |file, random| {
        entry(file, random, "data_offsets", |offsets, random| {
            if let Value::Array(ends) = offsets {
                match random.below(2) {
                    0 => drop(ends.pop()),
                    _ => ends.push(json!(random.number())),
                }
            }
        });
    }),
    ("a shape lies", |file, random| {
        entry(file, random, "shape", |shape, random| {
            if let Value::Array(sizes) = shape {
                sizes.insert(random.below(sizes.len() + 1), json!(random.number()));
            }
        });
    }),
    ("another element type", |file, random| {
        entry(file, random, "dtype", |dtype, random| {
            let other = ["F32", "U8", "I64", "F8_E5M2", "", "f32", "F64"];
            *dtype = json!(random.pick(&other));
        });
    }),
    ("no number, no text, nothing", |file, random| {
        let keys = ["dtype", "shape", "data_offsets"];
        let key = random.pick(&keys);
        entry(file, random, key, |part, random| {
            let odd = [
                json!(null),
                json!(-1),
                json!(0.5),
                json!("1"),
                json!({}),
                json!([]),
            ];
            *part = random.pick(&odd);
        });
    }),
    ("two tensors share bytes", |file, _| {
        let copy = file.entries.last().cloned();
        file.entries
            .extend(copy.map(|(name, value)| (name + " again", value)));
    }),
    ("a name stands twice", |file, random| {
        if !file.entries.is_empty() {
            let some = random.below(file.entries.len());
            file.entries.push(file.entries[some].clone());
        }
    }),
    ("a tensor is missing", |file, random| {
        if !file.entries.is_empty() {
            file.entries.remove(random.below(file.entries.len()));
        }
    }),
    ("the order of names changes", |file, random| {
        if !file.entries.is_empty() {
            let some = random.below(file.entries.len());
            file.entries.rotate_left(some);
        }
    }),
    ("metadata of another kind", |file, random| {
        let odd = [
            json!(1),
            json!([]),
            json!({"a": 1}),
            json!({"a": null}),
            json!({}),
        ];
        let odd = random.pick(&odd);
        match file.entries.first_mut() {
            Some((name, value)) if name == "__metadata__" => *value = odd,
            _ => file.entries.push(("__metadata__".to_owned(), odd)),
        }
    }),
    ("the header's length lies", |file, random| {
        let length = file.header().len() as u64;
        let lies = [
            0,
            1,
            length - 1,
            length + 1,
            100_000_000,
            100_000_001,
            1 << 40,
            u64::MAX,
        ];
        file.length = Some(random.pick(&lies));
    }),
    ("more or fewer bytes of data", |file, random| {
        let length = random.below(file.data.len() + 9);
        file.data.resize(length, 7);
    }),
    ("the file ends early", |file, random| {
        file.kept = Some(random.below(file.bytes().len() + 1));
    }),
    ("some bytes change", |file, random| {
        for _ in 0..=random.below(3) {
            let change = (random.next() as usize, random.next() as u8);
            file.changes.push(change);
        }
    }),
];

/// Whether these bytes are a file, as the format's description has it; the tensors if so.
fn opinion(bytes: &[u8]) -> Option<BTreeMap<String, Value>> {
    let length = u64::from_le_bytes(*bytes.first_chunk()?);
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= 100_000_000)?;
    let text = bytes[8..].get(..length)?;
    let data = bytes.len() - 8 - length;
    if text.first() != Some(&b'{') {
        return None;
    }
    let Ok(Value::Object(header)) = serde_json::from_slice(text) else {
        return None;
    };
    let mut tensors = BTreeMap::new();
    let mut ranges = vec![];
    for (name, entry) in header {
        if name == "__metadata__" {
            entry
                .as_object()?
                .values()
                .all(Value::is_string)
                .then_some(())?;
            continue;
        }
        let dtype = entry.get("dtype")?.as_str()?;
        let shape = entry.get("shape")?.as_array()?;
        let shape: Vec<u64> = shape.iter().map(Value::as_u64).collect::<Option<_>>()?;
        let [from, to] = &entry.get("data_offsets")?.as_array()?[..] else {
            return None;
        };
        let (from, to) = (from.as_u64()?, to.as_u64()?);
        if let Some((_, size)) = DTYPES.iter().find(|(known, _)| *known == dtype) {
            let bytes = shape
                .iter()
                .try_fold(*size as u64, |bytes, dim| bytes.checked_mul(*dim));
            (bytes? == to.checked_sub(from)?).then_some(())?;
        }
        ranges.push((from, to));
        tensors.insert(name, entry);
    }
    ranges.sort_unstable();
    let end = ranges.iter().try_fold(0, |end, &(from, to)| {
        (from == end && to >= from).then_some(to)
    });
    (end? == data as u64).then_some(tensors)
}

/// What the reader says; what it accepts is read to the last byte.
fn verdict(bytes: &[u8]) -> Option<usize> {
    let file = match SafeTensors::from_bytes(bytes.to_vec()) {
        Ok(file) => file,
        Err(Error::File { reason, .. }) => {
            assert!(!reason.is_empty());
            return None;
        }
        Err(other) => panic!("{other}"),
    };
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let (tensors, data) = (opinion(bytes).unwrap_or_default(), &bytes[8 + header..]);
    for name in file.names() {
        let tensor = match file.tensor(name, Device::cpu()) {
            Ok(tensor) => tensor,
            // A type or a number of axes that tensors here do not have.
            Err(Error::File { .. }) => continue,
            Err(other) => panic!("{other}"),
        };
        let offsets = tensors.get(name).map(|entry| &entry["data_offsets"]);
        let range = offsets.map(|ends| {
            let end = |side: usize| ends[side].as_u64().unwrap() as usize;
            end(0)..end(1)
        });
        let read = with_dtype!(tensor.dtype(), T => {
            bytemuck::cast_slice::<T, u8>(&tensor.to_vec::<T>().unwrap()).to_vec()
        });
        assert_eq!(range.map(|range| &data[range]), Some(&read[..]), "{name:?}");
    }
    Some(file.names().count())
}

#[test]
fn a_second_opinion_agrees() {
    const EACH: usize = 1500;
    let (mut random, mut accepted) = (Random(0x5eed), 0);
    for (name, spoil) in SPOILS {
        let mut refused = 0;
        for _ in 0..EACH {
            let mut file = File::good(&mut random);
            let whole = file.bytes();
            assert_eq!(
                verdict(&whole),
                opinion(&whole).map(|tensors| tensors.len())
            );
            assert!(opinion(&whole).is_some());
            spoil(&mut file, &mut random);
            // Most faults come alone; some hide behind another.
            if random.below(4) == 0 {
                let (_, another) = random.pick(SPOILS);
                another(&mut file, &mut random);
            }
            let bytes = file.bytes();
            // The second opinion does not see that a name stands twice.
            let names: Vec<_> = file.entries.iter().map(|(name, _)| name).collect();
            let twice = (1..names.len()).any(|i| names[..i].contains(&names[i]));
            let got = verdict(&bytes);
            if twice && !file.changes.is_empty() {
                continue;
            }
            let expected = opinion(&bytes)
                .filter(|_| !twice)
                .map(|tensors| tensors.len());
            let readable = String::from_utf8_lossy(&bytes);
            assert_eq!(got, expected, "{name}: {readable}");
            match got {
                Some(_) => accepted += 1,
                None => refused += 1,
            }
        }
        // The two agree on something: each way spoils files, if only where it meets another.
        assert!(refused >= EACH / 20, "{name}: {refused} refused");
    }
    assert!(accepted > EACH, "{accepted} accepted");
}

#[test]
fn every_element_type_of_the_format_is_among_them() {
    let known = |dtype: DType| {
        DTYPES.iter().any(|(name, size)| {
            *size == dtype.size() && name.replace('_', "").eq_ignore_ascii_case(dtype.name())
        })
    };
    assert!(DType::ALL.iter().all(|&dtype| known(dtype)));
}
