pub mod returns;
pub mod slots;
pub mod sync;
pub mod timeline;
