//! Searches against a plain list, and what is in the rows.

mod library;
mod names;
mod pages;
mod rows;
mod words;
