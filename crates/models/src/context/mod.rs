//! What names mean in a project's templates.

pub mod adapter;
pub mod base;
mod decimal;
pub mod json;
pub mod kept;
mod loading;
pub mod modules;
mod namespaces;
mod outside;
mod patterns;
mod printed;
pub mod relation;
pub mod scene;
mod statements;
pub mod table;
