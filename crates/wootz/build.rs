//! Says whether the library is compiled without optimizations. A vector kernel is one function
//! after inlining, and unoptimized each of its intermediate results has a place of its own in that
//! function's frame, which would outgrow a thread's stack: then its parts stay functions.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(unoptimized)");
    if std::env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        println!("cargo::rustc-cfg=unoptimized");
    }
}
