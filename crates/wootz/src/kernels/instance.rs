//! Instances: the kernels that devices run, as data.

use super::{CStruct, LANES, source::flatten_families};
use std::fmt::Write;

/// How an instance uses a buffer, with the dialect's element type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Buffer {
    /// Only reads it.
    In(String),
    /// Writes it, or reads and writes it.
    Out(String),
    /// The map of a tensor, which comes after all that have memory.
    Map,
}

impl Buffer {
    /// A buffer that is only read.
    pub fn input(element: &str) -> Buffer {
        Buffer::In(element.to_owned())
    }

    /// A buffer that is written.
    pub fn output(element: &str) -> Buffer {
        Buffer::Out(element.to_owned())
    }
}

/// How a kernel's groups share a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// As the compiler likes.
    Plain,
    /// With no more registers than leave room for many lanes at once, since it waits for memory.
    Dense,
    /// Densely, and so many together that they reach each other's scratch memory.
    Cluster(u32),
    /// In such a cluster too, with maps of its tensors, and on Hopper only.
    Hopper(u32),
}

/// One kernel: a body of a family with its template arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The family's file, under `kernels/`.
    pub file: &'static str,
    /// The entry point's name, unique among all instances.
    pub name: String,
    /// The body with its template arguments, such as `softmax<f16, 4>`.
    pub body: String,
    /// Lanes in a group at most; a multiple of 32.
    pub lanes: u32,
    /// How its groups share a device.
    pub form: Form,
    /// The parameter struct.
    pub params: CStruct,
    /// The buffers in the body's order.
    pub buffers: Vec<Buffer>,
}

impl Instance {
    /// An instance with the usual number of lanes.
    pub(super) fn new(
        file: &'static str,
        name: String,
        body: String,
        params: CStruct,
        buffers: Vec<Buffer>,
    ) -> Instance {
        Instance {
            file,
            name,
            body,
            lanes: LANES,
            form: Form::Plain,
            params,
            buffers,
        }
    }

    /// The line that makes the entry point, on every platform.
    fn render(&self) -> String {
        let Instance {
            name,
            body,
            lanes,
            form,
            params,
            buffers,
            ..
        } = self;
        let entry = match form {
            Form::Plain => "ENTRY(".to_owned(),
            Form::Dense => "DENSE_ENTRY(".to_owned(),
            Form::Cluster(members) => format!("CLUSTER_{members}_ENTRY("),
            Form::Hopper(members) => format!("CLUSTER_ENTRY({members}, "),
        };
        let mut list = String::new();
        for (index, buffer) in buffers.iter().enumerate() {
            let _ = match buffer {
                Buffer::In(element) => write!(list, "IN({index}, {element}) "),
                Buffer::Out(element) => write!(list, "OUT({index}, {element}) "),
                Buffer::Map => write!(list, "MAP({index}) "),
            };
        }
        let names: Vec<String> = (0..buffers.len())
            .map(|index| format!("b{index}"))
            .collect();
        let (count, names) = (buffers.len(), names.join(", "));
        format!(
            "{entry}{name}, {lanes}, {count}, {}, {list}, ({names}), {body})\n",
            params.name
        )
    }
}

/// Puts a struct behind those that its fields are of.
fn define<'a>(params: &'a CStruct, structs: &mut Vec<&'a CStruct>) {
    for part in params.structs.iter().flatten() {
        define(part, structs);
    }
    if !structs.contains(&params) {
        structs.push(params);
    }
}

/// The source of a module of instances: the whole text that a compiler gets.
///
/// # Panics
/// If an instance is of a file that is not there.
pub fn module(instances: &[Instance]) -> String {
    let mut structs: Vec<&CStruct> = vec![];
    let mut files: Vec<&str> = vec![];
    for instance in instances {
        define(&instance.params, &mut structs);
        if !files.contains(&instance.file) {
            files.push(instance.file);
        }
    }
    let structs: String = structs.iter().map(|params| params.render()).collect();
    let structs = format!("namespace wootz {{\n{structs}}}\n");
    let mut text = match flatten_families(&files, &structs) {
        Ok(text) => text,
        Err(error) => panic!("the kernels of this library are part of it: {error}"),
    };
    text.push_str("using namespace wootz;\n");
    for instance in instances {
        text.push_str(&instance.render());
    }
    text
}
