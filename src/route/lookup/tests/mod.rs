//! The lookup's protocol, header for header: what nginx says was captured from nginx 1.26.

mod answer;
mod question;
