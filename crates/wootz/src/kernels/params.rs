//! Parameter structs: the Rust one is the truth, the C one is generated from it.

use std::fmt::Write;

/// A field type that exists in Rust and in the dialect, with the same layout.
pub trait CField {
    /// The dialect's name of the element.
    const NAME: &'static str;
    /// Length, for an array.
    const COUNT: Option<usize> = None;
    /// The definition, of a struct.
    const STRUCT: Option<CStruct> = None;
}

macro_rules! fields {
    ($($name:ident),*) => {
        $(impl CField for $name {
            const NAME: &'static str = stringify!($name);
        })*
    };
}

fields!(f32, i32, u32, i64, u64);

impl<T: CField, const N: usize> CField for [T; N] {
    const NAME: &'static str = T::NAME;
    const COUNT: Option<usize> = Some(N);
}

/// A parameter struct as the dialect sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CStruct {
    /// Its name.
    pub name: &'static str,
    /// `(name, element type, length)` of each field.
    pub fields: &'static [(&'static str, &'static str, Option<usize>)],
    /// The definitions of fields that are structs themselves.
    pub structs: &'static [Option<CStruct>],
    /// Its size in Rust, which the C struct asserts.
    pub bytes: usize,
}

impl CStruct {
    /// The definition in the dialect.
    pub fn render(&self) -> String {
        let mut text = format!("struct {} {{\n", self.name);
        for (name, element, count) in self.fields {
            let _ = match count {
                Some(count) => writeln!(text, "  {element} {name}[{count}];"),
                None => writeln!(text, "  {element} {name};"),
            };
        }
        let _ = writeln!(
            text,
            "}};\nstatic_assert(sizeof({}) == {}, \"as in Rust\");",
            self.name, self.bytes
        );
        text
    }
}

/// A struct made by `kernel_params!`.
pub trait KernelParams: bytemuck::Pod {
    /// The struct in the dialect.
    const C: CStruct;
}

/// Defines a `#[repr(C)]` parameter struct, and with it the struct that kernels see. A struct
/// with padding does not compile.
macro_rules! kernel_params {
    ($(#[$meta:meta])* $vis:vis struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        #[repr(C)]
        $vis struct $name {
            $($(#[$field_meta])* pub $field: $type),*
        }

        impl $crate::kernels::KernelParams for $name {
            const C: $crate::kernels::CStruct = $crate::kernels::CStruct {
                name: stringify!($name),
                fields: &[$((
                    stringify!($field),
                    <$type as $crate::kernels::CField>::NAME,
                    <$type as $crate::kernels::CField>::COUNT,
                )),*],
                structs: &[$(<$type as $crate::kernels::CField>::STRUCT),*],
                bytes: size_of::<$name>(),
            };
        }

        impl $crate::kernels::CField for $name {
            const NAME: &'static str = stringify!($name);
            const STRUCT: Option<$crate::kernels::CStruct> =
                Some(<$name as $crate::kernels::KernelParams>::C);
        }
    };
}
pub(crate) use kernel_params;

#[cfg(test)]
mod tests {
    use super::*;

    kernel_params! {
        struct Sample {
            rows: u64,
            strides: [i64; 3],
            width: u32,
            scale: f32,
        }
    }

    #[test]
    fn the_c_struct_follows_the_rust_one() {
        let expected = "struct Sample {\n  u64 rows;\n  i64 strides[3];\n  u32 width;\n  \
                        f32 scale;\n};\nstatic_assert(sizeof(Sample) == 40, \"as in Rust\");\n";
        assert_eq!(Sample::C.render(), expected);
    }
}
