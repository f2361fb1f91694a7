//! What Metal's compiler refuses and no compiler here does: a pointer or reference that names no
//! address space, and words that its language lacks.

use std::{fs, path::Path};

/// Words of C++ that the language lacks, and its own that are no names.
const REFUSED: &[&str] = &[
    "catch",
    "co_await",
    "delete",
    "double",
    "dynamic_cast",
    "fragment",
    "goto",
    "kernel",
    "new",
    "noexcept",
    "register",
    "thread_local",
    "throw",
    "try",
    "typeid",
    "union",
    "vertex",
    "virtual",
];
const SPACES: &[&str] = &["constant", "device", "scratch", "thread", "threadgroup"];
const TYPES: &[&str] = &[
    "f32", "f16", "bf16", "i32", "u32", "i64", "u64", "u8", "u16", "void", "bool", "float",
    "uchar", "word",
];

/// The files that Metal's compiler gets.
fn files() -> Vec<(String, String)> {
    const OTHERS: &[&str] = &[
        "accesses.h",
        "call.h",
        "cuda.h",
        "emulated.h",
        "lint.h",
        "mma.h",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let mut files = vec![];
    for room in ["dialect", "tile", "ops"] {
        for entry in fs::read_dir(root.join(room)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if !OTHERS.contains(&&*name) {
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    files
}

/// Names, numbers and signs, with the line of each; comments, includes and strings left out.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let mut tokens = vec![];
    for (number, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        if line.trim_start().starts_with("#include") || line.trim_start().starts_with("#pragma") {
            continue;
        }
        let mut rest = line.trim_end_matches('\\').trim_start();
        while let Some(first) = rest.chars().next() {
            let name = |c: char| c.is_alphanumeric() || c == '_';
            let length = if first == '"' {
                rest[1..].find('"').map_or(rest.len(), |end| end + 2)
            } else if name(first) {
                rest.find(|c| !name(c)).unwrap_or(rest.len())
            } else if ["&&", "*=", "&=", "::", "<<", "->"]
                .iter()
                .any(|two| rest.starts_with(two))
            {
                2
            } else {
                first.len_utf8()
            };
            if first != '"' {
                tokens.push((number + 1, &rest[..length]));
            }
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Whether a name is a type's: one of the dialect's, a struct's (`Pack`), or a parameter's (`T`).
fn is_type(token: &str) -> bool {
    let starts = token.starts_with(|c: char| c.is_ascii_uppercase());
    let small = token.contains(|c: char| c.is_ascii_lowercase());
    TYPES.contains(&token) || (starts && (small || token.len() == 1))
}

/// The words before `at` that belong to the same declaration, template arguments left out.
fn declaration<'a>(tokens: &[(usize, &'a str)], at: usize) -> Vec<&'a str> {
    let (mut words, mut depth) = (vec![], 0);
    for &(_, token) in tokens[..at].iter().rev() {
        match token {
            ">" => depth += 1,
            "<" if depth == 0 => break,
            "<" => depth -= 1,
            _ if depth > 0 => {}
            "::" => {}
            word if is_name(word) => words.push(word),
            _ => break,
        }
    }
    words
}

/// What is wrong with a text.
fn faults(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut faults = vec![];
    for (at, &(line, token)) in tokens.iter().enumerate() {
        if REFUSED.contains(&token) && !(token == "kernel" && tokens[at - 1].1 == "[") {
            faults.push(format!("{line}: {token}"));
        }
        let next = tokens.get(at + 1).map_or("", |next| next.1);
        if token == "["
            && ["]", "&", "="].contains(&next)
            && tokens[at + 1..].iter().any(|t| t.1 == "]")
        {
            let before = tokens[at - 1].1;
            if !is_name(before) && before != "[" && before != "]" {
                faults.push(format!("{line}: a lambda"));
            }
        }
        if (token != "*" && token != "&") || at == 0 {
            continue;
        }
        let before = tokens[at - 1].1;
        let declares = is_type(before) || before == ">" || before == "const";
        let named = is_name(next) || ["(", ")", ",", ">", "="].contains(&next);
        let words = declaration(&tokens, at);
        let space = words
            .iter()
            .any(|word| SPACES.contains(word) || *word == "space");
        let typed = words.iter().any(|word| is_type(word));
        if declares && named && typed && !space {
            faults.push(format!(
                "{line}: {} {token} names no space",
                words.join(" ")
            ));
        }
    }
    faults
}

#[test]
fn kernels_use_what_metal_has() {
    let files = files();
    assert!(files.len() > 15);
    for (name, text) in files {
        let faults = faults(&text);
        assert!(faults.is_empty(), "{name}:{}", faults.join("\n"));
    }
}

#[test]
fn what_metal_lacks_is_found() {
    for bad in [
        "inline void f(f32* x) {}",
        "f32 f(const Pack<T, 4>& pack);",
        "template <typename T> T f(T const& x);",
        "u32* p = scratch_of(at);",
        "void f(device T* x, T* y);",
        "auto f = [](f32 x) { return x; };",
        "auto f = [&](f32 x) { return x; };",
        "double x = 1.0;",
        "union { f32 a; u32 b; };",
        "vertex = 1;",
    ] {
        assert!(!faults(bad).is_empty(), "{bad}");
    }
    for good in [
        "inline void f(device f32* x, thread const Pack<T, 4>& pack) {}",
        "scratch T* to = scratch_at<T>(at, 0);",
        "device const typename Fold::State* states;",
        "x = ROWS * COLUMNS / (VEC * LANES); y = a[i] * b; z = T(x) * y;",
        "if (a & b) c = a && b; // f32* in words",
    ] {
        assert_eq!(faults(good), Vec::<String>::new(), "{good}");
    }
}
